"""The ``Case``: one thing to learn from, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from medrl.cases.picture import Picture
from medrl.cases.record import Record, Turn

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

AnswerKind = Literal["option", "number", "phrase", "label", "report"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What counts as right.

    Attributes:
        kind: how the answer is compared.
        value: for ``option`` the gold letter; for ``number`` a decimal as text; for ``label`` one
            of ``options``; otherwise free text.
        options: option texts in display order; letters A, B, C... are implied by position.
        unit: unit of a number, empty if it has none.
        tolerance: relative half-width of the accepted interval of a number (0.05 is +-5 %).
    """

    kind: AnswerKind
    value: str
    options: tuple[str, ...] = ()
    unit: str = ""
    tolerance: float = 0.0

    @property
    def letters(self) -> str:
        """Letters of the options, e.g. ``"ABCD"``."""
        return LETTERS[: len(self.options)]

    @property
    def gold_text(self) -> str:
        """Text of the gold option; for other kinds the value itself."""
        if self.kind == "option":
            return self.options[LETTERS.index(self.value)]
        return self.value


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a case came from, so that an error message can name file and row."""

    dataset: str
    file: str = ""
    row: int = -1
    """Line of the file, counted from 1; -1 when generated."""

    def __str__(self) -> str:
        return f"{self.file or self.dataset}:{self.row}" if self.row >= 0 else self.dataset


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its reference answer.

    ``question`` is the stem without options; the prompt template of the recipe puts stem, options
    and instruction together, so that options can be reordered and templates varied.
    """

    id: str
    question: str
    reference: Reference
    source: Provenance
    context: str = ""
    """Text the question refers to (an abstract, a record), shown before the stem."""
    images: tuple[Picture, ...] = ()
    """Shown before the question, in this order."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Free labels: specialty, style, hop, condition... used for stratified reporting."""
    difficulty: float | None = None
    """Pass rate of some model in [0, 1], if measured; 0 is hardest."""
    record: Record | None = None
    """Of a patient who is to be asked; the question is then what the patient says first."""
    transcript: tuple[Turn, ...] = ()
    """How an expert went about it, turn by turn; the policy's turns are to be imitated."""
