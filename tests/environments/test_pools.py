"""Pools of templates, and the draw of one per case and step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from medrl.cases.case import Reference
from medrl.environments.pools import POOLS, pick_template, templates_of
from medrl.environments.prompts import render
from medrl.errors import RecipeError
from tests.tiny import case

TEMPLATES = [(name, i) for name, pool in POOLS.items() for i in range(len(pool))]


def test_pools_are_large_enough_and_apart() -> None:
    for trained, held_out in (("diverse", "unseen"), ("diverse-question", "unseen-question")):
        assert len(set(POOLS[trained])) == len(POOLS[trained]) >= 8
        assert len(set(POOLS[held_out])) == len(POOLS[held_out]) >= 4
        assert not set(POOLS[trained]) & set(POOLS[held_out])


@pytest.mark.parametrize(("name", "i"), TEMPLATES)
def test_every_template_shows_the_case_and_asks_for_both_tags(name: str, i: int) -> None:
    text = render(case(), POOLS[name][i])
    assert text.count("What helps?") == 1
    assert text.count("A. aspirin\nB. insulin\nC. surgery\nD. rest") == 1
    assert "letter" in text
    for tag in ("<think>", "</think>", "<answer>", "</answer>"):
        assert text.count(tag) == 1
    if not name.endswith("question"):
        assert text.startswith("User: ") and text.endswith("\nAssistant:")
    else:
        assert "User:" not in text and text == text.strip()


@pytest.mark.parametrize(("name", "i"), TEMPLATES)
def test_open_questions_leave_no_empty_line(name: str, i: int) -> None:
    open_ = replace(case(), reference=Reference("phrase", "rest"))
    text = render(open_, POOLS[name][i])
    assert "answer" in text and "letter" not in text and "A. " not in text
    assert all(text.splitlines())


def test_the_draw_is_the_cases_and_steps_own() -> None:
    drawn = [pick_template("pool:diverse", "case-1", step) for step in range(200)]
    assert drawn == [pick_template("pool:diverse", "case-1", step) for step in range(200)]
    assert set(drawn) == set(POOLS["diverse"])
    assert drawn != [pick_template("pool:diverse", "case-2", step) for step in range(200)]


def test_the_draw_is_even() -> None:
    n, pool = 4000, POOLS["diverse"]
    counts = Counter(pick_template("pool:diverse", f"case-{i}", 0) for i in range(n))
    expected = n / len(pool)
    chi_square = sum((counts[t] - expected) ** 2 / expected for t in pool)
    assert chi_square < 27.9  # 0.999 quantile of 9 degrees of freedom


def test_a_prompt_that_is_no_pool_is_its_own_template() -> None:
    assert templates_of("think-answer") == ("think-answer",)
    assert pick_template("Q: {question}", "x", 9) == "Q: {question}"


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(RecipeError, match="'divers' is not known") as refused:
        pick_template("pool:divers", "x", 0)
    assert "pool:diverse" in refused.value.fix
