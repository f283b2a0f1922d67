"""Consultations of the clinic: what is told, what has to be asked for, and who is on which side."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice

import pytest

from medrl.cases.case import Case
from medrl.clinic.consultations import (
    CONDITIONS,
    CONSULTATION_SETS,
    confusable,
    consultation_cases,
    consultations,
    question_for,
)
from medrl.clinic.experts import HISTORY, ODD, Expert, Hypothesis, chance
from medrl.clinic.knowledge import clinic
from medrl.clinic.patients import Patient
from medrl.clinic.sources import CLINIC_SETS
from medrl.environments.consultation import repeats
from medrl.errors import DataError
from medrl.grading import Grader, prove

KNOWLEDGE = clinic()
SETS = tuple(CONSULTATION_SETS)


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[tuple[Patient, Case]]]:
    return {name: list(islice(consultations(name, 1), 150)) for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_the_cases(name: str, drawn: dict[str, list[tuple[Patient, Case]]]) -> None:
    for patient, case in drawn[name]:
        assert patient.side == CONSULTATION_SETS[name].side
        assert prove(case, Grader()) is None
        assert case.reference.value == patient.condition.name
        reported = case.tags["reported"].split()
        assert 1 <= len(reported) <= 2
        assert int(case.tags["rivals"]) >= 2
        assert all(KNOWLEDGE.findings[f].lay in case.question for f in reported)
        assert case.record is not None
        answers = {fact.question: fact.answer for fact in case.record.facts}
        assert len(answers) == len(case.record.facts)
        own = {f.id: f for f in (*patient.complaints, *patient.history)}
        present = {a for a in answers.values() if a.startswith("Yes, ")}
        assert present <= {f"Yes, {f.lay}." for f in own.values() if f.id not in reported}
        assert len(present) >= 2
        assert len(answers) > len(present)
        treatment = KNOWLEDGE.treatments[patient.condition.treatment].name
        assert case.record.recommendation == f"{treatment}."


@pytest.mark.parametrize("name", SETS)
def test_transcripts_have_two_to_nine_questions_and_end_right(
    name: str, drawn: dict[str, list[tuple[Patient, Case]]]
) -> None:
    lengths: Counter[int] = Counter()
    for patient, case in drawn[name]:
        *asked, last = case.transcript
        lengths[len(asked) // 2] += 1
        assert [t.speaker for t in asked] == ["policy", "environment"] * (len(asked) // 2)
        assert case.record is not None
        facts = {fact.question: fact.answer for fact in case.record.facts}
        for question, answer in zip(asked[::2], asked[1::2], strict=True):
            text = question.text.partition("<answer>Question: ")[2].removesuffix("</answer>")
            assert facts[text] == answer.text
            assert patient.condition.name not in text
        treatment = KNOWLEDGE.treatments[patient.condition.treatment].name
        end = f"<answer>Diagnosis: {patient.condition.name}. Recommendation: {treatment}.</answer>"
        assert last.text.endswith(end)
    assert set(lengths) <= set(range(2, 10)) and len(lengths) > 4


def test_no_picture_is_on_both_sides(drawn: dict[str, list[tuple[Patient, Case]]]) -> None:
    train = {patient.key for patient, _ in drawn["consult-train"]}
    for name in SETS[1:]:
        assert train.isdisjoint(patient.key for patient, _ in drawn[name])


def combinations(drawn: list[tuple[Patient, Case]]) -> set[tuple[str, str]]:
    return {
        (patient.condition.id, finding)
        for patient, case in drawn
        for finding in case.tags["reported"].split()
    }


@pytest.mark.parametrize("clinic_seed", [0, 1])
def test_held_out_combinations_are_reported_out_of_distribution_only(clinic_seed: int) -> None:
    sets = {n: list(islice(consultations(n, 2, clinic_seed), 150)) for n in SETS}
    first = {
        (patient.condition.id, case.tags["reported"].split()[0])
        for patient, case in sets["consult-ood-test"]
    }
    assert len(first) > 5
    for name in SETS[:2]:
        assert first.isdisjoint(combinations(sets[name]))


def test_the_clinic_seed_chooses_what_is_held_out() -> None:
    held = [
        {case.tags["condition"] + case.tags["reported"].split()[0] for case in cases}
        for cases in (consultation_cases("consult-ood-test", 60, 0, seed) for seed in (0, 1))
    ]
    assert held[0] != held[1]


def test_same_arguments_same_cases_none_twice() -> None:
    cases = CLINIC_SETS["consult-train"](40, 5, 0)
    assert cases == consultation_cases("consult-train", 40, 5)
    assert cases != consultation_cases("consult-train", 40, 6)
    assert len({(c.question, c.record) for c in cases}) == 40
    assert len({c.id for c in cases}) == 40


def test_all_conditions_come_and_no_others(drawn: dict[str, list[tuple[Patient, Case]]]) -> None:
    allowed = {c.id for c in confusable(KNOWLEDGE, CONDITIONS)}
    met = Counter(case.tags["condition"] for _, case in drawn["consult-train"])
    assert met.keys() <= allowed and len(met) > 20
    few = consultation_cases("consult-train", 30, conditions=6)
    assert {case.tags["condition"] for case in few} <= {c.id for c in confusable(KNOWLEDGE, 6)}


@pytest.mark.parametrize("count", [2, 71])
def test_too_few_or_too_many_conditions(count: int) -> None:
    with pytest.raises(DataError, match="from 3 to 70"):
        consultation_cases("consult-train", 1, conditions=count)


def test_no_two_questions_of_the_clinic_are_taken_for_each_other() -> None:
    pool = confusable(KNOWLEDGE, CONDITIONS)
    ids = sorted({f for c in pool for f in (*c.findings, *c.risk_factors)})
    questions = [question_for(KNOWLEDGE.findings[f]) for f in ids]
    alike = [
        (one, other)
        for i, one in enumerate(questions)
        for other in questions[:i]
        if repeats(one, [other])
    ]
    assert alike == []


# ---- the expert ---------------------------------------------------------------------------


def test_the_chance_of_a_finding() -> None:
    gout = KNOWLEDGE.conditions["gout"]
    finding, typicality = next(iter(gout.findings.items()))
    assert chance(gout, finding) == typicality
    assert chance(gout, "cyclical_fever") == ODD
    assert chance(gout, gout.risk_factors[0]) == HISTORY / len(gout.risk_factors)


def test_the_expert_weighs_by_bayes_rule_and_asks_what_tells_most() -> None:
    """Malaria or influenza, seen fever-like chills: by hand."""
    malaria, influenza = KNOWLEDGE.conditions["malaria"], KNOWLEDGE.conditions["influenza"]
    answers = {"sudden_high_fever": False, "headache": True, "cyclical_fever": True}
    expert = Expert([Hypothesis(c, ["chills"]) for c in (malaria, influenza)], answers)
    assert expert.steps[0].asked == "sudden_high_fever"  # 0.02 against 0.85; headache 0.7, 0.7
    assert expert.steps[0].leading == ("malaria", "influenza")
    assert expert.diagnosis == "malaria"
    odds = math.prod(
        (p if answers[s.asked] else 1 - p) / (q if answers[s.asked] else 1 - q)
        for s in expert.steps
        for p, q in [(chance(malaria, s.asked), chance(influenza, s.asked))]
    ) * (chance(malaria, "chills") / chance(influenza, "chills"))
    assert expert.sure == pytest.approx(odds / (1 + odds))
    assert [s.asked for s in expert.steps] == ["sudden_high_fever", "cyclical_fever"]
