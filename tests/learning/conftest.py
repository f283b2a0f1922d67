"""Policies over tiny models, and the smallest recipe that runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medrl.learning.policy import Policy, load_policy
from medrl.learning.preparation import load_examiner
from medrl.learning.reinforcement import RLLearner
from medrl.learning.session import build_learner
from medrl.schema import ModelSpec, Recipe
from tests.run.conftest import fork

__all__ = ["fork"]

LoadTiny = Callable[..., Policy]
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def load_tiny(tiny: Callable[[str], Path]) -> LoadTiny:
    """``load_tiny("qwen2")`` is a fresh policy, its own to train."""

    def load(architecture: str = "qwen2", lora_rank: int = 0) -> Policy:
        return load_policy(ModelSpec(path=str(tiny(architecture)), lora_rank=lora_rank))

    return load


@pytest.fixture(scope="session")
def policy(tiny: Callable[[str], Path]) -> Policy:
    """A policy to look at, not to train."""
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


def tiny_recipe(folder: Path, *stages: dict[str, Any], lora_rank: int = 0, **more: Any) -> Recipe:
    """A recipe over eight clinic questions; stages are given as mappings laid over small ones."""
    return Recipe.model_validate(
        {
            "name": "toy",
            "summary": "a run of seconds",
            "scale": "rehearsal",
            "model": {"path": str(folder), "lora_rank": lora_rank},
            "train": {"source": "clinic:train", "size": 8},
            "stages": [_SMALL[s.get("objective", "ppo")] | s for s in stages or ({},)],
            "evaluation": {
                "sets": {"test-id": {"source": "clinic:test-id", "size": 3}},
                "max_new_tokens": 6,
            },
        }
        | more
    )


@pytest.fixture
def make_recipe(tiny: Callable[[str], Path]) -> MakeRecipe:
    """``tiny_recipe`` over a tiny Qwen2."""
    return partial(tiny_recipe, tiny("qwen2"))


def rl_learner(recipe: Recipe) -> RLLearner:
    """The learner of the recipe's first stage over a freshly loaded policy."""
    learner = build_learner(recipe, 0, load_examiner(recipe))
    assert isinstance(learner, RLLearner)
    return learner


_SMALL: dict[str, dict[str, Any]] = {
    "ppo": {
        "objective": "ppo",
        "steps": 3,
        "prompts_per_step": 4,
        "max_new_tokens": 12,
        "learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "checkpoint_every": 1,
    },
    **{
        objective: {
            "objective": objective,
            "steps": 3,
            "prompts_per_step": 4,
            "answers_per_prompt": 4,
            "max_new_tokens": 12,
            "learning_rate": 1e-3,
            "checkpoint_every": 1,
        }
        for objective in ("grpo", "dr_grpo", "rloo", "dapo", "gspo")
    },
    "sft": {
        "objective": "sft",
        "steps": 2,
        "prompts_per_step": 4,
        "learning_rate": 1e-2,
        "checkpoint_every": 1,
    },
}
