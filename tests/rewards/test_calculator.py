"""The calculator term pays what MedCalc-Bench's rule accepts."""

from __future__ import annotations

from typing import Any

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.grading import Grader
from medrl.prompt import Prompt
from medrl.rewards.calculator import CalculatorSpec
from medrl.rewards.reward import TERMS
from medrl.rewards.term import Answer, Score

CONTEXT: Any = None  # the term needs neither policy nor grader


def case(output: str, reference: Reference, **tags: str) -> Case:
    marks = {"calculator": "x", "output": output, **tags}
    return Case("c1", "What is it?", reference, Provenance("test"), tags=marks)


def scored(to: Case, *replies: str) -> list[Score]:
    grader = Grader(format="think_answer")
    answers = [
        Answer(to, Prompt("", ()), text, (), grader.grade(text, to.reference), 0)
        for text in replies
    ]
    return CalculatorSpec(term="calculator").build(CONTEXT).score(answers)


def paid(to: Case, content: str) -> float | None:
    return scored(to, f"<think>x</think><answer>{content}</answer>")[0].value


WHOLE = case("integer", Reference("number", "7"))
DECIMAL = case("decimal", Reference("number", "100", tolerance=0.05), lower="90.0", upper="101.0")
DAY = case("date", Reference("phrase", "08/07/2024"))
AGE = case("weeks_days", Reference("phrase", "(2 weeks, 3 days)"))


@pytest.mark.parametrize(
    ("to", "content", "value"),
    [
        (WHOLE, "7", 1.0),
        (WHOLE, "7.4", 1.0),  # which the grader calls wrong
        (WHOLE, "7.6", 0.0),
        (WHOLE, "", 0.0),
        (WHOLE, "6 or 7", 0.0),
        (DECIMAL, "90", 1.0),  # the row's own limit, beyond 5 %
        (DECIMAL, "104", 0.0),  # within 5 %, outside of the row's limits
        (DAY, "August 7, 2024", 1.0),
        (DAY, "08/08/2024", 0.0),
        (AGE, "2 weeks and 3 days", 1.0),
        (AGE, "(3, 2)", 0.0),
    ],
)
def test_what_is_paid(to: Case, content: str, value: float) -> None:
    assert paid(to, content) == value


def test_text_outside_of_the_answer_is_not_paid() -> None:
    (score,) = scored(WHOLE, "<think>it is 7</think>")
    assert score.value == 0.0 and "no answer" in score.reason


def test_a_case_of_another_task_is_a_failure_not_a_zero() -> None:
    other = Case("c2", "Which?", Reference("option", "A", ("x", "y")), Provenance("test"))
    (score,) = scored(other, "<think>x</think><answer>A</answer>")
    assert score.value is None and "c2" in score.reason


def test_the_term_is_registered_and_bounded() -> None:
    assert TERMS["calculator"] is CalculatorSpec
    term = CalculatorSpec(term="calculator").build(CONTEXT)
    assert (term.low, term.high) == (0.0, 1.0)
