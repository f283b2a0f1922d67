"""Which cases a recipe asks for, and along which axes it chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from medrl.cases.case import AnswerKind
from medrl.cases.perturbation import PerturbationSpec
from medrl.part import Part, Positive, Share


class ClueSpec(Part):
    """How many findings the clinic's patients show: one or two make a recall item, more a vignette.

    Exams show 4 to 6. Fewer are for training only: the textbook lists up to three.
    """

    min: Positive
    max: Positive

    @model_validator(mode="after")
    def _in_order(self) -> ClueSpec:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; exchange them")
        return self


class LengthSpec(Part):
    """A band of the questions of a data set, ordered by their words; shares of the set.

    ``{lo: 0.5}`` is the longer half. Bands that meet share no question.
    """

    lo: Share = 0.0
    hi: Share = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> LengthSpec:
        if self.lo >= self.hi:
            raise ValueError(f"lo {self.lo} is not below hi {self.hi}; give a band, as in lo: 0.5")
        return self


class DataSpec(Part):
    """One set of cases."""

    source: str
    """``clinic:<exam set>`` or a data set name (``medrl data`` lists them)."""
    path: str | None = None
    """Local file or folder; empty: the hub."""
    split: str | None = "train"
    """``train``, ``validation`` or ``test``; null: all rows of a file, whatever split they tell."""
    size: Positive | None = None
    """Most cases to use; needed for clinic sets, which are endless."""
    seed: int = 0
    kinds: tuple[AnswerKind, ...] = ()
    """Of sets that are not the clinic's: kinds of reference that are used, as ``[option, label]``
    for closed questions and ``[phrase]`` for open ones. Empty: all."""
    clues: ClueSpec | None = None
    """Of clinic sets: findings shown per patient; none: as in exams."""
    length: LengthSpec | None = None
    """Of other sets: which of the questions, by length; none: all."""
    balanced: bool = False
    """Of other sets: as many cases with each answer, the first of each. Where one answer is
    frequent, always giving it looks like skill."""
    noise: Share = 0.0
    """Share of the cases whose right answer is replaced by a wrong one; for training only."""
    enlarge_to: Positive | None = None
    """Pixels of the shorter side that smaller pictures are enlarged to; none: as they are."""
    perturb: PerturbationSpec | None = None
    """Show every picture perturbed: what is still right was not seen."""
    orders: Positive = 1
    """Times each case is there, its options in another order each time: of a single case a model
    otherwise learns the letter."""

    @model_validator(mode="after")
    def _belongs_together(self) -> DataSpec:
        clinic = self.source.startswith("clinic:")
        if clinic and self.length is not None:
            raise ValueError(
                f"length is not for {self.source}, whose questions are made as they are needed; "
                "use clues: {min: 1, max: 2}"
            )
        if clinic and self.balanced:
            raise ValueError(
                f"balanced is not for {self.source}, whose answers are drawn evenly; "
                "leave balanced out"
            )
        if clinic and self.kinds:
            raise ValueError(
                f"kinds is not for {self.source}; name the set of the kind that is wanted, as in "
                "source: clinic:phantoms-open-train"
            )
        if not clinic and self.clues is not None:
            raise ValueError(
                f"clues is for clinic sets, not for {self.source}; use length: {{hi: 0.5}}"
            )
        return self


ONE, SEVERAL = "one set", "several sets"
"""What pydantic calls the two spellings of ``TrainSpec`` in the place of a problem."""


def _spelling(value: Any) -> str:
    return ONE if isinstance(value, (Mapping, DataSpec)) else SEVERAL


TrainSpec = Annotated[
    Annotated[DataSpec, Tag(ONE)]
    | Annotated[tuple[DataSpec, ...], Field(min_length=1), Tag(SEVERAL)],
    Discriminator(_spelling),
]
"""One set of cases, or a mixture of several, each with its own size."""


def sets_of(train: DataSpec | tuple[DataSpec, ...]) -> tuple[DataSpec, ...]:
    """The sets of a mixture, or the one set there is."""
    return (train,) if isinstance(train, DataSpec) else train


def refuse_noise(sets: Mapping[str, DataSpec]) -> None:
    """Test sets are never falsified.

    Raises:
        ValueError: one of them has label noise.
    """
    if noisy := [name for name, spec in sets.items() if spec.noise]:
        raise ValueError(
            f"sets.{noisy[0]} has noise, and a test with wrong answers measures nothing; "
            "leave noise out here, it is for training data"
        )


class DrawSpec(Part):
    """How a model is asked to tell how hard a case is for it."""

    answers: Annotated[int, Field(ge=2)] = 10
    """Answers sampled to each case (CAPO: 10, AlphaMed: 5)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    prefill: str = ""
    """Text put at the start of these answers, as ``<think>`` for a model that rarely thinks."""


class DifficultySpec(DrawSpec):
    """Train only on cases that the starting model answers rightly so many times.

    Either a band ``lo`` to ``hi`` of right answers, or ``levels``.
    """

    lo: Annotated[int, Field(ge=0)] | None = None
    """Fewest right answers; none: 1."""
    hi: Annotated[int, Field(ge=0)] | None = None
    """Most right answers; none: all but one."""
    levels: tuple[Positive, ...] | None = Field(None, min_length=1)
    """Levels that are kept: 1 is all answers right, ``answers`` + 1 none (AlphaMed's L1 to L6)."""
    per_level: Positive | None = None
    """Cases kept of each level, drawn evenly; none: all there are."""
    sources: tuple[str, ...] = ()
    """Data sets that are asked about, named as in ``train``; others are kept whole. Empty: all."""
    counts: str | None = None
    """``difficulty.json`` of an earlier run with the same cases, instead of asking again."""

    @property
    def band(self) -> tuple[int, int]:
        """Fewest and most right answers of a case that is kept, unless ``levels`` says it."""
        lo = 1 if self.lo is None else self.lo
        return lo, self.answers - 1 if self.hi is None else self.hi

    @model_validator(mode="after")
    def _band_or_levels(self) -> DifficultySpec:
        lo, hi = self.band
        if not lo <= hi <= self.answers:
            raise ValueError(f"lo {lo} to hi {hi} is no band of {self.answers} answers")
        if self.levels is None:
            if self.per_level is not None:
                raise ValueError("per_level needs levels; say which, as in levels: [1, 3, 6]")
            return self
        if self.lo is not None or self.hi is not None:
            raise ValueError("lo and hi or levels, not both; leave levels or the band out")
        if max(self.levels) > self.answers + 1 or len(set(self.levels)) < len(self.levels):
            raise ValueError(
                f"levels {list(self.levels)}: {self.answers} answers make the levels 1 to "
                f"{self.answers + 1}; name each once"
            )
        return self
