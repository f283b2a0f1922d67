"""A penalty for answers that come close to the length limit."""

from __future__ import annotations

import torch


def overlong_penalty(lengths_B: torch.Tensor, limit: int, buffer: int) -> torch.Tensor:
    """DAPO's soft overlong punishment (Yu et al. 2025, arXiv 2503.14476, eq. 13).

    0 up to ``limit - buffer`` tokens, from there straight down to -1 at ``limit``, and -1 beyond.
    Cutting long answers off and calling them wrong would punish sound reasoning and rambling alike;
    the slope tells the policy where the limit is before it gets there.

    Args:
        lengths_B: policy tokens of each answer.
        limit: L_max in tokens.
        buffer: L_cache in tokens, 1 to ``limit``.

    Returns:
        penalties [B] in [-1, 0], float32 (float64 where lengths are), to be added to the rewards.

    Raises:
        ValueError: ``buffer`` is not between 1 and ``limit``.
    """
    if not 1 <= buffer <= limit:
        raise ValueError(f"buffer must be between 1 and limit ({limit}), not {buffer}")
    dtype = torch.promote_types(lengths_B.dtype, torch.float32)
    return ((limit - buffer - lengths_B.to(dtype)) / buffer).clamp(-1.0, 0.0)
