"""How often the answer is the one that the reasoning comes to (CAPO's second measure).

Read by the rule behind the reward's term ``decision``, see :mod:`medrl.judges.conclusion`: of a
policy that was paid by that rule this is no independent measure. What the rule cannot read is
counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrl.cases.case import Case
from medrl.evaluation.statistics import Interval, wilson
from medrl.judges.conclusion import conclusion
from medrl.judges.parts import reasoning_of

if TYPE_CHECKING:
    from medrl.evaluation.evaluate import Row


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


def follows(text: str, answer: str, case: Case) -> bool | None:
    """Whether the reasoning of a reply comes to its answer.

    Args:
        answer: as the grader read it; empty if there is no single one.

    Returns:
        False if it comes to another answer or denies this one; ``None`` if it comes to none or to
        several, if there is no answer, and for reports, which no rule can read.
    """
    if not answer or case.reference.kind == "report":
        return None
    return conclusion(reasoning_of(text), answer, case.reference, case.question).agrees


def reasoning_agreement(rows: Sequence[Row]) -> Agreement:
    """Agreement of reasoning and answer over evaluated answers."""
    found = [row.follows for row in rows if row.answer]
    return Agreement(
        found.count(True), found.count(False), found.count(None), len(rows) - len(found)
    )
