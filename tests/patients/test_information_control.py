"""Whatever is asked, the clinic's patients name no diagnosis and contradict no record."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.cases.case import Case
from medrl.clinic.consultations import CONSULTATION_SETS, consultations
from medrl.clinic.knowledge import clinic
from medrl.clinic.patients import Patient
from medrl.patients.rule import UNSURE, Persona, RulePatient
from medrl.safeguards.names import clinic_vocabulary
from tests.patients.cases import CASE

KNOWLEDGE = clinic()
EVERY = len(KNOWLEDGE.conditions)
LAY = {f.lay: f.id for f in KNOWLEDGE.findings.values()}
WORDS = sorted(
    {w for f in KNOWLEDGE.findings.values() for w in f"{f.text} {f.variant} {f.lay}".split()}
    | {w for c in KNOWLEDGE.conditions.values() for w in c.name.split()}
)
QUESTIONS = (
    st.sampled_from([f"Any {f.text}?" for f in KNOWLEDGE.findings.values()])
    | st.sampled_from([f"Have you noticed {f.lay}?" for f in KNOWLEDGE.findings.values()])
    | st.sampled_from([f"Is it {c.name}?" for c in KNOWLEDGE.conditions.values()])
    | st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(lambda w: f"{' '.join(w)}?")
    | st.just("What is your diagnosis?")
    | st.text(max_size=40)
)
PERSONAS = st.builds(Persona, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.5, 1.0]))


@lru_cache(maxsize=1)
def patients() -> list[tuple[Patient, Case]]:
    """Of every condition of the clinic several patients, where it has any who can be asked."""
    source = consultations("consult-train", 0, conditions=EVERY)
    return list(islice(source, 300))


def names_of(patient: Patient) -> list[re.Pattern[str]]:
    own = patient.condition
    spelt = [own.name, *clinic_vocabulary().tables.conditions.get(own.id, ())]
    return [re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE) for name in spelt]


def statements(said: str) -> list[tuple[str, bool]]:
    """Findings in an answer, by id, and whether they are affirmed."""
    found = []
    answer, _, more = said.rstrip(".").partition("; ")
    if answer.startswith("Yes, "):
        found.append((LAY[answer.removeprefix("Yes, ")], True))
    elif answer.startswith("No, not "):
        found.append((LAY[answer.removeprefix("No, not ")], False))
    else:
        assert f"{answer}." == UNSURE
    if more.startswith("also "):
        found.append((LAY[more.removeprefix("also ")], True))
    return found


@settings(max_examples=300)
@given(st.integers(0, 299), QUESTIONS, PERSONAS, st.integers(0, 5))
def test_no_diagnosis_and_no_contradiction(
    number: int, question: str, persona: Persona, seed: int
) -> None:
    patient, case = patients()[number]
    said = RulePatient(case, persona, seed).say(question, [])
    if said is None:
        return
    assert not any(name.search(said) for name in names_of(patient))
    has = {f.id for f in (*patient.complaints, *patient.history)}
    for finding, affirmed in statements(said):
        assert affirmed == (finding in has)


@pytest.mark.parametrize("name", CONSULTATION_SETS)
def test_no_record_names_the_diagnosis_or_holds_a_test_result(name: str) -> None:
    for patient, case in islice(consultations(name, 1), 150):
        assert case.record is not None
        told = [case.question, case.record.description, *(f.answer for f in case.record.facts)]
        assert not any(pattern.search(text) for pattern in names_of(patient) for text in told)
        for fact in case.record.facts:
            for finding, _ in statements(fact.answer):
                assert KNOWLEDGE.findings[finding].kind in ("symptom", "sign", "history")


def test_most_conditions_have_patients_here() -> None:
    met = {case.tags["condition"] for _, case in patients()}
    assert len(met) > 40


def test_the_check_sees_what_it_is_to_see() -> None:
    patient, _ = patients()[0]
    assert names_of(patient)[0].search(f"It is {patient.condition.name}.")
    assert statements("Yes, burning when I pee; also feeling sick.") == [
        (LAY["burning when I pee"], True),
        (LAY["feeling sick"], True),
    ]
    assert RulePatient(CASE).say("Any dysuria?", []) == "Yes, burning when I pee."
