"""The policy objectives against TRL: its own methods, run on numbers instead of on a model.

A trainer is not built. Its methods get a stand-in for ``self`` that holds the settings they read
and hands out drawn log-probabilities where they would ask a model; the formulas are TRL's.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

from medrl.learning.advantages import group_advantages, leave_one_out_advantages
from medrl.learning.objectives.importance import Level, truncated_importance
from medrl.learning.objectives.kl import kl_loss
from medrl.learning.objectives.ppo import Ratio, policy_loss
from medrl.learning.objectives.weights import Aggregation, token_weights

LONGEST = 9

# TRL's name of a loss type: ours of how it weighs tokens.
AGGREGATIONS: dict[str, Aggregation] = {
    "grpo": "response",
    "bnpo": "token",
    "dapo": "token",
    "dr_grpo": "constant",
}


class Answers:
    """Six answers of 1 to 7 tokens in double precision; ratios leave the clip on both sides."""

    def __init__(self, seed: int, width: int = 7) -> None:
        torch.manual_seed(seed)
        lengths = torch.randint(1, width + 1, (6, 1))
        lengths[0] = width
        self.mask = (torch.arange(width) < lengths).double()
        self.old, self.reference, noise, sampler = (
            0.4 * torch.randn(4, 6, width, dtype=torch.float64) - torch.tensor([1.0])
        ).unbind()
        # Single precision is what TRL keeps a sampler's log-probabilities in.
        self.sampler = sampler.float().double()
        self.new = (self.old + noise + 1).requires_grad_()
        self.advantages = torch.randn(6, dtype=torch.float64)

    def gradient(self, loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, self.new, retain_graph=True)[0]


def trainer(new: torch.Tensor, **settings: Any) -> SimpleNamespace:
    """What TRL's policy-gradient trainers read of themselves while they compute a loss."""
    arguments = {"use_bias_correction_kl": False, "delta": None, "steps_per_generation": 1}
    arguments |= {name: settings.pop(name) for name in list(settings) if name in arguments}
    defaults = {
        "_get_per_token_logps_and_entropies": lambda *_, **__: (new, torch.zeros_like(new), None),
        "_metrics": {"train": defaultdict(list)},
        "_entropy_bonus_enabled": False,
        "accelerator": SimpleNamespace(
            num_processes=1,
            gather=lambda x: x,
            gather_for_metrics=lambda x: x,
            reduce=lambda x, reduction: x,
        ),
        "args": SimpleNamespace(**arguments),
        "aux_loss_enabled": False,
        "beta": 0.0,
        "current_gradient_accumulation_steps": 1,
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "importance_sampling_level": "token",
        "max_completion_length": LONGEST,
        "model": SimpleNamespace(training=True),
        "off_policy_mask_threshold": None,
        "top_entropy_quantile": 1.0,
        "use_vllm": False,
        "vllm_importance_sampling_correction": False,
    }
    return SimpleNamespace(**(defaults | settings))


def trl_inputs(answers: Answers, rows: slice = slice(None), **more: Any) -> dict[str, Any]:
    """A batch as TRL passes it on; token ids are only looked at for their shape."""
    mask = answers.mask[rows]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    return {
        "prompt_ids": ids[:, :1],
        "prompt_mask": ids[:, :1],
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": answers.advantages[rows],
        "old_per_token_logps": answers.old[rows],
        "ref_per_token_logps": answers.reference[rows],
        "num_items_in_batch": answers.mask.sum(),
        **more,
    }


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


# --- group-relative losses -----------------------------------------------------------------------

CASES = list(
    itertools.product(
        AGGREGATIONS, ("token", "sequence"), (0.0, 0.3), (None, 1.6), ((0.2, 0.2), (0.1, 0.35))
    )
)


@pytest.mark.parametrize(("loss_type", "level", "beta", "delta", "clip"), CASES)
def test_the_group_relative_losses_are_trls(
    loss_type: str, level: Ratio, beta: float, delta: float | None, clip: tuple[float, float]
) -> None:
    for seed in range(3):
        answers = Answers(seed)
        own = trainer(
            answers.new,
            loss_type=loss_type,
            importance_sampling_level=level,
            beta=beta,
            delta=delta,
            epsilon_low=clip[0],
            epsilon_high=clip[1],
        )
        theirs = GRPOTrainer._compute_loss(own, None, trl_inputs(answers))
        weights = token_weights(answers.mask, AGGREGATIONS[loss_type], LONGEST)
        ours, _ = policy_loss(
            *(answers.new, answers.old, answers.advantages[:, None], weights, *clip),
            dual_clip=delta,
            ratio=level,
        )
        ours = ours + beta * kl_loss(answers.new, answers.reference, weights, "k3")
        same(ours, theirs)
        same(answers.gradient(ours), answers.gradient(theirs))
        assert answers.gradient(theirs).abs().max() > 1e-3  # and not nothing against nothing


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_micro_batches_of_trl_add_up_to_our_update(loss_type: str) -> None:
    answers = Answers(5)
    own = trainer(
        answers.new,
        loss_type=loss_type,
        current_gradient_accumulation_steps=2,
        steps_per_generation=2,
    )
    halves = []
    for rows in (slice(0, 3), slice(3, 6)):
        own._get_per_token_logps_and_entropies = lambda *_, rows=rows, **__: (
            answers.new[rows],
            torch.zeros_like(answers.new[rows]),
            None,
        )
        halves.append(GRPOTrainer._compute_loss(own, None, trl_inputs(answers, rows)))
    theirs = halves[0] + halves[1]
    weights = token_weights(answers.mask, AGGREGATIONS[loss_type], LONGEST)
    ours, _ = policy_loss(answers.new, answers.old, answers.advantages[:, None], weights, 0.2, 0.2)
    same(ours, theirs)
    same(answers.gradient(ours), answers.gradient(theirs))


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_clipped_share_is_trls_clip_ratio(level: Ratio) -> None:
    answers = Answers(1)
    own = trainer(answers.new, loss_type="grpo", importance_sampling_level=level)
    GRPOTrainer._compute_loss(own, None, trl_inputs(answers))
    # TRL counts tokens where each has its ratio, and answers where each answer has one.
    aggregation: Aggregation = "token" if level == "token" else "response"
    _, share = policy_loss(
        *(answers.new, answers.old, answers.advantages[:, None]),
        *(token_weights(answers.mask, aggregation), 0.2, 0.2),
        ratio=level,
    )
    (theirs,) = own._metrics["train"]["clip_ratio/region_mean"]
    assert share.item() == pytest.approx(theirs)
    assert 0 < theirs < 1


def test_trl_counts_an_answer_without_tokens_and_we_do_not() -> None:
    answers = Answers(2)
    answers.mask[3] = 0
    for loss_type in ("grpo", "dr_grpo"):
        own = trainer(answers.new, loss_type=loss_type)
        theirs = GRPOTrainer._compute_loss(own, None, trl_inputs(answers))
        weights = token_weights(answers.mask, AGGREGATIONS[loss_type], LONGEST)
        ours, _ = policy_loss(
            answers.new, answers.old, answers.advantages[:, None], weights, 0.2, 0.2
        )
        same(ours * 5 / 6, theirs)


# --- leave-one-out -------------------------------------------------------------------------------


def rloo(answers: Answers) -> torch.Tensor:
    own = trainer(answers.new, epsilon_low=0.1, epsilon_high=0.3)
    old = (answers.old * answers.mask).sum(1)
    loss: torch.Tensor = RLOOTrainer._compute_loss(own, None, trl_inputs(answers, old_logps=old))
    return loss


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_on_answers_of_one_token_the_clipped_loss_is_rloos(ratio: Ratio) -> None:
    for seed in range(5):
        answers = Answers(seed, width=1)
        ours, _ = policy_loss(
            *(answers.new, answers.old, answers.advantages[:, None]),
            *(token_weights(answers.mask, "response"), 0.1, 0.3),
            ratio=ratio,
        )
        same(ours, rloo(answers))
        same(answers.gradient(ours), answers.gradient(rloo(answers)))


def test_at_ratio_one_the_gradient_is_rloos() -> None:
    """RLOO's ratio is the product over the answer; its gradient at 1 is the sum over tokens."""
    answers = Answers(0)
    answers.old = answers.new.detach()
    ours, _ = policy_loss(
        *(answers.new, answers.old, answers.advantages[:, None]),
        *(token_weights(answers.mask, "constant", 1), 0.1, 0.3),
    )
    same(answers.gradient(ours), answers.gradient(rloo(answers)))


# --- advantages and importance factors, where TRL scores what it generated ------------------------


def scored(cls: Any, answers: Answers, rewards: torch.Tensor, group: int, **settings: Any) -> Any:
    """What ``cls`` passes to its loss for answers whose tokens and rewards are given."""
    texts = ["" for _ in rewards]
    lengths = answers.mask.sum(1).long().tolist()
    sampled = [row[:length].tolist() for row, length in zip(answers.sampler, lengths, strict=True)]
    tokens = [[1] * length for length in lengths]
    prompts = [[1] for _ in rewards]
    made: tuple[Any, ...] = (prompts, tokens, texts)
    if cls is GRPOTrainer:
        made = (prompts, tokens, None, texts, sampled, None, None, None)
    own = trainer(
        answers.old,
        **{
            "_calculate_rewards": lambda *_: rewards[:, None],
            "_generate": lambda _: made,
            "_logs": defaultdict(list, rewards=defaultdict(list)),
            "_pending_extra_logs": {},
            "_pending_metrics": {},
            "_tokenizer": SimpleNamespace(pad_token_id=0),
            "environment_factories": None,
            "environments": None,
            "mask_truncated_completions": False,
            "model": torch.nn.Identity(),
            "multi_objective_aggregation": "sum_then_normalize",
            "normalize_advantages": False,
            "num_generations": group,
            "num_iterations": 1,
            "pad_to_multiple_of": None,
            "reward_clip_range": None,
            "reward_func_names": ["reward"],
            "reward_weights": torch.ones(1, dtype=torch.float64),
            "tools": None,
            "log_multimodal": False,
        }
        | settings,
    )
    own.model.is_gradient_checkpointing = False
    own.accelerator.device, own.accelerator.process_index = torch.device("cpu"), 0
    own.args.per_device_train_batch_size = len(rewards)
    own.args.gradient_checkpointing_kwargs, own.args.gradient_accumulation_steps = None, 1
    return cls._generate_and_score_completions(own, [{"prompt": ""} for _ in rewards])


def draw_rewards(seed: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    rewards = torch.randint(-1, 2, (6,)).double()
    rewards[:group] = 0.1  # one group of equals
    return rewards, torch.arange(6) // group


@pytest.mark.parametrize("group", [2, 3, 6])
def test_group_advantages_are_trls(group: int) -> None:
    answers = Answers(0)
    for seed in range(4):
        rewards, numbers = draw_rewards(seed, group)
        plain = scored(GRPOTrainer, answers, rewards, group, scale_rewards="none")
        same(group_advantages(rewards, numbers, "none"), plain["advantages"])
        scaled = scored(GRPOTrainer, answers, rewards, group, scale_rewards="group")
        # TRL adds 1e-4 to the standard deviation, we 1e-6
        std = rewards.view(-1, group).std(1).repeat_interleave(group)
        ours = group_advantages(rewards, numbers, "std")
        same(ours * (std + 1e-6) / (std + 1e-4), scaled["advantages"])
        left_out = scored(RLOOTrainer, answers, rewards, group)
        same(leave_one_out_advantages(rewards, numbers), left_out["advantages"])


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("cap", [1.1, 2.0])
def test_truncated_importance_is_trls(level: Level, cap: float) -> None:
    answers = Answers(4)
    batch = scored(
        *(GRPOTrainer, answers, torch.arange(6).double(), 3),
        scale_rewards="none",
        use_vllm=True,
        vllm_importance_sampling_correction=True,
        vllm_importance_sampling_mode=f"{level}_truncate",
        vllm_importance_sampling_clip_min=None,
        vllm_importance_sampling_clip_max=cap,
    )
    theirs = batch["importance_sampling_ratio"]
    factors = truncated_importance(answers.old, answers.sampler, answers.mask, cap, level)
    same(factors, theirs * answers.mask)
    assert (factors == cap).any() and ((factors > 0) & (factors < cap)).any()

    # and in the loss: on the policy term, not on the KL term
    own = trainer(
        answers.new,
        loss_type="dapo",
        beta=0.3,
        use_vllm=True,
        vllm_importance_sampling_correction=True,
    )
    loss = GRPOTrainer._compute_loss(
        own, None, trl_inputs(answers, importance_sampling_ratio=theirs)
    )
    weights = token_weights(answers.mask, "token")
    ours, _ = policy_loss(
        *(answers.new, answers.old, answers.advantages[:, None], weights, 0.2, 0.2),
        correction_BA=factors,
    )
    ours = ours + 0.3 * kl_loss(answers.new, answers.reference, weights, "k3")
    same(ours, loss)
    same(answers.gradient(ours), answers.gradient(loss))
