"""The clinic's textbook and its questions of two hops."""

from __future__ import annotations

from typing import get_args

import pytest

from medrl.clinic.knowledge import clinic
from medrl.clinic.two_hops import search_cases, textbook
from medrl.environments.accuracy import holds_gold
from medrl.environments.search_measure import (
    answered,
    asks_for_the_first_title,
    ends_at_once,
    gain,
    selects_nothing,
)
from medrl.environments.search_spec import SearchSpec
from medrl.generators import RuleName
from medrl.grading import Grader
from medrl.grading.normalise import normalise
from medrl.grading.proof import prove
from medrl.retrieval.tampering import wrong_answers

SIZE = 300


def test_every_condition_has_eight_short_passages() -> None:
    corpus = textbook()
    assert len(corpus) == 8 * len(clinic().conditions)
    words = [len(d.text.split()) for d in corpus.documents]
    assert min(words) >= 8 and max(words) <= 45
    assert all(d.text[0].isupper() or d.text[0].isdigit() for d in corpus.documents)
    assert all(d.text.endswith(".") and ".." not in d.text for d in corpus.documents)
    assert len({d.text for d in corpus.documents}) == len(corpus)


def test_a_question_names_findings_and_never_the_condition() -> None:
    names = {c.id: c.name.lower() for c in clinic().conditions.values()}
    for case in search_cases("train", SIZE):
        asked = f" {normalise(case.question)} "
        assert f" {normalise(names[case.tags['condition']])} " not in asked
        assert not holds_gold(case.question, case.reference)
        assert prove(case, Grader(format="free")) is None


def test_the_answer_takes_both_gold_passages() -> None:
    by_id = {d.id: d for d in textbook().documents}
    findings = clinic().findings
    for case in search_cases("test", SIZE):
        first, second = (by_id[name] for name in case.tags["documents"].split(";"))
        condition = clinic().conditions[case.tags["condition"]]
        shown = [findings[f].text for f in condition.all_findings]
        named = [text for text in shown if text in case.question and text in first.text]
        assert named, "the first hop leads from findings to the condition"
        assert holds_gold(second.text, case.reference)
        assert not holds_gold(first.text, case.reference)
        assert condition.name in second.text.lower() or condition.name in second.text
        assert case.reference.value not in wrong_answers(case)


def test_sides_and_seeds_share_no_question() -> None:
    train, test = (search_cases(side, SIZE) for side in ("train", "test"))
    assert not {c.question for c in train} & {c.question for c in test}
    assert search_cases("train", 20, seed=3) == search_cases("train", 20, seed=3)
    assert search_cases("train", 20, seed=3) != search_cases("train", 20, seed=4)
    assert len({c.id for c in train}) == len({c.question for c in train}) == SIZE


@pytest.mark.parametrize("rule", get_args(RuleName))
def test_naive_retrieval_fails_on_a_known_share_and_a_second_search_does_not(
    rule: RuleName,
) -> None:
    """Measured on 300 test questions with 3 documents: 0.11 and 0.96."""
    naive, second = answered(search_cases("test", SIZE), rule, 3)
    assert 0.05 < naive < 0.2
    assert second > 0.92


def test_scripted_searchers_gain_what_they_should() -> None:
    cases = search_cases("test", 60)
    world = SearchSpec(k=3, turns=2).build(Grader())
    assert gain(world, cases, ends_at_once) == 0
    assert gain(world, cases, selects_nothing) <= 0
    assert gain(world, cases, asks_for_the_first_title) > 0.5
