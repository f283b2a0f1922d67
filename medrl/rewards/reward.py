"""The reward of a recipe: a gate, and a weighted sum of terms behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, get_args

from pydantic import Field, model_validator

from medrl.judges import Counts, Judge
from medrl.part import Part
from medrl.rewards.calculator import CalculatorSpec
from medrl.rewards.chain import ChainSpec
from medrl.rewards.decision import DecisionSpec
from medrl.rewards.function import FunctionSpec
from medrl.rewards.graded import GradedSpec
from medrl.rewards.judged import (
    GenerativeVerifierSpec,
    JudgeTermSpec,
    SoftVerifierSpec,
    StepsSpec,
)
from medrl.rewards.length import LengthSpec
from medrl.rewards.models import PreferenceSpec, VerifierSpec
from medrl.rewards.overlap import OverlapSpec
from medrl.rewards.perception import PerceptionSpec
from medrl.rewards.probability import ProbabilitySpec
from medrl.rewards.reasoning import ReasoningSpec
from medrl.rewards.rule import CorrectSpec, FormatSpec
from medrl.rewards.similarity import SimilaritySpec
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

_AnyTerm = (
    CalculatorSpec
    | ChainSpec
    | CorrectSpec
    | DecisionSpec
    | FormatSpec
    | FunctionSpec
    | GenerativeVerifierSpec
    | GradedSpec
    | JudgeTermSpec
    | LengthSpec
    | OverlapSpec
    | PerceptionSpec
    | PreferenceSpec
    | ProbabilitySpec
    | ReasoningSpec
    | SimilaritySpec
    | SoftVerifierSpec
    | StepsSpec
    | VerifierSpec
)
AnyTerm = Annotated[_AnyTerm, Field(discriminator="term")]
TERMS: dict[str, type[TermSpec]] = {
    get_args(kind.model_fields["term"].annotation)[0]: kind for kind in get_args(_AnyTerm)
}
"""Kinds of term by name."""


class RewardSpec(Part):
    """How an answer is paid."""

    malformed: float | None = -1.0
    """The whole reward of an answer that breaks the grader's format; null: the format does not
    matter. Med-RLVR: -1."""
    terms: tuple[AnyTerm, ...] = Field(default=(CorrectSpec(),), min_length=1)
    """Their values, times their weights, are added up."""

    @model_validator(mode="after")
    def _named_once(self) -> RewardSpec:
        names = [(t.name, kind) for t in self.terms for kind in t.kinds or ("all",)]
        if twice := sorted(n for n in {name for name, _ in names} if _repeats(names, n)):
            raise ValueError(
                f"terms has {twice[0]!r} twice for the same kind of case; "
                "leave one of them out, or give them other kinds"
            )
        return self


def _repeats(names: Sequence[tuple[str, str]], name: str) -> bool:
    kinds = [kind for n, kind in names if n == name]
    return len(set(kinds)) < len(kinds) or ("all" in kinds and len(kinds) > 1)


@dataclass(frozen=True, slots=True)
class Paid:
    """The reward of one answer and where it comes from.

    Attributes:
        value: ``None`` where a term could not tell.
        terms: value of each term that applied, before weights, and what it logs beside it.
        failure: which term could not tell, and why.
    """

    value: float | None
    terms: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


class Reward:
    """A recipe's reward, ready to pay.

    Attributes:
        low, high: no reward lies outside of these.
        counts: what the judges behind its terms did since this was last set back.
    """

    def __init__(self, spec: RewardSpec, context: RewardContext) -> None:
        self.malformed = spec.malformed
        self._terms: list[tuple[TermSpec, Term]] = [(s, s.build(context)) for s in spec.terms]
        low = high = 0.0
        for s, term in self._terms:
            ends = [s.weight * term.low, s.weight * term.high]
            # A term that does not apply to a case adds nothing to its reward.
            low += min(*ends, 0.0) if s.kinds else min(ends)
            high += max(*ends, 0.0) if s.kinds else max(ends)
        self.counts = Counts()
        gate = [] if self.malformed is None else [self.malformed]
        self.low, self.high = min([low, *gate]), max([high, *gate])

    def pay(self, answers: Sequence[Answer]) -> list[Paid]:
        """The reward of each answer, in order.

        Answers that the gate has stopped are shown to no term.

        Raises:
            ValueError: a term gave another number of scores than there were answers, or a value
                outside of its range.
        """
        through = [
            i for i, a in enumerate(answers) if self.malformed is None or a.verdict.format_ok
        ]
        values = {i: 0.0 for i in through}
        terms: dict[int, dict[str, float]] = {i: {} for i in through}
        failures: dict[int, str] = {}
        for spec, term in self._terms:
            asked = [
                i for i in through if not spec.kinds or answers[i].case.reference.kind in spec.kinds
            ]
            for i, score in zip(asked, self._ask(spec, term, answers, asked), strict=True):
                if score.value is None:
                    failures.setdefault(i, f"{spec.name}: {score.reason}")
                else:
                    terms[i][spec.name] = score.value
                    terms[i] |= {f"{spec.name}_{name}": v for name, v in score.beside.items()}
                    values[i] += spec.weight * score.value
        return [
            Paid(None if i in failures else values[i], terms[i], failures.get(i, ""))
            if i in values
            else Paid(self.malformed, {"malformed": 1.0})
            for i in range(len(answers))
        ]

    def _ask(
        self, spec: TermSpec, term: Term, answers: Sequence[Answer], asked: Sequence[int]
    ) -> list[Score]:
        if not asked:
            return []
        scores = term.score([answers[i] for i in asked])
        judge: Judge | None = getattr(term, "judge", None)
        if judge is not None:
            self.counts += judge.last
        if len(scores) != len(asked):
            raise ValueError(f"term {spec.name} gave {len(scores)} scores to {len(asked)} answers")
        for score in scores:
            # Rounding may carry a mean of ones past 1.
            if score.value is not None and not (term.low - 1e-6 <= score.value <= term.high + 1e-6):
                raise ValueError(
                    f"term {spec.name} gave {score.value}, outside of its range "
                    f"{term.low} to {term.high}"
                )
        return scores
