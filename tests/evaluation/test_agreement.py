"""The share of answers that follow from their reasoning."""

from __future__ import annotations

import pytest

from medrl.cases.case import Case
from medrl.evaluation.agreement import Agreement, reasoning_agreement
from medrl.evaluation.evaluate import Row
from medrl.evaluation.statistics import wilson
from medrl.grading import Grader
from tests.tiny import case


def row(text: str, to: Case) -> Row:
    said = Grader().grade(text, to.reference)
    return Row(
        to.id, "B", said.answer, str(said.outcome), said.reason, said.format_ok, False, 9, 5, text
    )


def test_planted_answers_are_counted() -> None:
    asked = [case("B", "one"), case("C", "two")]
    texts = [
        "<think>So insulin.</think><answer>B</answer>",
        "<think>So aspirin.</think><answer>A</answer>",  # wrong, but it agrees
        "<think>So insulin.</think><answer>A</answer>",
        "<think>Not insulin.</think><answer>B</answer>",
        "<think>Who knows.</think><answer>B</answer>",
        "<think></think><answer>B</answer>",
        "<think>So insulin.</think><answer>A and B</answer>",
    ]
    rows = [row(text, asked[i % 2]) for i, text in enumerate(texts)]
    found = reasoning_agreement(rows, asked)
    assert found == Agreement(agree=2, differ=2, open=2, skipped=1)
    assert (found.n, found.rate, found.interval()) == (6, 2 / 6, wilson(2, 6))


def test_no_answers_have_no_rate() -> None:
    found = reasoning_agreement([], [])
    assert (found.rate, found.interval()) == (None, None)


def test_a_row_of_an_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match="case two"):
        reasoning_agreement([row("B", case(name="two"))], [case(name="one")])
