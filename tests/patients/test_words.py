"""Which fact a question is about, and whether a reply tells it."""

from __future__ import annotations

import pytest

from medrl.cases.record import Fact
from medrl.patients.secret import Secret
from medrl.patients.words import Index, content, denies, holds, sentences
from tests.patients.cases import FACTS

REAL = (
    Fact("Hello. Do you have a fever? Are your bowel movements normal?", "I'm okay, no fever."),
    Fact("The location suggests the appendix. Is the pain constant?", "It hurts occasionally."),
    Fact("Have you had pain here before?", "Once two months ago, above the belly button."),
)


def test_content_leaves_out_what_any_question_may_hold() -> None:
    assert content("Hello, do you have any chest pains?") == ("chest", "pain")
    assert content("How are you?") == ()


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("Any dysuria?", 0),
        ("any DYSURIA", 0),
        ("Does it burn? Any burning when you pee?", 0),
        ("Do you have a fever?", 1),
        ("Have you noticed flank pain?", 2),
        ("Is there pain in your side?", 2),
        ("Do you smoke? Any smoking of cigarettes?", 3),
        ("Any cough?", None),
        ("What is your favourite colour?", None),
        ("How are you?", None),
        ("", None),
    ],
)
def test_the_fact_that_a_question_is_about(question: str, fact: int | None) -> None:
    found = Index(FACTS).find(question)
    assert (found[0] if found else None) == fact


def test_questions_of_several_parts_are_found_by_any_of_them() -> None:
    index = Index(REAL)
    assert index.find("Are your bowel movements normal?")[0] == 0
    assert index.find("Is the pain constant?")[0] == 1
    assert [index.find(fact.question)[0] for fact in REAL] == [0, 1, 2]


def test_replies_that_tell_an_answer() -> None:
    answer = "Yes, burning when I pee."
    assert holds("Yes, burning when I pee; it bothers me a lot.", answer)
    assert holds("It is burning a lot when I pee.", answer)
    assert not holds("Yes, a burning throat.", answer)
    assert holds("Yes.", "Yes.") and not holds("Yes, often.", "Yes.")


def test_denials_and_sentences() -> None:
    assert denies("No, not that.") and denies(" Never") and not denies("Nose bleeds, yes.")
    assert sentences("One. Two? Three") == ["One.", "Two?", "Three"]


def test_a_short_name_is_secret_as_a_whole_and_by_its_disease_word() -> None:
    secret = Secret("acute heart failure", "I am short of breath.")
    assert secret.told_by("They said my heart has a failure.")
    assert not secret.told_by("My heart beats fast.")
    assert Secret("acute pyelonephritis", "").told_by("A bit of Pyelonephritis, they said.")


def test_of_a_sentence_disease_words_are_secret_unless_the_patient_named_them_first() -> None:
    told = "You appear to have enteritis, which likely comes from the food you had yesterday."
    secret = Secret(told, "My belly hurts.")
    text = "I had food yesterday. Is it enteritis? It hurts."
    assert secret.kept(text) == "I had food yesterday. It hurts."
    assert Secret(told, "My enteritis is back.").kept(text) == text
