"""What recipes may say about consultations, and judges that evaluate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from medrl.environments.consulting import (
    DIAGNOSIS_MATCH,
    NEW_QUESTION,
    ConsultationSpec,
    Judged,
)
from medrl.errors import JudgeError
from medrl.judges import Failure, Judgement, Question
from medrl.judges.judge import Counting
from medrl.patients import NEUTRAL, Persona, RulePatients
from tests.environments.acting import GRADER, ask, consult, diagnose, play
from tests.patients.cases import CASE


class Opinion(Counting):
    """A judge who says what is scripted for a rubric."""

    def __init__(self, **values: float | Failure) -> None:
        super().__init__()
        self.values, self.asked = values, list[Question]()

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        self.asked += questions
        found = []
        for question in questions:
            value = self.values[question.rubric.name]
            failed = isinstance(value, Failure)
            found.append(Judgement.failed(value, "so it is") if failed else Judgement(value))
        return found


def test_a_judge_scores_both_parts() -> None:
    judge = Opinion(diagnosis_match=4.0, recommendation_match=2.0)
    environment, _ = consult(evaluator=Judged(judge))
    [reply] = play(environment, diagnose("kidney infection.", "antibiotics."))
    assert reply.reward == 6.0 and reply.over
    assert [dict(q.texts) for q in judge.asked] == [
        {"reference": "acute pyelonephritis", "answer": "kidney infection."},
        {"reference": "oral ciprofloxacin.", "answer": "antibiotics."},
    ]
    measures = environment.measures()
    assert (measures["diagnosis_score"], measures["recommendation_score"]) == (4.0, 2.0)
    assert measures["diagnosis_f1"] == 0.0


def test_the_scale_is_0_to_5() -> None:
    assert list(DIAGNOSIS_MATCH.labels.values()) == [0, 1, 2, 3, 4, 5]
    assert (DIAGNOSIS_MATCH.low, DIAGNOSIS_MATCH.high) == (0.0, 5.0)


def test_a_judge_finds_repeats_from_the_second_question_on() -> None:
    judge = Opinion(new_question=0.0)
    environment, patient = consult("No.", evaluator=Judged(judge))
    replies = play(environment, ask("Any fever?"), ask("Are you hot?"))
    assert [r.event for r in replies] == ["answered", "repeated"]
    [asked] = judge.asked
    assert asked.rubric is NEW_QUESTION
    assert asked.texts == {"question": "Any fever?", "reply": "Are you hot?"}
    assert len(patient.asked) == 1


def test_what_a_judge_did_not_understand_pays_nothing_and_is_counted() -> None:
    judge = Opinion(
        new_question=Failure.UNREADABLE,
        diagnosis_match=Failure.CUT,
        recommendation_match=3.0,
    )
    environment, _ = consult("No.", "No.", evaluator=Judged(judge))
    texts = [ask("Any fever?"), ask("Any fever?"), diagnose("pyelonephritis", "rest")]
    assert [r.reward for r in play(environment, *texts)] == [1.0, 1.0, 3.0]
    assert environment.measures()["unjudged"] == 1


@pytest.mark.parametrize("gone", [Failure.CONNECTION, Failure.TIMEOUT, Failure.REFUSED])
def test_a_judge_who_is_gone_stops_the_run(gone: Failure) -> None:
    environment, _ = consult(evaluator=Judged(Opinion(diagnosis_match=gone)))
    with pytest.raises(JudgeError, match="cannot be asked: so it is") as caught:
        play(environment, diagnose("pyelonephritis"))
    assert "resume" in caught.value.fix


def test_a_spec_builds_a_world() -> None:
    spec = ConsultationSpec(kind="consultation", max_turns=6, prompt="full")
    world = spec.build(GRADER)
    environment = world.open(CASE, 1)
    assert 2 <= environment.budget <= 6 and environment.most_turns == 6
    assert environment.opening.startswith("You are a doctor")
    assert CASE.question in environment.opening
    assert world.patients == RulePatients(NEUTRAL)
    chatty = ConsultationSpec.model_validate(
        {"kind": "consultation", "patient": {"talkativeness": 0.5, "recall": 0.9}}
    )
    assert chatty.build(GRADER).patients == RulePatients(Persona(0.5, 0.9))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_turns": 1}, "dynamic: false"),
        ({"max_turns": 0, "dynamic": False}, "greater than or equal to 1"),
        ({"prompt": "long"}, "short or full"),
        ({"judge": {"kind": "rule", "rule": "grader"}}, "leave judge out"),
        ({"turns": 3}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ConsultationSpec.model_validate({"kind": "consultation", **settings})


def test_a_prompt_of_ones_own() -> None:
    spec = ConsultationSpec(kind="consultation", prompt="Be kind. {report}", dynamic=False)
    opening = spec.build(GRADER).open(CASE, 0).opening
    assert opening == f"Be kind. {CASE.question} (turn 1/10; diagnosis and recommendation due)"
