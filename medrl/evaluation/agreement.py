"""How often the answer is the one that the reasoning comes to (CAPO's second measure).

Read by the rule behind the reward's term ``decision``, see :mod:`medrl.judges.conclusion`: of a
policy that was paid by that rule this is no independent measure. What the rule cannot read is
counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medrl.cases.case import Case
from medrl.evaluation.evaluate import Row
from medrl.evaluation.statistics import Interval, wilson
from medrl.judges.conclusion import conclusion
from medrl.judges.parts import reasoning_of


@dataclass(frozen=True, slots=True)
class Agreement:
    """Answers by what their reasoning comes to.

    Attributes:
        agree: to the answer given; ``differ``: to another one, or it denies the answer.
        open: to none, to several, or there is no reasoning.
        skipped: answers without a single answer, which have nothing to agree with.
    """

    agree: int
    differ: int
    open: int
    skipped: int

    @property
    def n(self) -> int:
        """Answers that were looked at."""
        return self.agree + self.differ + self.open

    @property
    def rate(self) -> float | None:
        """Share of these that agree, in [0, 1]; ``None`` of none."""
        return self.agree / self.n if self.n else None

    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the rate; ``None`` of none."""
        return wilson(self.agree, self.n) if self.n else None


def reasoning_agreement(rows: Sequence[Row], cases: Sequence[Case]) -> Agreement:
    """Agreement of reasoning and answer over evaluated answers.

    Args:
        rows: one or several answers per case, in any order.
        cases: those that were asked.

    Raises:
        ValueError: a row of a case that is not among ``cases``.
        DataError: a case has a report for a reference.
    """
    known = {case.id: case for case in cases}
    if unknown := [row.case_id for row in rows if row.case_id not in known]:
        raise ValueError(f"there is a row of case {unknown[0]}, which is not among the cases")
    found = [_agrees(row, known[row.case_id]) for row in rows if row.answer]
    return Agreement(
        found.count(True), found.count(False), found.count(None), len(rows) - len(found)
    )


def _agrees(row: Row, case: Case) -> bool | None:
    reasoning = reasoning_of(row.text)
    return conclusion(reasoning, row.answer, case.reference, case.question).agrees
