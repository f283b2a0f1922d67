"""Decision consistency: what a rule and a judge say of reasoning whose answer they do not see."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from medrl.cases.case import Case, Reference
from medrl.judges import Question, RuleJudge, choice_rubric
from medrl.judges.judge import Judgement
from medrl.rewards.decision import Decision, DecisionSpec
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import RewardContext
from tests.judges.server import JudgeServer, honest, part_of
from tests.rewards.conftest import phrase, reply, told, values
from tests.tiny import case

LABEL = replace(
    phrase("x"),
    question="Is there a pleural effusion?",
    reference=Reference("label", "yes", ("no", "yes")),
)


@pytest.mark.parametrize(
    ("think", "answer", "to", "value"),
    [
        ("The sugar is high, so insulin.", "B", case("B"), 1),
        ("The sugar is high, so insulin.", "A", case("B"), 0),
        ("He needs aspirin.", "A", case("B"), 1),  # wrong, but consistent
        ("Insulin, not aspirin.", "B", case("B"), 1),
        ("Insulin, not aspirin.", "A", case("B"), 0),
        ("Insulin and aspirin.", "B", case("B"), 0),  # several
        ("He is ill.", "B", case("B"), 0),  # none
        ("No pleural effusion is seen.", "no", LABEL, 1),
        ("No pleural effusion is seen.", "yes", LABEL, 0),
        ("A large opacity: viral pneumonia.", "viral pneumonia", phrase("gout"), 1),
        ("A large opacity: viral pneumonia.", "gout", phrase("gout"), 0),
    ],
)
def test_the_rule(think: str, answer: str, to: Case, value: float, context: RewardContext) -> None:
    [score] = DecisionSpec(term="decision").build(context).score([reply(told(answer, think), to)])
    assert score.value == value and score.reason


def test_a_broken_format_is_not_paid(context: RewardContext) -> None:
    term = DecisionSpec(term="decision").build(context)
    broken = reply("So insulin. <answer>B</answer>", case("B"))
    assert not broken.verdict.format_ok and broken.verdict.correct
    [score] = term.score([broken])
    assert score.value == 0 and "format" in score.reason


def test_wrong_answers_can_be_left_out(context: RewardContext) -> None:
    term = DecisionSpec(term="decision", mode="correct").build(context)
    answers = [
        reply(told(a, f"So {t}."), case("B")) for a, t in (("B", "insulin"), ("A", "aspirin"))
    ]
    assert values(term, *answers) == [1.0, 0.0]


def test_a_judge_chooses_and_sees_neither_answer_nor_gold_nor_question(
    context: RewardContext,
) -> None:
    server = JudgeServer(honest(verdict="B"))
    judge: dict[str, Any] = {"kind": "endpoint", "model": "m", "url": server.url}
    term = DecisionSpec.model_validate({"term": "decision", "judge": judge}).build(context)
    hidden = case("C", question="Which of them?")
    think = "The sugar is high, so insulin."
    answers = [reply(told(letter, think), hidden) for letter in "BAC"]
    assert values(term, *answers) == [1.0, 0.0, 0.0]
    assert term.judge.last.requests == 1  # the same question, whatever was answered
    server.stop()
    [body] = server.bodies
    assert part_of(body, "reasoning") == think
    assert part_of(body, "options") == "A. aspirin\nB. insulin\nC. surgery\nD. rest"
    shown = json.dumps(body)
    assert "Which of them?" not in shown and "<<<begin answer" not in shown
    for part in ("question", "answer", "reference"):
        with pytest.raises(AssertionError):
            part_of(body, part)


def chooser(label: str) -> tuple[RuleJudge, list[Question]]:
    """A judge that always chooses one label, and what it was asked."""
    asked: list[Question] = []

    def rule(question: Question) -> Judgement:
        asked.append(question)
        return Judgement(question.rubric.labels[label], "so it is", label=label)

    return RuleJudge(rule), asked


def test_labels_are_lettered_for_the_judge() -> None:
    judge, asked = chooser("B")
    term = Decision(judge, chooses=True, mode="every")
    assert values(term, reply(told("yes"), LABEL), reply(told("no"), LABEL)) == [1.0, 0.0]
    assert asked[0].texts == {"options": "A. no\nB. yes", "reasoning": "hm"}
    judge, _ = chooser("undecided")
    assert values(Decision(judge, True, "every"), reply(told("yes"), LABEL)) == [0.0]


def test_a_phrase_is_shown_to_the_judge() -> None:
    judge, asked = chooser("yes")
    assert values(Decision(judge, True, "every"), reply(told("gout"), phrase("x"))) == [1.0]
    assert asked[0].rubric.name == "consistency" and asked[0].texts["answer"] == "gout"


def test_a_choice_holds_no_sign_of_the_answer() -> None:
    rubric = choice_rubric("ABC")
    assert rubric.labels == {"undecided": 0, "A": 1, "B": 2, "C": 3}
    assert rubric.parts == ("options", "reasoning")


def test_the_format_gate_of_the_term_and_of_the_reward_agree(context: RewardContext) -> None:
    terms = [{"term": "correct"}, {"term": "decision", "weight": 0.5}]
    answers = [reply("So insulin. <answer>B</answer>"), reply(told("B", "So insulin."))]
    for malformed, wanted in ((None, [1.0, 1.5]), (-1.0, [-1.0, 1.5])):
        spec = RewardSpec.model_validate({"malformed": malformed, "terms": terms})
        assert [p.value for p in Reward(spec, context).pay(answers)] == wanted
