"""Pretraining text: the habits are the ones asked for, and what it says is sound."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice

import pytest
from scipy.stats import binomtest

from medrl.cases.case import Case
from medrl.clinic.exams import LINKS, fact, questions
from medrl.clinic.knowledge import Condition, clinic
from medrl.clinic.patients import FEWEST_SHOWN, Patient, Ward
from medrl.clinic.textbook import AnswerHabits, Library
from tests.clinic.reading import findings_in, options_in, picture

REASONED = re.compile(r"<think>([^<]+)</think><answer>([A-Z])</answer>")
DIRECT = re.compile(r"<answer>([A-Z])</answer>")
ANSWERS = 3000
HABITS = {
    "as shipped": AnswerHabits(),
    "others": AnswerHabits(
        reasoned=0.4, broken=0.1, restated=0.2, direct_right=0.8, reasoned_right=0.6
    ),
}


@dataclass(frozen=True)
class Reply:
    case: Case
    prompt: str
    text: str

    @property
    def manner(self) -> str:
        if REASONED.fullmatch(self.text):
            return "reasoned"
        return "direct" if DIRECT.fullmatch(self.text) else "broken"

    @property
    def letter(self) -> str:
        given: list[str] = DIRECT.findall(self.text)
        return given[-1]


@pytest.fixture(scope="module", params=HABITS)
def answered(request: pytest.FixtureRequest) -> tuple[AnswerHabits, list[Reply]]:
    """Many answered questions, each with its case: the library draws its questions in order."""
    habits = HABITS[request.param]
    library = Library(clinic(), 7, habits)
    cases = (case for _, case in questions("pretrain", 7))
    replies = []
    for case in islice(cases, ANSWERS):
        prompt, _, text = library.answered_question().partition("Assistant:")
        replies.append(Reply(case, prompt, text))
    return habits, replies


def share_is(hits: int, total: int, share: float) -> bool:
    """Within binomial error. Seeds are fixed, so this passes always or never."""
    return total > 100 and bool(binomtest(hits, total, share).pvalue > 1e-3)


def test_the_prompt_is_the_question_of_the_case(
    answered: tuple[AnswerHabits, list[Reply]],
) -> None:
    for reply in answered[1]:
        assert reply.case.question in reply.prompt
        assert tuple(options_in(reply.prompt).values()) == reply.case.reference.options


def test_manners_have_their_shares(answered: tuple[AnswerHabits, list[Reply]]) -> None:
    habits, replies = answered
    counts = Counter(reply.manner for reply in replies)
    direct = 1 - habits.reasoned - habits.broken
    assert share_is(counts["reasoned"], ANSWERS, habits.reasoned)
    assert share_is(counts["broken"], ANSWERS, habits.broken)
    assert share_is(counts["direct"], ANSWERS, direct)


@pytest.mark.parametrize("manner", ["reasoned", "direct"])
def test_answers_are_right_as_often_as_asked(
    answered: tuple[AnswerHabits, list[Reply]], manner: str
) -> None:
    habits, replies = answered
    right = [r.letter == r.case.reference.value for r in replies if r.manner == manner]
    asked = habits.reasoned_right if manner == "reasoned" else habits.direct_right
    assert share_is(sum(right), len(right), asked)


def test_a_reasoned_letter_stands_for_the_text_it_names(
    answered: tuple[AnswerHabits, list[Reply]],
) -> None:
    for reply in answered[1]:
        if match := REASONED.fullmatch(reply.text):
            thought, letter = match.groups()
            named = re.search(r"(?:^| )([^.]+) \(([A-Z])\)\.$", thought)
            assert named, thought
            assert named.group(2) == letter
            assert options_in(reply.prompt)[letter] == named.group(1)


def test_every_chain_is_sound_even_when_its_start_is_wrong(
    answered: tuple[AnswerHabits, list[Reply]],
) -> None:
    """From the condition that is believed the rest follows by the facts of the clinic."""
    by_name = {c.name: c for c in clinic().conditions.values()}
    for reply in answered[1]:
        if match := REASONED.fullmatch(reply.text):
            kind = reply.case.tags["kind"]
            thought = match.group(1).removeprefix(f" asked is the {kind.replace('_', ' ')}.")
            seen, _, name = thought.split(".")[0].partition(" suggest ")
            believed = by_name[name]
            answer = fact(believed, kind, clinic())
            assert options_in(reply.prompt)[reply.letter] == answer
            assert findings_in(seen) <= findings_in(reply.case.question)
            if kind != "diagnosis":
                assert LINKS[kind][0].format(believed.name, answer) in match.group(1)


def test_reasoning_begins_with_what_is_asked_as_often_as_wanted(
    answered: tuple[AnswerHabits, list[Reply]],
) -> None:
    habits, replies = answered
    reasoned = [r.text for r in replies if r.manner == "reasoned"]
    restated = sum(text.startswith("<think> asked is the ") for text in reasoned)
    assert share_is(restated, len(reasoned), habits.restated)


def test_broken_replies_are_broken_in_several_ways(
    answered: tuple[AnswerHabits, list[Reply]],
) -> None:
    shapes = {
        re.sub(r">[^<]+<", "><", re.sub(r"^[^<]+", "", r.text))
        for r in answered[1]
        if r.manner == "broken"
    }
    assert len(shapes) >= 5


@pytest.mark.parametrize("kind", ["drill", "exercise"])
def test_exercise_pairs_name_the_right_letter(kind: str) -> None:
    library = Library(clinic(), 3)
    for _ in range(200):
        task = getattr(library, kind)()
        options, pairs = options_in(task), task.splitlines()[-1]
        named = re.findall(r"([^(),]+) \(([A-Z])\)", pairs)
        assert len(named) == pairs.count(", ") + 1
        assert len(set(options.values())) == len(options)
        for text, letter in named:
            assert options[letter] == text.strip()


def test_every_patient_of_the_library_is_on_the_pretraining_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admitted: list[Patient] = []
    admit = Ward.admit

    def watched(ward: Ward, condition: Condition) -> Patient:
        admitted.append(admit(ward, condition))
        return admitted[-1]

    monkeypatch.setattr(Ward, "admit", watched)
    library = Library(clinic(), 0)
    shares = {"passage": 1.0, "record": 1.0, "exercise": 1.0, "answered_question": 1.0}
    list(islice(library.documents(shares), 1200))
    assert len(admitted) > 400
    assert {patient.side for patient in admitted} == {"pretrain"}


def test_records_as_read_back_show_no_test_or_train_picture() -> None:
    by_name = {c.name: c.id for c in clinic().conditions.values()}
    library = Library(clinic(), 1)
    for _ in range(500):
        record = library.record()
        named = re.search(r"(?:Assessment: |This is |Diagnosis: | suggest )([^.]+)\.", record)
        assert named
        assert picture(by_name[named[1]], findings_in(record[: named.start()])).side == "pretrain"


def test_no_sentence_of_a_passage_lists_a_whole_patient() -> None:
    library = Library(clinic(), 2)
    names = re.compile("|".join(c.name for c in clinic().conditions.values()), re.IGNORECASE)
    for _ in range(400):
        for line in names.sub("it", library.passage()).split(". "):
            assert len(findings_in(line)) < FEWEST_SHOWN


def test_documents_follow_seed_and_shares() -> None:
    shares = {"record": 0.25, "exercise": 0.75}
    first = list(islice(Library(clinic(), 5).documents(shares), 800))
    assert first == list(islice(Library(clinic(), 5).documents(shares), 800))
    assert first[:20] != list(islice(Library(clinic(), 6).documents(shares), 20))
    assert share_is(sum(text.startswith("A. ") for text in first), 800, 0.75)
