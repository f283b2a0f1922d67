"""Lessons: from pictures of their own, in the manners they are meant to have."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest

from medrl.clinic.phantoms.asking import is_held_out, questions_of, side_of
from medrl.clinic.phantoms.phantom import MODALITIES
from medrl.clinic.phantoms.pretraining import SHARES, Lesson, Lessons, pretraining_pairs

_REPLY = re.compile(r"(<think>(?P<thought>.*)</think>)?<answer>(?P<answer>[^<]*)</answer>")


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    return list(islice(pretraining_pairs(0), 6000))


def test_same_seed_same_lessons(lessons: list[Lesson]) -> None:
    assert list(islice(pretraining_pairs(0), 50)) == lessons[:50]
    assert list(islice(pretraining_pairs(1), 50)) != lessons[:50]
    large = next(lesson for lesson in pretraining_pairs(0, pixels=96) if lesson.pictures)
    assert large.pictures[0].open().size == (96, 96)


def test_pictures_are_of_the_pretraining_side_and_show_no_held_out_pair(
    lessons: list[Lesson],
) -> None:
    pictures = [lesson.pictures[0] for lesson in lessons if lesson.pictures]
    assert len(pictures) == pytest.approx(6000 * 0.80, rel=0.05)
    assert {side_of(picture) for picture in pictures} == {"pretrain"}
    assert {picture.modality for picture in pictures} == set(MODALITIES)
    assert not any(is_held_out(MODALITIES[p.modality], p.attributes) for p in pictures)


def test_the_vocabulary_is_small(lessons: list[Lesson]) -> None:
    words = Counter(
        word
        for lesson in lessons
        for word in re.findall(r"\w+", f"{lesson.prompt} {lesson.answer}")
    )
    assert len(words) < 400
    assert sum(count >= 5 for count in words.values()) > 0.9 * len(words)


def test_descriptions_name_findings_that_are_there() -> None:
    teacher = Lessons(0)
    for _ in range(300):
        (picture,), _, answer = teacher.description()
        modality = MODALITIES[picture.modality]
        findings = modality.findings(picture.attributes).values()
        left = answer
        for finding in sorted(findings, key=len, reverse=True):
            left = left.replace(finding, "", 1)
        assert modality.title in answer and len(left) < len(answer)
        assert set(re.findall(r"\w+", left.replace(modality.title, ""))) <= {
            "This", "is", "a", "A", "The", "with", "shows", "and",
        }  # fmt: skip


def test_reports_name_all_findings_in_their_order() -> None:
    teacher = Lessons(0)
    for _ in range(100):
        (picture,), _, answer = teacher.report()
        modality = MODALITIES[picture.modality]
        at = -1
        for finding in modality.findings(picture.attributes).values():
            at = answer.index(finding, at + 1)


def test_short_answers_are_right() -> None:
    teacher = Lessons(1)
    for _ in range(300):
        (picture,), prompt, answer = teacher.short_answer()
        (question,) = [
            q for q in questions_of(MODALITIES[picture.modality]) if prompt in q.wordings
        ]
        assert answer == f"{question.answer(picture.attributes)}."


def test_exams_are_answered_in_the_manners_of_the_habits() -> None:
    teacher, kinds = Lessons(2), Counter()
    for _ in range(3000):
        (picture,), prompt, answer = teacher.exam()
        asked = prompt.removeprefix("User: ").split("\n")[0]
        (question,) = [q for q in questions_of(MODALITIES[picture.modality]) if asked in q.wordings]
        gold = question.answer(picture.attributes)
        options = dict(re.findall(r"^([A-E])\. (.+)$", prompt, re.MULTILINE))
        if not (reply := _REPLY.fullmatch(answer)):
            kinds["broken"] += 1
            continue
        given = reply["answer"]
        text = options.get(given, given)
        kind = "direct" if reply["thought"] is None else "reasoned"
        kinds[kind] += 1
        kinds[f"{kind} right"] += text == gold
        if kind == "reasoned":  # the answer follows from what was seen, rightly or not
            assert (
                reply["thought"].startswith("I see ") and f" answer is {text}" in reply["thought"]
            )
    assert kinds["reasoned"] / 3000 == pytest.approx(0.20, abs=0.03)
    assert kinds["broken"] / 3000 == pytest.approx(0.10, abs=0.02)
    assert kinds["direct right"] / kinds["direct"] == pytest.approx(0.60, abs=0.04)
    assert kinds["reasoned right"] / kinds["reasoned"] == pytest.approx(0.90, abs=0.05)


def test_letters_and_readings_are_right_without_a_picture() -> None:
    teacher = Lessons(3)
    for _ in range(200):
        pictures, prompt, answer = teacher.letters()
        options = dict(re.findall(r"^([A-E])\. (.+)$", prompt, re.MULTILINE))
        named = re.findall(r"(\S[^()]*) \(([A-E])\)(?:, |\.$)", answer)
        assert pictures == () and 2 <= len(named) <= len(options)
        assert all(options[letter] == text for text, letter in named)
        assert len({letter for _, letter in named}) == len(named)
    kinds = Counter()
    for _ in range(200):
        pictures, prompt, answer = teacher.reading()
        seen = prompt.split("\n")[0].removeprefix("The picture shows ").removesuffix(".")
        reply = _REPLY.fullmatch(answer)
        assert pictures == () and reply["thought"].startswith(f"I see {seen}. ")
        last = re.search(r"So the answer is (.*?)(?: \(([A-E])\))?\.$", reply["thought"])
        assert reply["answer"] == (last[2] or last[1])  # what was thought is what is answered
        kinds[reply["answer"]] += 1
    assert {"A", "B", "C", "yes", "no"} <= set(kinds)


def test_every_rule_is_stated() -> None:
    teacher = Lessons(4)
    stated = {(prompt, answer) for _, prompt, answer in (teacher.rule() for _ in range(1000))}
    for modality in MODALITIES.values():
        for rule in modality.rules:
            assert (f"What means {rule.diagnosis}?", rule.sentence) in stated
            assert (f"What is {rule.text}?", f"{rule.diagnosis}.") in stated


def test_shares(lessons: list[Lesson]) -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    rules = [lesson for lesson in lessons if re.match(r"What (means|is an?) ", lesson.prompt)]
    assert len(rules) / len(lessons) < 0.09
    only = Lessons(0).lessons({"letters": 1.0})
    assert all(re.search(r" \([A-E]\)\.$", lesson.answer) for lesson in islice(only, 50))
