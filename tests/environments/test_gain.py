"""Accuracy, gain beyond RAG, and the judge that is asked where words differ."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.environments.accuracy import CONTAINS, Accuracy, holds_gold
from medrl.environments.gain import Gain
from medrl.errors import JudgeError
from medrl.judges.judge import Counting, Failure, Judgement, Question

PHRASE = Reference("phrase", "the Beta-blocker")
OPTION = Reference("option", "A", ("aspirin", "aspirin and heparin"))


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("Give a beta blocker.", PHRASE, True),
        ("BETA-BLOCKER", PHRASE, True),
        ("Give beta blockers.", PHRASE, False),  # whole tokens only
        ("beta or alpha blocker", PHRASE, False),  # in a run
        ("", PHRASE, False),
        ("A: aspirin", OPTION, True),
        ("B: aspirin and heparin", OPTION, False),  # though it holds the gold option's text
        ("aspirin", OPTION, False),
        ("It weighs 1,200 g", Reference("phrase", "1200 g"), True),
    ],
)
def test_gold_occurs_as_a_run_of_tokens(answer: str, reference: Reference, right: bool) -> None:
    assert holds_gold(answer, reference) is right


@pytest.mark.parametrize(
    ("accuracy", "naive", "beyond", "released", "name"),
    [
        (1, 0, 1, 2, "rescued"),
        (1, 1, 0, 1, "both_right"),
        (0, 0, 0, 0, "both_wrong"),
        (0, 1, -1, -1, "harmed"),
    ],
)
def test_gain_and_the_released_score(
    accuracy: int, naive: int, beyond: int, released: int, name: str
) -> None:
    gain = Gain("x", accuracy, naive, 0)
    assert (gain.beyond, gain.released) == (beyond, released)
    measures = gain.measures()
    shares = {key: measures[key] for key in ("rescued", "both_right", "both_wrong", "harmed")}
    assert shares == {key: float(key == name) for key in shares}


class FixedJudge(Counting):
    def __init__(self, *judgements: Judgement) -> None:
        super().__init__()
        self.judgements, self.asked = list(judgements), list[Question]()

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        self.asked += questions
        return [self.judgements.pop(0) for _ in questions]


CASE = Case("c", "What helps?", PHRASE, Provenance("toy"))


def test_the_judge_is_asked_where_the_words_differ() -> None:
    judge = FixedJudge(
        Judgement(1.0, label="yes"),
        Judgement(0.0, label="no"),
        Judgement.failed(Failure.UNREADABLE, "no JSON"),
    )
    accuracy = Accuracy(judge)
    answers = ["a beta blocker", "propranolol", "", "rest", "hm"]
    assert accuracy.of([(CASE, answer) for answer in answers]) == [1, 1, 0, 0, 0]
    assert [q.texts["reply"] for q in judge.asked] == ["propranolol", "rest", "hm"]
    assert all(q.rubric is CONTAINS for q in judge.asked)
    assert accuracy.unjudged == 1


def test_a_judge_that_cannot_be_reached_stops_the_run() -> None:
    judge = FixedJudge(Judgement.failed(Failure.CONNECTION, "no connection"))
    with pytest.raises(JudgeError, match="no verdict: no connection"):
        Accuracy(judge).of([(CASE, "rest")])
