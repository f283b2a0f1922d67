"""Closed and open questions in one batch: what each kind earns, and how hard each of them pulls.

MedCCO holds that closed questions, which are paid 0 or 1, drown open ones, whose rewards hardly
differ. These are the numbers to see it by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, pstdev
from typing import Literal, get_args

import torch

from medrl.cases.case import Case
from medrl.learning.groups import Group

Form = Literal["closed", "open"]
FORMS: tuple[Form, ...] = get_args(Form)


def form_of(case: Case) -> Form:
    """``closed`` where the answer is one of those given, else ``open``."""
    return "closed" if case.reference.options else "open"


def form_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Of each form: accuracy in [0, 1], and mean and deviation of the rewards of all its answers
    (``reward_std_open``). Empty unless the step has both."""
    by_form = {form: [g for g in groups if form_of(g.case) == form] for form in FORMS}
    if not all(by_form.values()):
        return {}
    found = {}
    for form, own in by_form.items():
        rewards = [reward for group in own for reward in group.rewards]
        found[f"accuracy_{form}"] = fmean(e.verdict.correct for g in own for e in g.episodes)
        found[f"reward_{form}"], found[f"reward_std_{form}"] = fmean(rewards), pstdev(rewards)
    return found


def rows_by_form(forms: Sequence[Form], rows_B: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The rows of closed episodes, then those of open ones.

    Args:
        forms: one per episode of the step.
        rows_B: which of these are asked about.
    """
    for form in FORMS:
        own = [b for b in rows_B.tolist() if forms[b] == form]
        yield form, torch.tensor(own, dtype=rows_B.dtype, device=rows_B.device)


class GradientParts:
    """Measures what is added to a gradient piece by piece; holds a copy of it meanwhile."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self._before = self._copy()

    def norm(self) -> float:
        """Of what was added since the last call, over all parameters."""
        now = self._copy()
        norms = [(n - b).norm() for n, b in zip(now, self._before, strict=True)]
        self._before = now
        return float(torch.stack(norms).norm())

    def _copy(self) -> list[torch.Tensor]:
        return [
            torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
            for p in self.parameters
        ]
