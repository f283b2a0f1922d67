"""What one kind of phantom picture consists of: attributes, drawing, findings, rules, questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from medrl.clinic.phantoms.canvas import Canvas, Colour

Attributes = Mapping[str, str]
"""What is to be seen in one picture: attribute -> value. What is not there has the value "none"."""

Task = Literal[
    "presence", "side", "place", "count", "size", "colour", "type", "comparison", "diagnosis"
]
LEVELS: dict[Task, int] = {
    "presence": 1,
    "side": 1,
    "type": 1,
    "place": 2,
    "count": 2,
    "size": 2,
    "colour": 2,
    "comparison": 2,
    "diagnosis": 3,
}
"""CAPO's three cognitive levels: what is there; its attributes, and how things compare; what it
means by the clinic's rules."""

YES_NO = ("yes", "no")
NUMBERS = ("zero", "one", "two", "three", "four")


@dataclass(frozen=True)
class Question:
    """One thing that can be asked about pictures of a modality.

    Attributes:
        task: what kind of seeing it takes.
        wordings: ways to ask it.
        answer: the answer by the attributes; ``None`` where it cannot be asked.
        uses: the findings (by key) from which the answer follows.
    """

    task: Task
    wordings: tuple[str, ...]
    answer: Callable[[Attributes], str | None]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """One line of a modality's table of diagnoses.

    Attributes:
        diagnosis: what it is called.
        text: the condition in words, as the subject of a sentence.
        fits: the condition itself. Of the rules of a modality exactly one fits a picture.
        uses: the findings (by key) that the condition is about.
    """

    diagnosis: str
    text: str
    fits: Callable[[Attributes], bool]
    uses: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The rule as the textbook states it."""
        return f"{self.text[:1].upper()}{self.text[1:]} means {self.diagnosis}."


@dataclass(frozen=True)
class Modality:
    """One kind of picture.

    Attributes:
        name: one word, as in the names of sets.
        title: what such a picture is called.
        values: every attribute with its possible values.
        possible: whether values go together.
        background: colour on which is drawn, one number for pictures in grey.
        draw: paints a picture with these attributes. Everything else comes from the generator,
            which is asked for the same numbers whatever the attributes are: pictures of one seed
            differ only where their attributes do.
        findings: the attributes in words, by key, including what is not there.
        rules: the table of diagnoses.
        questions: all but the one for the diagnosis.
        crossed: two attributes of which some pairs are held out (see ``splits``).
    """

    name: str
    title: str
    values: Mapping[str, tuple[str, ...]]
    possible: Callable[[Attributes], bool]
    background: Colour
    draw: Callable[[Canvas, Attributes, np.random.Generator], None]
    findings: Callable[[Attributes], dict[str, str]]
    rules: tuple[Rule, ...]
    questions: tuple[Question, ...]
    crossed: tuple[str, str]

    def combinations(self) -> Iterator[dict[str, str]]:
        """Every possible combination of attributes."""
        for values in product(*self.values.values()):
            attributes = dict(zip(self.values, values, strict=True))
            if self.possible(attributes):
                yield attributes

    def rule(self, attributes: Attributes) -> Rule:
        """The rule that fits."""
        return next(rule for rule in self.rules if rule.fits(attributes))


def shown(task: Task, attribute: str, *wordings: str, of: str = "") -> Question:
    """What is the value of ``attribute``? Asked where there is one; seen in finding ``of``, or in
    the finding named like the attribute."""

    def answer(a: Attributes) -> str | None:
        return None if a[attribute] == "none" else a[attribute]

    return Question(task, wordings, answer, (of or attribute,))


def present(attribute: str, *wordings: str, value: str = "", of: str = "") -> Question:
    """Is it there (or: has it this ``value``)?"""

    def answer(a: Attributes) -> str:
        return YES_NO[0 if (a[attribute] == value if value else a[attribute] != "none") else 1]

    return Question("presence", wordings, answer, (of or attribute,))


def total(a: Attributes, *attributes: str) -> int:
    """The sum of attributes that are numbers in words."""
    return sum(NUMBERS.index(a[attribute]) for attribute in attributes)


def counted(number: str, noun: str, where: str = "") -> str:
    """``no spots``, ``one spot``, ``two spots``; ``where`` follows."""
    amount = "no" if number == "zero" else number
    return f"{amount} {noun}{'' if number == 'one' else 's'}{where and ' ' + where}"


def more(a: Attributes, numbers: tuple[str, str], names: tuple[str, str]) -> str:
    """Which of two numbers is larger, by its name, or ``equal``."""
    first, second = (total(a, number) for number in numbers)
    return "equal" if first == second else names[0 if first > second else 1]
