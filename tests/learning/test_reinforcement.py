"""Learning from groups: what is computed, from which samplers, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.learning import gathering, reinforcement
from medrl.learning.groups import Group, Origin
from medrl.learning.layout import Member, lay_out, members_of
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.metrics import group_metrics
from medrl.learning.reinforcement import RLLearner
from medrl.learning.session import run_recipe
from medrl.run import RunFolder
from medrl.schema import Recipe
from tests.learning.conftest import (
    Foreign,
    Gradients,
    MakeRecipe,
    assert_same_gradient,
    differ,
    paid,
    paid_by_tokens,
    rl_learner,
    weights_of,
)
from tests.learning.test_exact_resume import silent
from tests.tiny import case, episode, siblings

GROUP_OBJECTIVES = ("grpo", "dr_grpo", "rloo", "dapo", "gspo")


def mixed() -> list[Group]:
    """Two groups that teach, and between them one in which all answers are as good."""
    return [siblings(1, (1, 0, 0, 1)), siblings(2, (1, 1, 1, 1)), siblings(3, (0, 1, -1, 1))]


def like_the_policy(learner: RLLearner, groups: Sequence[Group]) -> list[Group]:
    """The same answers as if the policy as it is now had written them."""
    layout = lay_out(members_of(groups), "plain", 0, learner.policy.device)
    with torch.no_grad():
        rows = iter(answer_log_probs(learner.policy.model, layout, 1.0).tolist())
    found = []
    for group in groups:
        episodes = []
        for e in group.episodes:
            row = iter(next(rows))
            log_probs = tuple(next(row) if o == Origin.POLICY else 0.0 for o in e.origins)
            episodes.append(replace(e, log_probs=log_probs))
        found.append(replace(group, episodes=tuple(episodes)))
    return found


# --- the loss ------------------------------------------------------------------------------------


def test_grpo_by_hand(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two prompts with two answers each. The probability ratios of tokens 11 to 16 are given, and
    so are the ratios to the reference; the loss is computed on paper."""
    ratio = {11: 1.5, 12: 0.5, 13: 1.5, 14: 0.5, 15: 1.0, 16: 1.1}
    over_reference = {11: 0.5, 13: 2.0}

    def answer(*tokens: int, reward: float) -> Any:
        return episode([1, 2], [(Origin.POLICY, tokens)], reward, log_prob=-2.0)

    def given(model: Any, hidden: torch.Tensor, targets: torch.Tensor, _: float) -> torch.Tensor:
        now = [-2.0 + math.log(ratio[t]) for t in targets.tolist()]
        if model is not learner.policy.model:
            now = [
                x - math.log(over_reference.get(t, 1.0))
                for x, t in zip(now, targets.tolist(), strict=True)
            ]
        return torch.tensor(now) + 0 * hidden.sum()

    learner = rl_learner(make_recipe({"objective": "grpo", "kl_coefficient": 0.3}))
    losses = []
    monkeypatch.setattr(reinforcement, "token_log_probs", given)
    monkeypatch.setattr(reinforcement, "step_optimizer", lambda *args: losses.append(args[1]) or 0)
    groups = [
        Group(case(), "", 2, (answer(11, reward=1), answer(12, 13, reward=0))),
        Group(case(), "", 2, (answer(14, 15, reward=1), answer(16, reward=0))),
    ]
    metrics = learner.update(groups, 0)

    a = 0.5 / (math.sqrt(0.5) + 1e-6)  # (1 - mean) / standard deviation of rewards 1 and 0
    gains = (
        1.2 * a,  # 1.5 is clipped
        (-0.8 * a - 1.5 * a) / 2,  # 0.5 is clipped; 1.5 of a bad token is not
        (0.5 * a + 1.0 * a) / 2,
        -1.1 * a,
    )
    assert metrics["policy_loss"] == pytest.approx(-sum(gains) / 4, abs=1e-6)
    assert metrics["clipped_share"] == pytest.approx(1 / 4 + 1 / 8)
    kl = (2 - math.log(2) - 1) / 4 + (0.5 - math.log(0.5) - 1) / 8  # k3 of tokens 11 and 13
    assert metrics["kl_loss"] == pytest.approx(kl, abs=1e-6)
    assert losses == [pytest.approx(-sum(gains) / 4 + 0.3 * kl, abs=1e-6)]


def test_kl_in_the_reward_by_hand(make_recipe: MakeRecipe) -> None:
    """What an answer has drifted from the reference is taken off its reward."""
    learner = rl_learner(make_recipe({"objective": "rloo", "kl_coefficient": 0.3}))
    group = siblings(1, (1, 0, 0))
    frozen, _ = learner._freeze([group])
    [reference] = like_the_policy(learner, [group])  # which has not moved yet
    paid_off = [
        e.reward - 0.3 * (sum(e.log_probs) - sum(r.log_probs))
        for e, r in zip(group.episodes, reference.episodes, strict=True)
    ]
    expected = [
        own - (sum(paid_off) - own) / 2  # less the mean of the other two
        for own in paid_off
    ]
    assert frozen.advantages[:, 0].tolist() == pytest.approx(expected, abs=1e-4)
    assert "kl_loss" not in learner.update([group], 0)


@pytest.mark.parametrize("objective", ["ppo", *GROUP_OBJECTIVES])
def test_what_is_rewarded_becomes_likelier(make_recipe: MakeRecipe, objective: str) -> None:
    """A reward for one token, forty updates: the policy says it far more often."""
    settings = {"learning_rate": 0.01, "kl_coefficient": 0.0, "answers_per_prompt": 16}
    more = {"critic_learning_rate": 0.05} if objective == "ppo" else {}
    learner = rl_learner(
        make_recipe({"objective": objective, "max_new_tokens": 1} | settings | more)
    )
    wanted = learner.policy.encode("A")[0]
    shares = []
    for number in range(40):
        group = learner.rollout(lambda batch: [case()], number)[0]
        hits = [e.token_ids[-1] % 10 == wanted % 10 for e in group.episodes]
        shares.append(sum(hits) / len(hits))
        learner.update([paid(group, hits)], number)
    assert sum(shares[-5:]) / 5 > sum(shares[:5]) / 5 + 0.4


@pytest.mark.parametrize("objective", GROUP_OBJECTIVES)
def test_without_any_difference_in_reward_nothing_changes(
    make_recipe: MakeRecipe, objective: str
) -> None:
    learner = rl_learner(make_recipe({"objective": objective, "kl_coefficient": 0.0}))
    before = weights_of(learner)
    for group in (siblings(1, (0, 0, 0)), siblings(2, (0.1, 0.1, 0.1))):
        metrics = learner.update([group], 0)
        assert metrics["live_groups"] == metrics["grad_norm"] == metrics["policy_loss"] == 0
    assert not differ(before, weights_of(learner))


# --- groups that teach nothing -------------------------------------------------------------------


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("budget", ["one answer at a time", "all at once"])
def test_leaving_out_what_teaches_nothing_leaves_the_gradient(
    make_recipe: MakeRecipe,
    captured: Gradients,
    monkeypatch: pytest.MonkeyPatch,
    budget: str,
    foreign: bool,
) -> None:
    one_at_a_time = budget == "one answer at a time"
    tokens = max(m.length for m in members_of(mixed())) if one_at_a_time else 10_000
    stage = {"objective": "dapo", "token_budget": tokens, "layout": "packed"}
    learner = rl_learner(make_recipe(stage))
    if foreign:
        learner.gatherer.sampler = Foreign(learner.gatherer.sampler)
    metrics = [learner.update(mixed(), 0)]
    left_out = dict(captured)

    def everything(learner: RLLearner, frozen: Any, rows_B: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(rows_B, dtype=torch.bool)

    monkeypatch.setattr(RLLearner, "_teaches", everything)
    metrics.append(learner.update(mixed(), 0))
    if one_at_a_time:
        assert not differ(left_out, captured)
    assert_same_gradient(left_out, captured)
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-6)


@pytest.mark.parametrize(
    ("stage", "computed"),
    [
        ({"objective": "dapo"}, {0, 2}),
        ({"objective": "grpo", "kl_coefficient": 0.0}, {0, 2}),
        ({"objective": "grpo"}, {0, 1, 2}),  # the KL loss teaches, too
        ({"objective": "ppo", "kl_coefficient": 0.0}, {0, 1, 2}),  # and so does a critic
    ],
)
def test_only_what_teaches_is_computed(
    make_recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
    stage: dict[str, Any],
    computed: set[int],
) -> None:
    learner = rl_learner(make_recipe(stage))
    frozen, _ = learner._freeze(mixed())
    seen: set[int] = set()

    def spy(members: Sequence[Member], *args: Any) -> Any:
        seen.update(m.group for m in members)
        return lay_out(members, *args)

    monkeypatch.setattr(reinforcement, "lay_out", spy)
    learner._minibatch_step(frozen, torch.arange(12))
    assert seen == computed


def test_a_critic_learns_where_the_policy_has_nothing_to_learn(make_recipe: MakeRecipe) -> None:
    learner = rl_learner(make_recipe({"kl_coefficient": 0.0}))
    frozen, _ = learner._freeze([siblings(1, (1, 1, 1))])
    assert not frozen.advantages.any()  # the same reward everywhere, and no values yet
    metrics = learner.update([siblings(1, (1, 1, 1))], 0)
    assert metrics["value_loss"] == pytest.approx(0.5) and metrics["grad_norm"] > 0


# --- truncated sampling --------------------------------------------------------------------------


@pytest.mark.parametrize("truncation", [{"top_k": 1}, {"top_p": 1e-6}])
def test_truncated_sampling_draws_fewer_tokens_and_tells_the_learners_log_probs(
    make_recipe: MakeRecipe, truncation: dict[str, Any]
) -> None:
    stage = {"objective": "grpo", "allow_truncated_sampling": True}
    learner = rl_learner(make_recipe(stage | truncation))
    groups = learner.rollout(lambda batch: [case()], 0)
    assert len({e.token_ids for e in groups[0].episodes}) == 1  # the likeliest, every time
    assert like_the_policy(learner, groups)[0].episodes[0].log_probs == pytest.approx(
        groups[0].episodes[0].log_probs, abs=1e-5
    )
    free = rl_learner(make_recipe(stage)).rollout(lambda batch: [case()], 0)
    assert len({e.token_ids for e in free[0].episodes}) == 4


# --- foreign samplers ----------------------------------------------------------------------------


def test_a_foreign_sampler_is_corrected_with_the_learners_own_log_probs(
    make_recipe: MakeRecipe,
) -> None:
    recipe = make_recipe({"objective": "grpo", "importance_cap": 1.5, "kl_coefficient": 0.0})
    learner = rl_learner(recipe)
    exact, _ = learner._freeze(learner.rollout(lambda batch: [case()], 0))
    learner.gatherer.sampler = Foreign(learner.gatherer.sampler, noise=0.5)
    groups = learner.rollout(lambda batch: [case()], 0)
    frozen, metrics = learner._freeze(groups)
    torch.testing.assert_close(frozen.old, exact.old, rtol=0, atol=1e-5)
    assert exact.correction is None and metrics["kl"] == 0
    correction = frozen.correction[frozen.mask.bool()].tolist()
    told = [x for e in groups[0].episodes for x in e.log_probs if x]
    own = exact.old[frozen.mask.bool()].tolist()
    assert correction == pytest.approx(
        [min(math.exp(old - behaviour), 1.5) for old, behaviour in zip(own, told, strict=True)],
        abs=1e-4,
    )
    assert max(correction) == 1.5 and min(correction) < 0.7


@pytest.mark.parametrize("objective", ["ppo", *GROUP_OBJECTIVES])
@pytest.mark.parametrize("minibatches", [1, 2])
def test_a_foreign_sampler_that_computes_the_same_teaches_the_same(
    make_recipe: MakeRecipe, captured: Gradients, objective: str, minibatches: int
) -> None:
    stage = {"objective": objective, "minibatches": minibatches, "extra_batches": 0}
    if objective == "ppo":
        del stage["extra_batches"]
    learner = rl_learner(make_recipe(stage))
    groups = like_the_policy(learner, mixed())
    metrics = learner.update(groups, 0)
    exact = dict(captured)
    learner.gatherer.sampler = Foreign(learner.gatherer.sampler)
    assert learner.update(groups, 0) == pytest.approx(metrics, rel=1e-4, abs=1e-5)
    assert_same_gradient(captured, exact)


def test_a_sampler_without_entropies_has_none_in_its_metrics(make_recipe: MakeRecipe) -> None:
    learner = rl_learner(make_recipe({"objective": "grpo"}))
    known = group_metrics(learner.policy, learner.rollout(lambda batch: [case()], 0))
    learner.gatherer.sampler = Foreign(learner.gatherer.sampler)
    unknown = group_metrics(learner.policy, learner.rollout(lambda batch: [case()], 0))
    assert known.pop("entropy") > 0 and unknown == known


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_gradient_checkpointing_changes_no_run(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora_rank: int
) -> None:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)

    def metrics(checkpointing: bool) -> list[dict[str, Any]]:
        recipe: Recipe = make_recipe(
            {"objective": "grpo", "kl_coefficient": 0.1}, lora_rank=lora_rank, evaluation={}
        )
        model = recipe.model.model_copy(update={"gradient_checkpointing": checkpointing})
        path = tmp_path / str(checkpointing)
        run_recipe(recipe.model_copy(update={"model": model}), path, silent())
        with RunFolder.open(path) as run:
            return run.read_lines("metrics")

    plain, saving = metrics(False), metrics(True)
    assert len(plain) == len(saving) == 3 and plain[-1]["grad_norm"] > 0
    for one, other in zip(plain, saving, strict=True):
        assert one.pop("stage") == other.pop("stage")
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
