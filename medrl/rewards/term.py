"""What a reward is made of: named terms that turn graded answers into numbers of a known range.

A term sees all answers of a training step at once, so that one that asks a judge or a model can ask
about many at a time. What it cannot judge gets no number: a failure is counted, never paid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from medrl.cases.case import AnswerKind, Case
from medrl.grading.verdict import Verdict
from medrl.part import Part
from medrl.prompt import Prompt

if TYPE_CHECKING:
    from medrl.grading import Grader
    from medrl.learning.policy import Policy


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as a term sees it.

    Attributes:
        prompt: what the model read.
        text: what it wrote, the end-of-text token left out; ``answer_ids`` all tokens it wrote.
        verdict: what the grader said of ``text``.
        group: number of its group; answers of a group are to one case and stand side by side.
        perturbed: what the grader said of answers to the same case with its pictures perturbed, as
            many as were sampled to the case itself; the same for all of a group. Empty where the
            recipe asks for none.
    """

    case: Case
    prompt: Prompt
    text: str
    answer_ids: tuple[int, ...]
    verdict: Verdict
    group: int
    perturbed: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """What a term says of one answer.

    Attributes:
        value: within the term's range; ``None`` where it could not be told.
        reason: one plain line, for the report; needed where ``value`` is ``None``.
        beside: what else is worth logging, by name; nothing is paid for it.
    """

    value: float | None
    reason: str = ""
    beside: Mapping[str, float] = field(default_factory=dict)


class Term(Protocol):
    """One term of a reward."""

    @property
    def low(self) -> float:
        """No value lies below."""
        ...

    @property
    def high(self) -> float:
        """No value lies above."""
        ...

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """One score per answer, in order."""
        ...


class EachAnswer(ABC):
    """What terms have in common that look at one answer at a time."""

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`Term`."""
        return [self.score_one(answer) for answer in answers]

    @abstractmethod
    def score_one(self, answer: Answer) -> Score:
        """The score of one answer."""


@dataclass(frozen=True, slots=True)
class RewardContext:
    """What a term may need to be built.

    Attributes:
        model_folder: where the model is that a recipe names: ``stage:NAME`` is the auxiliary model
            that an earlier stage of the run has trained, ``clinic:NAME`` one that ships with
            medrl; a folder or a hub id stays what it is.
    """

    policy: Policy
    grader: Grader
    model_folder: Callable[[str], str] = str


class TermSpec(Part, ABC):
    """What a recipe may say about any term; each kind of term adds its own fields.

    A subclass names itself by a field ``term: Literal["name"]`` and builds its term.
    """

    term: str
    weight: float = 1.0
    """Factor of its value in the reward."""
    kinds: tuple[AnswerKind, ...] = ()
    """Kinds of reference it applies to; none: all. To other cases it adds nothing."""

    @property
    def name(self) -> str:
        """What the term is called in metrics and messages; a recipe has no two of one name for the
        same kind of case."""
        return self.term

    def check(self) -> None:
        """Refuse what can be known to fail before anything is trained.

        Raises:
            RecipeError: a missing extra, file or function; says what to install or mend.
        """

    @abstractmethod
    def build(self, context: RewardContext) -> Term:
        """The term itself, ready to score.

        Raises:
            RecipeError: what the recipe says cannot be had.
        """
