"""What planted reasoning comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.cases.case import Reference
from medrl.errors import DataError
from medrl.judges.conclusion import conclusion, decided

DRUGS = Reference("option", "A", ("aspirin", "insulin", "bed rest", "X-ray"))
LUNG = Reference("option", "A", ("pneumonia", "viral pneumonia", "left lung, upper lobe", "3"))
YES_NO = Reference("label", "yes", ("yes", "no"))
YES_NO_LETTERS = Reference("option", "A", ("No", "Yes"))
MAYBE = Reference("label", "yes", ("yes", "no", "maybe"))
EFFUSION = "The chest of a man of 60. Is there a pleural effusion on this x-ray?"


@pytest.mark.parametrize(
    ("reasoning", "name"),
    [
        ("High sugar. The answer is B.", "B"),  # declared
        ("The answer is A. But then insulin would help.", "A"),  # what is declared stands
        ("The sugar is high, so insulin.", "B"),
        ("Aspirin thins the blood. The sugar is high, so insulin.", "B"),
        ("Insulin or aspirin? The sugar is high. Insulin fits. Not aspirin.", "B"),
        ("Insulin would lower sugar. Aspirin is ruled out.", "B"),
        ("Insulin is what he needs, rather than aspirin.", "B"),
        ("Insulin is what he needs, aspirin does not help.", "B"),
        ("Insulin is needed. Bed rest is less likely.", "B"),
        ("I choose option (C) here.", "C"),
        ("Everything points to (C).", "C"),
        ("An x ray shows it.", "D"),
        ("Bed-rest is enough.", "C"),
        ("Insulin. No, not insulin.", ""),  # its last mention is denied
        ("Insulin and aspirin together are best.", ""),  # several in the last clause
        ("He is ill and needs care.", ""),
        ("It is not aspirin.", ""),
        ("The insulinoma is large.", ""),  # part of another word
        ("", ""),
    ],
)
def test_an_option_is_decided_on(reasoning: str, name: str) -> None:
    read = decided(reasoning, DRUGS)
    assert (read.name, read.found == "one") == (name, bool(name)), read
    assert read.found == "one" or read.note


@pytest.mark.parametrize(
    ("reasoning", "name"),
    [
        ("A patchy opacity: viral pneumonia.", "B"),  # the longer option, not the shorter in it
        ("A patchy opacity: pneumonia.", "A"),
        ("The mass is in the left lung, upper lobe, I think.", "C"),
        ("The mass has 3 cm.", ""),  # a bare number is no mention
        ("There is no pneumonia, but something in the left lung, upper lobe.", "C"),
    ],
)
def test_options_that_hold_one_another(reasoning: str, name: str) -> None:
    assert decided(reasoning, LUNG).name == name


@pytest.mark.parametrize(
    ("reasoning", "yes"),
    [
        ("The angle is blunt. A pleural effusion is present.", True),
        ("Both angles are sharp. There is no pleural effusion.", False),
        ("No fluid around the lung.", None),  # other words
        ("A pleural effusion is not seen.", False),
        ("There might be a pleural effusion. On second look, no pleural effusion.", False),
        ("The angle is blunt. Yes.", True),
        ("The angle is sharp. No.", False),
        ("The answer is no.", False),
        ("The heart is large.", None),
    ],
)
def test_yes_and_no(reasoning: str, yes: bool | None) -> None:
    wanted = {True: ("yes", "B"), False: ("no", "A"), None: ("", "")}[yes]
    assert decided(reasoning, YES_NO, EFFUSION).name == wanted[0]
    assert decided(reasoning, YES_NO_LETTERS, EFFUSION).name == wanted[1]


def test_a_denial_that_is_asked_about_is_affirmed_by_denying() -> None:
    asked = "Is the lung free of nodules?"
    assert decided("No nodule in the lung.", YES_NO, asked).name == "yes"
    assert decided("A nodule in the lung.", YES_NO, asked).name == "no"


def test_a_third_label_is_found_by_its_word() -> None:
    assert decided("It can be read either way: maybe.", MAYBE, "Does it help?").name == "maybe"


@pytest.mark.parametrize(
    ("reasoning", "answer", "agrees"),
    [
        ("So insulin.", "B", True),
        ("So insulin.", "B. insulin", True),
        ("So insulin.", "insulin", True),
        ("So insulin.", "A", False),
        ("It is not insulin.", "B", False),  # denied, though nothing else is decided
        ("It is not insulin.", "A", None),
        ("Who knows.", "A", None),
    ],
)
def test_agreement_with_an_option(reasoning: str, answer: str, agrees: bool | None) -> None:
    found = conclusion(reasoning, answer, DRUGS)
    assert found.agrees is agrees and found.reason


@pytest.mark.parametrize(
    ("reasoning", "answer", "agrees"),
    [
        ("An opacity is seen. This is a left pleural effusion.", "left pleural effusion", True),
        ("An opacity is seen. An effusion, pleural, left.", "left pleural effusion", None),
        ("There is no pleural effusion.", "pleural effusion", False),
        ("There is no pleural effusion.", "no pleural effusion", True),
        ("A pleural effusion? The vessels are wide.", "pleural effusion", None),
        ("The answer is pneumonia. It is severe.", "pneumonia", True),
        ("The answer is most likely pneumonia.", "Pneumonia.", True),
        ("The answer is pneumonia.", "effusion", False),
        ("", "effusion", None),
    ],
)
def test_agreement_with_a_phrase(reasoning: str, answer: str, agrees: bool | None) -> None:
    found = conclusion(reasoning, answer, Reference("phrase", "whatever"))
    assert found.agrees is agrees and found.reason


def test_the_right_answer_does_not_matter() -> None:
    for gold in "ABCD":
        reference = Reference("option", gold, DRUGS.options)
        assert conclusion("So insulin.", "A", reference).agrees is False
        assert conclusion("So insulin.", "B", reference).agrees is True


def test_reports_take_a_model() -> None:
    with pytest.raises(DataError, match="report"):
        conclusion("x", "y", Reference("report", "z"))


KINDS = (DRUGS, LUNG, YES_NO, YES_NO_LETTERS, MAYBE, Reference("number", "3"))
words = st.sampled_from(
    ["no", "not", "insulin", "aspirin", "option B", "(A)", ".", ",", "\n", "so", "yes", "3 mg", "é"]
)


@given(
    st.lists(words | st.text(max_size=6), max_size=15).map(" ".join),
    st.sampled_from(KINDS),
    st.text(max_size=20),
)
def test_any_reasoning_has_a_conclusion_or_none(
    reasoning: str, reference: Reference, question: str
) -> None:
    read = decided(reasoning, reference, question)
    assert (read.found == "one") == bool(read.name)
    found = conclusion(reasoning, read.name or "A", reference, question)
    assert found.reason
    if read.name and reference.kind != "number":
        assert found.agrees is True


def test_a_loop_is_read_in_time() -> None:
    for piece in ("absent ", "no a, ", "insulin, not aspirin. ", "(A) "):
        conclusion(piece * 4000, "A", DRUGS)
