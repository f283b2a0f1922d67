"""Generators that point: answers worked out by hand."""

from __future__ import annotations

import pytest

from medrl.generators import ExtractiveGenerator, RuleName, Task
from medrl.retrieval import Document

GOUT = Document("1", "gout", "Gout presents with great toe pain and a red joint.")
CURE = Document("2", "gout", "Gout needs rest. First-line treatment of gout is colchicine.")
FLU = Document("3", "flu", "First-line treatment of flu is oseltamivir. Flu brings fever.")
QUESTION = "A man presents with great toe pain and fever. Which treatment should be given first?"


def answer(rule: RuleName, *documents: Document, question: str = QUESTION, options=()) -> str:
    generator = ExtractiveGenerator(rule)
    [given] = generator.answer([Task(question, tuple(options), documents)])
    assert given.unread == 0
    return given.text


@pytest.mark.parametrize("rule", ["topic", "bridge"])
def test_two_hops_find_the_treatment_of_what_the_findings_mean(rule: RuleName) -> None:
    right = "First-line treatment of gout is colchicine."
    assert answer(rule, GOUT, CURE, FLU) == right
    assert answer(rule, FLU, CURE, GOUT) == right


@pytest.mark.parametrize("rule", ["topic", "bridge"])
def test_without_the_second_document_the_answer_is_another(rule: RuleName) -> None:
    assert "colchicine" not in answer(rule, GOUT, FLU)


def test_the_rules_are_two() -> None:
    # No title in common: what the topic lacks, the bridge has.
    untitled = Document("4", "notes", "In gout the first treatment is colchicine.")
    other = Document("5", "gout", "First comes ice.")
    assert answer("topic", GOUT, other, untitled) == "First comes ice."
    assert answer("bridge", GOUT, other, untitled) == untitled.text


@pytest.mark.parametrize("rule", ["topic", "bridge"])
def test_the_best_supported_option_is_given_with_its_letter(rule: RuleName) -> None:
    options = ("oseltamivir", "colchicine", "insulin")
    question = "Which treatment is given in gout?"
    assert answer(rule, CURE, FLU, question=question, options=options) == "B: colchicine"
    assert answer(rule, FLU, question="What of flu?", options=options) == "A: oseltamivir"


@pytest.mark.parametrize("rule", ["topic", "bridge"])
def test_nothing_shared_is_no_answer(rule: RuleName) -> None:
    assert answer(rule) == ""
    assert answer(rule, options=("a word", "none")) == ""
    assert answer(rule, Document("9", "x", "zebra"), question="Which treatment?") == ""


def test_the_first_option_wins_a_tie() -> None:
    both = Document("1", "x", "Aspirin and insulin.")
    assert answer("topic", both, question="What?", options=("insulin", "aspirin")).startswith("A:")


def test_the_same_task_has_the_same_answer_and_nothing_changes() -> None:
    topic = ExtractiveGenerator("topic")
    before = topic.fingerprint()
    tasks = [Task(QUESTION, (), (GOUT, CURE, FLU))] * 3
    assert len(set(topic.answer(tasks))) == 1
    assert topic.fingerprint() == before == ExtractiveGenerator("topic").fingerprint()
    assert ExtractiveGenerator("bridge").fingerprint() != before
