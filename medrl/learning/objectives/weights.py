"""How token losses become one number.

Every objective is a sum of ``weight x token loss``. The weights are fixed for a whole update
before it is cut into micro-batches: a micro-batch takes its rows of them (and may drop columns in
which all its rows are padding), so losses and gradients add up to the same whatever the cut.

Shapes: B episodes of the update, A answer tokens: the policy tokens of each episode in order,
padded at the right.
"""

from __future__ import annotations

from typing import Literal

import torch

Aggregation = Literal["response", "token", "constant"]


def token_weights(
    mask_BA: torch.Tensor, aggregation: Aggregation, max_length: int | None = None
) -> torch.Tensor:
    """Weights [B, A] of the policy tokens of an update, 0 on padding.

    With n responses in the update, |o| tokens in one of them and ``max_length`` L_max:

    - ``response``, 1/(n |o|): mean over the tokens of each response, then over responses
      (Med-RLVR, original GRPO, GSPO). A token of a long wrong answer costs less than one of a
      short wrong answer.
    - ``token``, 1/sum |o|: one mean over all tokens (verl's default, DAPO). A token's weight hangs
      on how long the other responses of the update happen to be.
    - ``constant``, 1/(n L_max): every token of every update weighs the same (Dr.GRPO).

    The first two sum to 1, the third to mean |o| / L_max. Responses without policy tokens do not
    count in n.

    Args:
        mask_BA: 1 on policy tokens, of *all* episodes of the update.
        max_length: L_max in tokens, at least 1, usually the most tokens an answer may have; needed
            for ``constant``, not looked at otherwise.

    Returns:
        float32, or float64 where the mask is.

    Raises:
        ValueError: ``constant`` without a ``max_length`` of at least 1.
    """
    mask = mask_BA.to(torch.promote_types(mask_BA.dtype, torch.float32))
    if aggregation == "token":
        return mask / mask.sum().clamp(min=1)
    lengths_B1 = mask.sum(1, keepdim=True)
    responses = (lengths_B1 > 0).sum().clamp(min=1)
    if aggregation == "response":
        return mask / lengths_B1.clamp(min=1) / responses
    if max_length is None or max_length < 1:
        raise ValueError(
            f'aggregation "constant" needs a max_length of at least 1, not {max_length}'
        )
    return mask / (responses * max_length)


def keep_weighted(values_BA: torch.Tensor, weights_BA: torch.Tensor) -> torch.Tensor:
    """``values_BA`` where the weight is not 0, else 0.

    Multiplying by a weight of 0 is not enough: what stands in padding may overflow on its way
    through an exponential or a square, and 0 times infinity is not a number.
    """
    return torch.where(weights_BA != 0, values_BA, 0.0)
