"""RARL's reasoning reward: the rule and a served judge behind one term, and the gate."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from medrl.judges import RUBRICS, Counts
from medrl.rewards.reasoning import ReasoningSpec
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import Answer, RewardContext
from tests.judges.server import JudgeServer, honest, part_of
from tests.rewards.conftest import phrase, reply, told, values
from tests.tiny import case

LUNG = replace(phrase("pneumonia"), tags={"findings": "consolidation; no pleural effusion"})
GOOD = (
    "There is a consolidation in the right lower lobe on the frontal view. No pleural effusion is "
    "seen, and the heart has a normal size. Therefore this is"
)


def right(think: str = f"{GOOD} pneumonia.") -> Answer:
    return reply(told("pneumonia", think), LUNG)


def test_good_reasoning_of_a_right_answer_is_paid_in_full(context: RewardContext) -> None:
    term = ReasoningSpec(term="reasoning").build(context)
    [score] = term.score([right()])
    assert score.value == 1.0
    assert score.reason == "findings 1, chain 1, agreement 1, substance 1"


@pytest.mark.parametrize("wrong", [0.0, 0.5, 1.0])
def test_a_wrong_answer_keeps_the_gates_share(wrong: float, context: RewardContext) -> None:
    term = ReasoningSpec(term="reasoning", wrong=wrong).build(context)
    fluent = reply(told("gout", f"{GOOD} gout."), LUNG)
    assert values(term, fluent) == [wrong]
    # Findings and substance are there, the chain ends elsewhere, and the answer is contradicted.
    torn = reply(told("gout", f"{GOOD} clear: the answer is pneumonia."), LUNG)
    assert values(term, torn) == [wrong * (1 + 0.5 + 0 + 1) / 4]


def test_what_the_gate_took_is_logged_and_not_paid(context: RewardContext) -> None:
    terms = [{"term": "reasoning", "weight": 0.5}]
    reward = Reward(RewardSpec.model_validate({"malformed": None, "terms": terms}), context)
    fluent = reply(told("gout", f"{GOOD} gout."), LUNG)
    for answer, value in ((right(), 1.0), (fluent, 0.5)):
        [paid] = reward.pay([answer])
        assert paid.terms == {"reasoning": value, "reasoning_ungated": 1.0}
        assert paid.value == value / 2


def test_what_has_nothing_to_be_judged_has_0(context: RewardContext) -> None:
    term = ReasoningSpec(term="reasoning").build(context)
    for empty in (told("pneumonia", ""), f"<think>{GOOD}</think>"):
        assert values(term, reply(empty, LUNG)) == [0.0]


def test_a_case_without_findings_cannot_be_told(context: RewardContext) -> None:
    [score] = ReasoningSpec(term="reasoning").build(context).score([reply(told("B"), case())])
    assert score.value is None and "no findings" in score.reason


def test_a_judge_scores_from_0_to_10(context: RewardContext) -> None:
    server = JudgeServer(honest(score=7))
    judge = {"kind": "endpoint", "model": "m", "url": server.url}
    spec = ReasoningSpec.model_validate({"term": "reasoning", "judge": judge})
    wrong = reply(told("gout", GOOD), LUNG)
    assert values(spec.build(context), right(), wrong) == [0.7, 0.35]
    server.stop()
    assert part_of(server.bodies[0], "findings") == "consolidation; no pleural effusion"
    assert "from 0 to 10" in json.dumps(server.bodies[0])
    assert "<<<begin reference" not in json.dumps(server.bodies[0])


def test_other_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="rule grader does not answer rubric 'reasoning'"):
        ReasoningSpec.model_validate(
            {"term": "reasoning", "judge": {"kind": "rule", "rule": "grader"}}
        )


def test_rarl_as_a_recipe(context: RewardContext) -> None:
    """``w_a acc + w_r reason + w_f format`` with the default weights 1, 0.5 and 0.5."""
    spec = RewardSpec.model_validate(
        {
            "malformed": None,
            "terms": [
                {"term": "correct"},
                {"term": "reasoning", "weight": 0.5},
                {"term": "format", "weight": 0.5},
            ],
        }
    )
    reward = Reward(spec, context)
    assert (reward.low, reward.high) == (0.0, 2.0)
    good, fluent = reward.pay([right(), reply(told("gout", f"{GOOD} gout."), LUNG)])
    assert (good.value, fluent.value) == (2.0, 0.75)
    assert good.terms == {"correct": 1.0, "reasoning": 1.0, "reasoning_ungated": 1.0, "format": 1.0}
    assert reward.counts == Counts(asked=2, seconds=reward.counts.seconds)


def test_soundness_is_a_rubric_of_the_term_judge(context: RewardContext) -> None:
    """The semantic alignment of "Toward Effective RL Fine-Tuning for Medical VQA"."""
    rule = {"kind": "rule", "rule": "findings", "threshold": 1.0}
    spec = {"term": "judge", "rubric": "soundness", "judge": rule}
    [term] = RewardSpec.model_validate({"terms": [spec]}).terms
    built = term.build(context)
    assert (built.low, built.high) == (0.0, 1.0)
    thin = right("A consolidation. Pneumonia.")
    torn = reply(told("pneumonia", f"{GOOD} clear: the answer is gout."), LUNG)
    assert values(built, right(), thin, torn) == [1.0, 0.0, 0.0]


def test_soundness_by_a_served_judge(context: RewardContext) -> None:
    server = JudgeServer(honest(verdict="yes"))
    judge = {"kind": "endpoint", "model": "m", "url": server.url}
    spec = {"term": "judge", "rubric": "soundness", "judge": judge}
    [term] = RewardSpec.model_validate({"terms": [spec]}).terms
    assert values(term.build(context), right()) == [1.0]
    server.stop()
    assert set(RUBRICS["soundness"].labels) == {"yes", "no"}
    assert part_of(server.bodies[0], "reasoning").startswith("There is a consolidation")
