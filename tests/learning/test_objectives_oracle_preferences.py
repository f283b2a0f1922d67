"""Preference losses and the length penalty against TRL's own, run on numbers, not on a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.rewards import get_soft_overlong_punishment
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from medrl.learning.objectives.overlong import overlong_penalty
from medrl.learning.objectives.preferences import bradley_terry_loss, dpo_loss


def trainer(**settings: Any) -> SimpleNamespace:
    """What TRL's trainers read of themselves while they compute a loss."""
    return SimpleNamespace(
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        accelerator=SimpleNamespace(
            device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x
        ),
        model=SimpleNamespace(training=True),
        **settings,
    )


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def forward(**outputs: torch.Tensor) -> Callable[..., SimpleNamespace]:
    """A model that says what it was told to say."""
    return lambda **_: SimpleNamespace(**outputs)


@pytest.mark.parametrize("beta", [0.05, 1.3])
def test_dpo_is_trls(beta: float) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)  # four pairs
    ref_chosen, ref_rejected = torch.randn(2, 4, dtype=torch.float64)
    own = trainer(
        aux_loss_enabled=False,
        beta=beta,
        f_divergence_type="reverse_kl",
        ld_alpha=None,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        precompute_ref_logps=True,
        use_weighting=False,
    )
    model = forward(
        log_probs=tokens,
        entropy=torch.zeros(8, 5),
        mean_logits=torch.zeros(8, 5),
        is_top1=torch.zeros(8, 5, dtype=torch.bool),
    )
    ids = torch.ones(8, 6, dtype=torch.long)
    theirs = DPOTrainer._compute_loss(
        own,
        model,
        {
            "input_ids": ids,
            "attention_mask": ids,
            "completion_mask": ids,
            "ref_chosen_logps": ref_chosen,
            "ref_rejected_logps": ref_rejected,
        },
        False,
    )
    chosen, rejected = tokens.sum(1).chunk(2)
    losses, margins = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta)
    same(losses.mean(), theirs)
    gradients = [
        torch.autograd.grad(loss, tokens, retain_graph=True)[0] for loss in (losses.mean(), theirs)
    ]
    same(gradients[0], gradients[1])
    assert own._metrics["train"]["rewards/margins"] == pytest.approx([margins.mean().item()])


def test_bradley_terry_is_trls() -> None:
    torch.manual_seed(0)
    scores = torch.randn(8, 1, dtype=torch.float64, requires_grad=True)
    own = trainer(args=SimpleNamespace(center_rewards_coefficient=None))
    theirs = RewardTrainer.compute_loss(
        own, forward(logits=scores), {"attention_mask": torch.ones(8, 3)}
    )
    ours = bradley_terry_loss(*scores[:, 0].chunk(2)).mean()
    same(ours, theirs)
    same(torch.autograd.grad(ours, scores)[0], torch.autograd.grad(theirs, scores)[0])


def test_the_overlong_penalty_is_trls() -> None:
    lengths = list(range(130))
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=30)(
        [[1] * length for length in lengths]
    )
    ours = overlong_penalty(torch.tensor(lengths, dtype=torch.float64), limit=100, buffer=30)
    same(ours, torch.tensor(theirs, dtype=torch.float64))
