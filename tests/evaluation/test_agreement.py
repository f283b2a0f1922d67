"""The share of answers that follow from their reasoning."""

from __future__ import annotations

from medrl.cases.case import Case, Provenance, Reference
from medrl.evaluation.agreement import Agreement, follows, reasoning_agreement
from medrl.evaluation.evaluate import Row, summarise
from medrl.evaluation.statistics import wilson
from medrl.grading import Grader
from tests.tiny import case


def row(text: str, to: Case) -> Row:
    said = Grader().grade(text, to.reference)
    known = (said.answer, str(said.outcome), said.reason, said.format_ok)
    return Row(to.id, "B", *known, False, 9, 5, text, follows=follows(text, said.answer, to))


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
    found = reasoning_agreement(rows)
    assert found == Agreement(agree=2, differ=2, open=2, skipped=1)
    assert (found.n, found.rate, found.interval()) == (6, 2 / 6, wilson(2, 6))
    assert summarise(rows)["agreement"] == 2 / 6


def test_no_answers_have_no_rate() -> None:
    found = reasoning_agreement([])
    assert (found.rate, found.interval()) == (None, None)
    assert summarise([row("<think>So insulin.</think>", case())])["agreement"] is None


def test_a_report_is_left_to_judges() -> None:
    report = Case("r", "Describe.", Reference("report", "Clear."), Provenance("test"))
    assert follows("<think>Clear.</think><answer>Clear.</answer>", "Clear.", report) is None
