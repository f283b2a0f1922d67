"""Every setting of a stage that learns from rewards changes its updates, as far as it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medrl.learning.layout import lay_out
from medrl.learning.logprobs import answer_log_probs
from medrl.schema import Recipe
from tests.learning.conftest import (
    Foreign,
    Gradients,
    MakeRecipe,
    Weights,
    assert_same_gradient,
    differ,
    rl_learner,
    weights_of,
)
from tests.tiny import siblings


def step(recipe: Recipe, foreign: bool = False) -> Weights:
    """Policy weights after one update on made-up answers to two prompts. The policy has moved a
    little since it wrote them, and since the reference was taken."""
    learner = rl_learner(recipe)
    if learner.critic is not None:
        draw = torch.Generator().manual_seed(1)
        torch.nn.init.normal_(learner.critic.head.weight, generator=draw)
    if foreign:
        learner.gatherer.sampler = Foreign(learner.gatherer.sampler)
    groups = [siblings(1, (1, 0, 0, 1)), siblings(2, (0, 1, -1, 0.5))]
    frozen, metrics = learner._freeze(groups)
    layout = lay_out(frozen.members, "plain", 0, learner.policy.device)
    with torch.no_grad():
        now = answer_log_probs(learner.policy.model, layout, 1.0)
    draw = torch.Generator().manual_seed(3)
    drift, further = torch.randn((2, *now.shape), generator=draw) * frozen.mask
    frozen.old = now + 0.5 * drift
    frozen.ref = now + 0.5 * further
    frozen.old_values = frozen.old_values + drift
    learner._freeze = lambda groups: (frozen, metrics)
    learner.update(groups, 0)
    return weights_of(learner)


OF_ALL: list[dict[str, Any]] = [
    {"clip_low": 0.0},
    {"clip_high": 5.0},
    {"kl_coefficient": 0.5},
    {"aggregation": "token"},
    {"temperature": 0.5},
    {"epochs_per_step": 2},
    {"minibatches": 2},
    {"max_grad_norm": 1e-9},
    {"weight_decay": 0.5},
    {"learning_rate": 0.1},
]


@pytest.mark.parametrize(
    "setting",
    [
        *OF_ALL,
        {"gamma": 0.5},
        {"lam": 0.5},
        {"value_coefficient": 0.9},
        {"value_clip": 0.01},
        {"critic": "copy"},
        {"critic_learning_rate": 0.1, "epochs_per_step": 2},
    ],
    ids="-".join,
)
def test_every_setting_of_ppo_changes_an_update(
    make_recipe: MakeRecipe, setting: dict[str, Any]
) -> None:
    others = {"epochs_per_step": 2} if "critic_learning_rate" in setting else {}
    plain = step(make_recipe(others))
    assert differ(plain, step(make_recipe(setting)))
    assert not differ(plain, step(make_recipe(others)))


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        *[(setting, {}) for setting in OF_ALL],
        ({"advantage": "centred"}, {}),
        ({"advantage": "leave_one_out"}, {}),
        ({"advantage": "leave_one_out"}, {"advantage": "centred"}),
        ({"ratio": "sequence"}, {}),
        ({"kl_in": "reward", "kl_estimator": "k1"}, {}),
        ({"kl_coefficient": 0.5}, {"kl_in": "reward", "kl_estimator": "k1"}),
        ({"kl_estimator": "k2"}, {}),
        ({"aggregation": "constant"}, {}),
        ({"max_length": 50}, {"aggregation": "constant"}),
        ({"overlong_buffer": 12}, {}),
        ({"overlong_buffer": 3}, {"overlong_buffer": 12}),
    ],
)
def test_every_setting_of_a_group_objective_changes_an_update(
    make_recipe: MakeRecipe, setting: dict[str, Any], others: dict[str, Any]
) -> None:
    base = {"objective": "grpo", "kl_coefficient": 0.1} | others
    plain = step(make_recipe(base))
    assert differ(plain, step(make_recipe(base | setting)))
    assert not differ(plain, step(make_recipe(base)))


@pytest.mark.parametrize("objective", ["ppo", "grpo"])
def test_the_correction_is_for_foreign_samplers_only(
    make_recipe: MakeRecipe, objective: str
) -> None:
    def weights(foreign: bool, **settings: Any) -> Weights:
        return step(make_recipe({"objective": objective} | settings), foreign)

    plain = weights(True)
    assert differ(plain, weights(False))
    assert differ(plain, weights(True, importance_cap=0.01))
    assert differ(plain, weights(True, importance_level="sequence"))
    assert not differ(plain, weights(True))
    other = weights(False, importance_cap=0.01, importance_level="sequence")
    assert not differ(weights(False), other)


def test_the_longest_answer_is_the_constant_length_unless_another_is_given(
    make_recipe: MakeRecipe,
) -> None:
    settings = {"objective": "dr_grpo", "max_new_tokens": 20}
    same = make_recipe(settings | {"max_length": 20})
    assert not differ(step(make_recipe(settings)), step(same))


@pytest.mark.parametrize("layout", ["packed", "shared", "auto"])
def test_the_layout_changes_nothing_but_rounding(
    make_recipe: MakeRecipe, captured: Gradients, layout: str
) -> None:
    gradients = []
    for way in ("plain", layout):
        recipe = make_recipe({"objective": "grpo", "kl_coefficient": 0.1, "layout": way})
        step(recipe)
        gradients.append(dict(captured))
        frozen, _ = rl_learner(recipe)._freeze([siblings(1, (1, 0))])
        assert frozen.mode == ("shared" if way == "auto" else way)
    assert_same_gradient(gradients[1], gradients[0])


PRESETS: dict[str, dict[str, Any]] = {
    "dr_grpo": {"advantage": "centred", "aggregation": "constant", "kl_coefficient": 0.0},
    "rloo": {"advantage": "leave_one_out", "kl_in": "reward", "kl_estimator": "k1"},
    "dapo": {
        "clip_high": 0.28,
        "aggregation": "token",
        "kl_coefficient": 0.0,
        "extra_batches": 3,
    },
    "gspo": {"ratio": "sequence", "clip_low": 3e-4, "clip_high": 4e-4, "kl_coefficient": 0.0},
}


@pytest.mark.parametrize("objective", PRESETS)
def test_a_preset_is_grpo_with_its_settings_written_out(
    make_recipe: MakeRecipe, objective: str
) -> None:
    preset = make_recipe({"objective": objective})
    written = make_recipe({"objective": "grpo"} | PRESETS[objective])
    one, two = (r.stages[0].model_dump(exclude={"objective"}) for r in (preset, written))
    assert one == two
    assert not differ(step(preset), step(written))
    assert differ(step(preset), step(make_recipe({"objective": "grpo"})))


def test_with_a_critic_of_its_own_the_policy_does_not_feel_the_value_loss(
    make_recipe: MakeRecipe,
) -> None:
    def weights(critic: str, coefficient: float) -> Weights:
        settings = {"critic": critic, "value_coefficient": coefficient, "max_grad_norm": 1e9}
        return step(make_recipe(settings))

    assert differ(weights("shared", 0.0), weights("shared", 2.0))
    assert not differ(weights("copy", 0.0), weights("copy", 2.0))
