"""Drawing the next token from logits."""

from __future__ import annotations

import torch

from medrl.sampling.sampler import SamplingParams


def draw(
    logits_BV: torch.Tensor, params: SamplingParams, uniform_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw one token per row: (token ids [B], log-probs [B], entropies in nats [B]).

    Inverse of the distribution function: the token is decided by the row's own number in
    ``uniform_B`` (in [0, 1), fp64), whatever other rows there are.
    """
    greedy = params.temperature == 0
    logits_BV = logits_BV.float()
    if not greedy and params.temperature != 1:
        logits_BV = logits_BV / params.temperature
    log_probs_BV = torch.log_softmax(logits_BV, dim=-1)
    probs_BV = log_probs_BV.exp()
    entropies_B = -(probs_BV * log_probs_BV.clamp(min=-1e4)).sum(-1)
    if greedy:
        tokens_B = log_probs_BV.argmax(-1)
    else:
        allowed_BV = truncated(probs_BV, params.top_k, params.top_p)
        reached_BV = allowed_BV.cumsum(-1, dtype=torch.float64)
        wanted_B1 = uniform_B[:, None] * reached_BV[:, -1:]
        # The first token that passes the wanted sum; one of probability 0 never does.
        tokens_B = torch.searchsorted(reached_BV, wanted_B1, right=True).squeeze(1)
    return tokens_B, log_probs_BV.gather(1, tokens_B[:, None]).squeeze(1), entropies_B


def truncated(probs_BV: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Probabilities [B, V], 0 outside the ``top_k`` likeliest and the nucleus; not normalised.

    The nucleus (Holtzman et al. 2020) is the fewest likeliest tokens that reach ``top_p``
    together; the likeliest token is always in it.
    """
    if top_k == 0 and top_p >= 1:
        return probs_BV
    sorted_BV, order_BV = probs_BV.sort(-1, descending=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    kept_BV = before_BV < top_p
    kept_BV[:, 0] = True
    if top_k:
        kept_BV[:, top_k:] = False
    return torch.zeros_like(probs_BV).scatter(1, order_BV, sorted_BV * kept_BV)
