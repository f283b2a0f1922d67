"""The patient by rule: what is said, what is forgotten, what is added."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medrl.cases.record import Record
from medrl.errors import DataError
from medrl.patients import Exchange, Persona, RulePatients
from medrl.patients.rule import UNSURE, RulePatient
from medrl.patients.words import sentences
from tests.patients.cases import CASE, FACTS, consultation


def test_a_neutral_patient_says_what_the_record_says() -> None:
    patient = RulePatient(CASE)
    assert [patient.say(fact.question, []) for fact in FACTS] == [fact.answer for fact in FACTS]
    assert patient.say("Any rash?", []) is None


def test_a_question_asked_twice_in_a_record_means_its_second_answer_then() -> None:
    patient = RulePatient(
        consultation(("Any pain?", "Yes, in my leg."), ("Any pain?", "Less now."))
    )
    first = patient.say("Any pain?", [])
    assert first == "Yes, in my leg."
    assert patient.say("Any pain?", [Exchange("Any pain?", first)]) == "Less now."


def test_what_is_forgotten_is_never_denied() -> None:
    forgetful = RulePatient(CASE, Persona(recall=0.0))
    assert {forgetful.say(fact.question, []) for fact in FACTS} == {UNSURE}
    said = [
        RulePatient(CASE, Persona(recall=0.5), seed).say(fact.question, [])
        for seed in range(40)
        for fact in FACTS
    ]
    assert 50 < said.count(UNSURE) < 110  # of 160, by chance 80
    assert set(said) == {UNSURE, *(fact.answer for fact in FACTS)}


def test_a_talkative_patient_adds_findings_that_are_there_and_small_talk_in_one_sentence() -> None:
    denied = FACTS[2]
    said = {
        RulePatient(CASE, Persona(talkativeness=1.0), seed).say(denied.question, [])
        for seed in range(40)
    }
    assert all(text and text.startswith("No, not pain in my side; ") for text in said)
    assert all(len(sentences(text)) == 1 for text in said if text)
    more = {text.partition("; ")[2] for text in said if text}
    assert {"also burning when I pee.", "also feeling hot and shivery."} < more
    assert not any("smoking" in text for text in more)
    assert len(more) > 4  # and small talk


def test_what_was_told_is_not_told_again() -> None:
    chatty = Persona(talkativeness=1.0)
    told = [Exchange(fact.question, fact.answer) for fact in FACTS[:2]]
    for seed in range(40):
        said = RulePatient(CASE, chatty, seed).say("Any flank pain?", told)
        assert said and "also" not in said


def test_a_persona_is_the_same_for_the_same_seed() -> None:
    persona = Persona(0.5, 0.7)

    def talk(seed: int) -> list[str | None]:
        patient = RulePatient(CASE, persona, seed)
        return [patient.say(fact.question, []) for fact in FACTS]

    assert [talk(seed) for seed in range(20)] == [talk(seed) for seed in range(20)]
    assert len({tuple(talk(seed)) for seed in range(20)}) > 10


def test_sentences_that_name_the_diagnosis_are_left_out() -> None:
    case = consultation(
        ("What was found?", "They did a scan. It was acute pyelonephritis."),
        ("What did they call it?", "Pyelonephritis."),
    )
    patient = RulePatient(case)
    assert patient.say("What was found?", []) == "They did a scan."
    assert patient.say("What did they call it?", []) == UNSURE


def test_a_case_without_a_record_is_named() -> None:
    with pytest.raises(DataError, match=r"c-1 .* has no record"):
        RulePatients().open(replace(CASE, record=None), 0)


def test_without_facts_the_sentences_of_the_description_are_told() -> None:
    told = "She has had a cough for weeks. This is acute pyelonephritis. She denies smoking."
    patient = RulePatient(replace(CASE, record=Record((), told)))
    assert patient.say("Do you have a cough?", []) == "She has had a cough for weeks."
    assert patient.say("Any smoking?", []) == "She denies smoking."
    assert patient.say("Is it pyelonephritis?", []) == UNSURE
    with pytest.raises(DataError, match="has no record"):
        RulePatient(replace(CASE, record=Record(())))
