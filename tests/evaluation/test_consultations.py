"""Measures of consultations, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medrl.cases.record import Fact, Record
from medrl.evaluation.consultations import (
    Finished,
    budget_curve,
    efficiency,
    information,
    precision,
    summarise,
)
from tests.patients.cases import FACTS

ONE = Finished(
    correct=True,
    diagnosis=5.0,
    recommendation=3.0,
    information=2.5,
    questions=4,
    answered=3,
    turns=5,
    tokens=100,
    over_budget=False,
)
OTHER = replace(
    ONE,
    correct=False,
    diagnosis=0.0,
    recommendation=0.0,
    questions=0,
    answered=0,
    turns=1,
    tokens=8,
)


def test_precision() -> None:
    assert precision(3, 4) == 0.75
    assert precision(0, 0) == 0.0


def test_information_is_the_share_of_what_is_present_however_it_came_out() -> None:
    record = Record(FACTS)  # two present, two denied
    assert information(record, []) == 0.0
    assert information(record, [FACTS[2].answer, FACTS[3].answer]) == 0.0
    assert information(record, [FACTS[0].answer]) == 2.5
    assert information(record, ["No, not pain in my side; also burning when I pee."]) == 2.5
    assert information(record, ["Yes, feeling hot and shivery; also burning when I pee."]) == 5.0
    assert information(record, ["No, not burning when I pee."]) == 0.0


def test_a_record_of_denials_is_counted_as_a_whole() -> None:
    record = Record((Fact("Any fever?", "No."), Fact("Any cough?", "No, no cough.")))
    assert information(record, ["No."]) == 2.5
    assert information(record, ["No.", "No, no cough."]) == 5.0


def test_efficiency() -> None:
    assert efficiency(50.0, 8.0, 200.0) == pytest.approx(2500 / (8 + 2))
    assert efficiency(50.0, 8.0, 200.0, alpha=2, beta=0) == pytest.approx(2500 / 16)
    with pytest.raises(ValueError, match="without turns"):
        efficiency(50.0, 0.0, 0.0)


def test_a_summary() -> None:
    summary = summarise([ONE, OTHER])
    assert (summary.count, summary.accuracy) == (2, 0.5)
    assert (summary.diagnosis, summary.recommendation, summary.score) == (50.0, 30.0, 40.0)
    assert summary.precision == 0.75  # of all questions together, not of consultations
    assert (summary.turns, summary.tokens) == (3.0, 18.0)
    assert summary.efficiency == pytest.approx(1600 / (3 + 0.18))
    assert summary.information == 2.5 and summary.over_budget == 0.0


@pytest.mark.parametrize("done", [[], [replace(ONE, turns=0)]])
def test_nothing_to_summarise(done: list[Finished]) -> None:
    with pytest.raises(ValueError, match="nothing to summarise"):
        summarise(done)


def test_the_budget_curve() -> None:
    curve = budget_curve({10: [ONE], 0: [OTHER]})
    assert list(curve) == [0, 10]
    assert [summary.score for summary in curve.values()] == [0.0, 80.0]
    with pytest.raises(ValueError, match="0 or more"):
        budget_curve({-1: [ONE]})


def test_from_an_episodes_measures() -> None:
    measures = {
        **{"diagnosis_score": 5.0, "recommendation_score": 3.0, "information": 2.5},
        **{"questions": 4, "answered": 3, "turns": 5, "over_budget": 0.0, "success": 1.0},
    }
    assert Finished.from_measures(measures, True, 100) == ONE
