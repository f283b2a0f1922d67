"""Training on pictures: every objective, adapters alone, perturbed twins, pools of prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.cases.perturbation import PerturbationSpec
from medrl.clinic.phantoms.cases import phantom_cases
from medrl.environments.pools import templates_of
from medrl.errors import RecipeError
from medrl.grading.verdict import Outcome
from medrl.learning import gathering, reinforcement
from medrl.learning.groups import Group, Origin
from medrl.learning.inputs import fingerprint_model
from medrl.learning.learner import DrawCases
from medrl.learning.metrics import group_metrics
from medrl.learning.reinforcement import RLLearner
from medrl.learning.reward_scale import RunningScale
from medrl.recipe import load_recipe
from medrl.schema import Recipe
from tests.learning.conftest import paid_by_tokens, rl_learner, sft_learner, tiny_recipe
from tests.tiny import verdict

MakeSeeing = Callable[..., Recipe]


@pytest.fixture
def recipe_of(seeing: Callable[[str], Path]) -> MakeSeeing:
    """``tiny_recipe`` over a model that sees, and questions about phantoms."""

    def make(stage: dict[str, Any], kind: str = "qwen2_vl", **more: Any) -> Recipe:
        return tiny_recipe(
            seeing(kind),
            stage,
            train={"source": "clinic:phantoms-closed-train", "size": 8},
            **{"evaluation": {}, **more},
        )

    return make


@pytest.fixture(autouse=True)
def _by_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)


def drawn(cases: int = 4) -> DrawCases:
    chosen = phantom_cases("phantoms-closed-train", cases)
    return lambda attempt: chosen


def step(learner: RLLearner) -> dict[str, Any]:
    return dict(learner.update(learner.rollout(drawn(), 0), 0))


@pytest.mark.parametrize("kind", ["qwen2_vl", "idefics3", "llava", "gemma3"])
@pytest.mark.parametrize("objective", ["ppo", "grpo", "dr_grpo"])
def test_a_step_moves_eyes_and_text_alike(objective: str, kind: str, recipe_of: MakeSeeing) -> None:
    stage = {"objective": objective, "answers_per_prompt": 4}
    learner = rl_learner(recipe_of(stage, kind))
    before = {n: p.clone() for n, p in learner.policy.model.named_parameters()}
    metrics = step(learner)
    assert metrics["grad_norm"] > 0
    moved = {n for n, p in learner.policy.model.named_parameters() if not p.equal(before[n])}
    assert any("vis" in name for name in moved) and any(
        "language" in n or "text" in n for n in moved
    )


def test_supervised_steps_lower_the_loss(recipe_of: MakeSeeing) -> None:
    learner = sft_learner(recipe_of({"objective": "sft", "targets": "full"}))
    losses = []
    for number in range(6):
        groups = learner.rollout(drawn(), number)
        losses.append(learner.update(groups, number)["loss"])
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("on", ["all", "attention"])
def test_only_adapters_change(on: str, recipe_of: MakeSeeing) -> None:
    recipe = recipe_of({"objective": "grpo", "learning_rate": 0.05})
    model = recipe.model.model_copy(update={"lora_rank": 2, "lora_on": on})
    learner = rl_learner(recipe.model_copy(update={"model": model}))
    policy = learner.policy.model
    adapters = [n for n, p in policy.named_parameters() if p.requires_grad]
    assert adapters and all("lora_" in name for name in adapters)
    if on == "attention":
        assert all("self_attn" in n and "visual" not in n for n in adapters)
    assert any("visual" in name for name in adapters) == (on == "all")
    frozen = torch.nn.ParameterDict(
        {n.replace(".", "/"): p for n, p in policy.named_parameters() if n not in adapters}
    )
    before, learnt = fingerprint_model(frozen), [p.clone() for p in learner.policy.trainable()]
    step(learner)
    assert fingerprint_model(frozen) == before
    pairs = zip(learner.policy.trainable(), learnt, strict=True)
    assert any(not p.equal(q) for p, q in pairs)


def test_perturbed_twins_are_asked_and_nothing_is_learned_from_them(
    recipe_of: MakeSeeing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers to the cases themselves, the same gradient; the twins' verdicts beside."""
    stage = {"objective": "grpo", "answers_per_prompt": 4}
    plain, twinned = (
        rl_learner(recipe_of(stage | more)) for more in ({}, {"perturb": {"kind": "grey"}})
    )
    groups, same = (learner.rollout(drawn(), 0) for learner in (plain, twinned))
    assert all(g.twin is None for g in groups)
    assert [g.episodes for g in same] == [g.episodes for g in groups]
    for group in same:
        assert group.twin is not None and len(group.twin.verdicts) == 4
        [picture] = group.twin.case.images
        assert picture.open().getextrema() == ((128, 128),) * 3
    steps: list[list[torch.Tensor]] = []

    def keep(optimizer: torch.optim.Optimizer, loss: float, most: float) -> float:
        steps.append(
            [
                p.grad.clone()
                for g in optimizer.param_groups
                for p in g["params"]
                if p.grad is not None
            ]
        )
        return 0.0

    monkeypatch.setattr(reinforcement, "step_optimizer", keep)
    plain.update(groups, 0)
    found = twinned.update(same, 0)
    for mine, theirs in zip(*steps, strict=True):
        assert torch.equal(mine, theirs)
    assert found["image_reliance"] == pytest.approx(found["accuracy"] - found["perturbed_accuracy"])


def test_of_twins_the_gradient_takes_only_what_they_are_worth(
    recipe_of: MakeSeeing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the perception reward: the same rewards without twins give the same gradient, bit for
    bit, and other verdicts on the twins alone change none."""
    reward = {"terms": [{"term": "correct"}, {"term": "perception"}]}
    stage = {"objective": "grpo", "answers_per_prompt": 4, "perturb": {"kind": "grey"}}
    learner = rl_learner(recipe_of(stage | {"reward": reward}))
    groups = learner.rollout(drawn(), 0)
    assert all(g.twin is not None for g in groups)
    found: list[list[torch.Tensor]] = []

    def keep(optimizer: torch.optim.Optimizer, loss: float, most: float) -> float:
        found.append([p.grad.clone() for p in learner.policy.trainable() if p.grad is not None])
        optimizer.zero_grad()
        return 0.0

    monkeypatch.setattr(reinforcement, "step_optimizer", keep)
    opposite = [
        replace(g, twin=replace(g.twin, verdicts=(verdict(Outcome.CORRECT),) * 4))
        for g in groups
        if g.twin is not None
    ]
    for asked in (groups, [replace(g, twin=None) for g in groups], opposite):
        learner.update(asked, 0)
    with_twins, *others = found
    assert sum(float(g.abs().sum()) for g in with_twins) > 0
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(with_twins, other, strict=True))


def test_no_token_of_a_twin_is_in_what_is_learned(recipe_of: MakeSeeing) -> None:
    learner = rl_learner(recipe_of({"objective": "grpo", "perturb": {"kind": "swap"}}))
    groups: list[Group] = learner.rollout(drawn(), 0)
    written = sum(o == Origin.POLICY for g in groups for e in g.episodes for o in e.origins)
    assert written == sum(e.policy_tokens for g in groups for e in g.episodes)
    metrics = group_metrics(learner.policy, groups)
    assert metrics["episodes"] == sum(len(g.episodes) for g in groups) == 16


def test_perception_is_paid_only_where_twins_are_asked(recipe_of: MakeSeeing) -> None:
    reward = {"terms": [{"term": "correct"}, {"term": "perception"}]}
    with pytest.raises(ValueError, match="give the stage perturb"):
        recipe_of({"objective": "grpo", "reward": reward})
    recipe_of({"objective": "grpo", "reward": reward, "perturb": {"kind": "mask"}})


def test_a_pool_of_prompts_varies_between_cases_and_steps_and_not_within_a_group(
    recipe_of: MakeSeeing,
) -> None:
    learner = rl_learner(recipe_of({"objective": "grpo"}, prompt="pool:diverse"))
    texts = [[g.prompt for g in learner.rollout(drawn(), number)] for number in range(6)]
    assert len({text for row in texts for text in row}) > 12
    assert all(len(set(column)) > 1 for column in zip(*texts, strict=True))
    starts = {t.partition("{question}")[0] for t in templates_of("pool:diverse")}
    assert all(any(text.startswith(s) for s in starts) for row in texts for text in row)


def test_test_sets_can_be_perturbed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="out of range"):
        load_recipe(
            "med-rlvr",
            overrides=[
                "evaluation.sets.grey={source: 'clinic:phantoms-test', size: 4, "
                "perturb: {kind: mask, strength: 0.1}}"
            ],
        )
    assert PerturbationSpec(kind="grey").twins(phantom_cases("phantoms-test", 2), 0)


def test_rewards_of_open_questions_are_brought_to_the_scale_of_closed_ones(
    recipe_of: MakeSeeing,
) -> None:
    """By hand over two steps, and by a learner that has been restored between them."""
    recipe = recipe_of({"objective": "dr_grpo", "answers_per_prompt": 2, "one_scale": True})
    learner, other = rl_learner(recipe), rl_learner(recipe)
    closed, opened = (
        phantom_cases("phantoms-closed-train", 2),
        phantom_cases("phantoms-open-train", 2),
    )
    plain = rl_learner(recipe_of({"objective": "dr_grpo", "answers_per_prompt": 2}))

    def rewards(of: RLLearner, number: int) -> list[list[float]]:
        return [g.rewards for g in of.rollout(lambda attempt: [*closed, *opened], number)]

    scale = RunningScale()
    for number in range(2):
        raw = rewards(plain, number)
        scale.update("closed", raw[0] + raw[1])
        scale.update("open", raw[2] + raw[3])
        wanted = raw[:2] + [scale.rescale("open", row) for row in raw[2:]]
        assert rewards(learner, number) == wanted
    other.load(learner.tensors())
    assert rewards(other, 2) == rewards(learner, 2)
