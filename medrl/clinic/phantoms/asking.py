"""What is asked about which pictures: sides, held-out pairs, and questions with balanced answers.

A picture's side follows from its seed, so that pretraining, training and tests never show the same
picture. Of the two ``crossed`` attributes of each modality some pairs of values are held out: every
value occurs everywhere, but these pairs are seen in the ``ood`` side alone. They are the same for
every clinic seed, so that one base model is a fair start for all of them.

The answer is drawn first, then a picture it is right for. So no answer is more likely than another,
given the words of the question; a model that does not look is at chance.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from medrl.clinic.phantoms.modality import YES_NO, Attributes, Modality, Question, Task
from medrl.clinic.phantoms.phantom import MODALITIES, SIZE, Phantom, phantom
from medrl.clinic.styles import listing

Side = Literal["pretrain", "train", "test", "ood"]
SIDES: tuple[Side, ...] = ("pretrain", "train", "test", "ood")
_SEEDS = 2**40
"""Pictures of one side with the same attributes."""

DIAGNOSIS = ("What is the diagnosis?", "Which diagnosis fits the picture?")


@dataclass(frozen=True)
class Asked:
    """A question about a picture, with its answer.

    ``possible`` are all answers that the question has on this side, in a fixed order.
    """

    picture: Phantom
    question: Question
    answer: str
    possible: tuple[str, ...]

    @property
    def closed_only(self) -> bool:
        """Whether it is answered by yes or no."""
        return set(self.possible) == set(YES_NO)


def side_of(picture: Phantom) -> Side:
    """Where a picture may be shown."""
    return SIDES[picture.seed % len(SIDES)]


def is_held_out(modality: Modality, attributes: Attributes) -> bool:
    """Whether these attributes have a pair of values that only ``ood`` pictures show."""
    first, second = (
        [value for value in modality.values[name] if value != "none"] for name in modality.crossed
    )
    a, b = (attributes[name] for name in modality.crossed)
    if a not in first or b not in second:
        return False
    fewest = min(len(first), len(second))
    return (first.index(a) + 1) % fewest == second.index(b) % fewest


def questions_of(modality: Modality) -> tuple[Question, ...]:
    """All questions about pictures of a modality, the diagnosis last."""
    diagnosis = Question("diagnosis", DIAGNOSIS, lambda a: modality.rule(a).diagnosis, ())
    return (*modality.questions, diagnosis)


Pool = dict[str, tuple[dict[str, str], ...]]
"""Answer -> the attributes it is right for."""


@lru_cache(maxsize=16)
def pools(name: str, held_out: bool) -> tuple[tuple[Question, Pool], ...]:
    """The questions about modality ``name`` that have at least two answers, with their answers;
    about held-out combinations of attributes, or about the others."""
    modality = MODALITIES[name]
    shown = [a for a in modality.combinations() if is_held_out(modality, a) is held_out]
    found = []
    for question in questions_of(modality):
        pool: dict[str, list[dict[str, str]]] = {}
        for attributes in shown:
            answer = question.answer(attributes)
            if answer is not None:
                pool.setdefault(answer, []).append(attributes)
        if len(pool) > 1:
            found.append((question, {answer: tuple(pool[answer]) for answer in sorted(pool)}))
    return tuple(found)


def attributes_for(name: str, question: Question, answer: str) -> tuple[dict[str, str], ...]:
    """Attributes of pictures of modality ``name`` for which ``answer`` to ``question`` is right,
    none of them held out."""
    return next(pool[answer] for asked, pool in pools(name, False) if asked == question)


@dataclass(frozen=True)
class Asker:
    """Draws questions about pictures of one side.

    Modality, task, question and answer are drawn evenly, one after the other.

    Attributes:
        side: of the pictures.
        modalities: which are shown.
        tasks: which are asked; a modality that has none of them is left out.
        pixels: per side of a picture.
    """

    side: Side
    modalities: Collection[str] = tuple(MODALITIES)
    tasks: Collection[Task] | None = None
    pixels: int = SIZE

    def ask(self, rng: random.Random, open_form: bool = False) -> Asked:
        """The next question; with ``open_form`` none that is answered by yes or no."""
        fitting = {name: self._fitting(name, open_form) for name in self.modalities}
        name = rng.choice([name for name, by_task in fitting.items() if by_task])
        by_task = fitting[name]
        question, pool = rng.choice(by_task[rng.choice(list(by_task))])
        answer = rng.choice(list(pool))
        return Asked(self.draw(name, rng.choice(pool[answer]), rng), question, answer, tuple(pool))

    def draw(self, name: str, attributes: Attributes, rng: random.Random) -> Phantom:
        """A picture of this side with these attributes."""
        seed = rng.randrange(_SEEDS) * len(SIDES) + SIDES.index(self.side)
        return phantom(name, attributes, seed, self.pixels)

    def _fitting(self, name: str, open_form: bool) -> dict[Task, list[tuple[Question, Pool]]]:
        by_task: dict[Task, list[tuple[Question, Pool]]] = {}
        for question, pool in pools(name, self.side == "ood"):
            wanted = self.tasks is None or question.task in self.tasks
            if wanted and not (open_form and set(pool) == set(YES_NO)):
                by_task.setdefault(question.task, []).append((question, pool))
        return by_task


def findings_behind(name: str, question: Question, attributes: Attributes) -> list[str]:
    """The findings, in words, from which the answer to ``question`` follows."""
    modality = MODALITIES[name]
    uses = modality.rule(attributes).uses if question.task == "diagnosis" else question.uses
    words = modality.findings(attributes)
    return [words[key] for key in uses]


def reasoning(name: str, question: Question, attributes: Attributes, letter: str = "") -> str:
    """What is seen, for a diagnosis the rule, and the answer with its letter if it has one."""
    seen = listing(findings_behind(name, question, attributes))
    rule = ""
    if question.task == "diagnosis":
        rule = f"{MODALITIES[name].rule(attributes).sentence} "
    answer = f"{question.answer(attributes)}{letter and f' ({letter})'}"
    return f"I see {seen}. {rule}So the answer is {answer}."
