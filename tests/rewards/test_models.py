"""Rewards of trained models: what they read, how a score becomes a reward, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import exp
from pathlib import Path

import pytest
import torch

from medrl.errors import RecipeError
from medrl.grading import Grader
from medrl.learning.policy import Policy, load_policy, save_model
from medrl.learning.scoring import score, scored_group
from medrl.prompt import Prompt
from medrl.rewards.models import QUALITY, PreferenceSpec, VerifierSpec
from medrl.rewards.term import Answer, RewardContext
from medrl.schema import ModelSpec
from tests.tiny import case

GRADER = Grader()


@pytest.fixture(scope="module")
def folder(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a random head, and its scale."""
    path = tmp_path_factory.mktemp("scorer")
    policy = load_policy(ModelSpec(path=str(tiny("qwen2"))), scores=True)
    torch.manual_seed(1)
    torch.nn.init.normal_(policy.model.get_submodule("score").weight)
    save_model(policy, path)
    (path / QUALITY).write_text(json.dumps({"mean": 0.5, "deviation": 2.0}))
    return path


def answer(text: str) -> Answer:
    verdict = GRADER.grade(text, case().reference)
    return Answer(case(), Prompt("Q: What helps?", (1, 2)), text, (3,), verdict, 0)


@pytest.fixture
def context(tiny: Callable[[str], Path], folder: Path) -> RewardContext:
    policy = load_policy(ModelSpec(path=str(tiny("qwen2"))))
    return RewardContext(policy, GRADER, lambda name: str(folder) if name == "stage:x" else name)


def test_a_preference_is_a_sigmoid_on_the_scale_of_held_out_answers(
    context: RewardContext, folder: Path
) -> None:
    term = PreferenceSpec(term="preference", model="stage:x").build(context)
    found = term.score([answer("<answer>insulin</answer>"), answer("<think>x</think>")])
    scorer = load_policy(ModelSpec(path=str(folder)), scores=True)
    [[raw]] = score(scorer, [scored_group(scorer, case(), "Q: What helps?", ["insulin"], [0])], 99)
    assert found[0].value == pytest.approx(1 / (1 + exp(-(raw - 0.5) / 2)), abs=1e-5)
    assert found[1].value == 0.0 and "no answer" in found[1].reason


def test_a_verifier_reads_question_reference_and_answer(
    context: RewardContext, folder: Path
) -> None:
    term = VerifierSpec(term="verifier", model=str(folder)).build(context)
    [found] = term.score([answer("<think>x</think><answer>B</answer>")])
    scorer: Policy = load_policy(ModelSpec(path=str(folder)), scores=True)
    prompt = "Question: What helps?\nReference: B. insulin\nAnswer:"
    [[raw]] = score(scorer, [scored_group(scorer, case(), prompt, ["B"], [0])], 999)
    assert found.value == pytest.approx(1 / (1 + exp(-raw)), abs=1e-5)


def test_missing_models_and_scales_are_refused(
    context: RewardContext, folder: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="no model in"):
        VerifierSpec(term="verifier", model=str(tmp_path)).check()
    VerifierSpec(term="verifier", model="stage:x").check()
    VerifierSpec(term="verifier", model=str(folder)).check()
    with pytest.raises(RecipeError, match="does not say the scale"):
        PreferenceSpec(term="preference", model=str(tiny("qwen2"))).build(context)
