"""Pictures with text as an archive would hold them: what a base vision-language model reads.

Descriptions and short answers are right. Exam questions have the manners of the web: mostly a bare
answer, often wrong, and now and then somebody who reasons before answering and is mostly right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from medrl.cases.case import LETTERS, Case
from medrl.clinic.phantoms.asking import Asked, Asker, findings_behind, pools, reasoning
from medrl.clinic.phantoms.cases import case_of
from medrl.clinic.phantoms.phantom import MODALITIES, SIZE, Phantom
from medrl.clinic.styles import listing
from medrl.environments.prompts import option_lines, render


class Lesson(NamedTuple):
    """Pictures (one or none), what stands before the answer, and the answer."""

    pictures: tuple[Phantom, ...]
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class LessonHabits:
    """How people on the web answer exam questions about pictures (shares in [0, 1])."""

    reasoned: float = 0.20
    broken: float = 0.10
    direct_right: float = 0.60
    reasoned_right: float = 0.90


SHARES = {
    "report": 0.15,
    "description": 0.10,
    "short_answer": 0.25,
    "exam": 0.30,
    "letters": 0.03,
    "reading": 0.12,
    "rule": 0.05,
}
"""How often each kind of lesson occurs; the names are methods of ``Lessons``."""

_DESCRIBE = ("Describe the picture.", "What does the picture show?", "What do you see?")


class Lessons:
    """Endless seeded lessons; their pictures are of the pretraining side only."""

    def __init__(
        self, seed: int, habits: LessonHabits = LessonHabits(), pixels: int = SIZE
    ) -> None:
        self.habits = habits
        self.rng = random.Random(f"lessons:{seed}")
        self._asker = Asker("pretrain", pixels=pixels)

    def description(self) -> Lesson:
        """Some or all findings of a picture, in any order."""
        asked = self._asker.ask(self.rng)
        modality = MODALITIES[asked.picture.modality]
        findings = list(modality.findings(asked.picture.attributes).values())
        shown = self.rng.sample(findings, self.rng.randint(2, len(findings)))
        text = self.rng.choice(("This is a {} with {}.", "A {} with {}.", "The {} shows {}."))
        answer = text.format(modality.title, listing(shown))
        return Lesson((asked.picture,), self.rng.choice(_DESCRIBE), answer)

    def short_answer(self) -> Lesson:
        """A question with its answer and nothing else."""
        asked = self._asker.ask(self.rng)
        prompt = self.rng.choice(asked.question.wordings)
        return Lesson((asked.picture,), prompt, f"{asked.answer}.")

    def exam(self) -> Lesson:
        """An exam question with somebody's reply, in the manners of ``habits``."""
        asked, case = self._case()
        return Lesson((asked.picture,), render(case, "think-answer"), self._reply(asked, case))

    def report(self) -> Lesson:
        """All findings of a picture, in their fixed order."""
        asked = self._asker.ask(self.rng)
        modality = MODALITIES[asked.picture.modality]
        seen = listing(list(modality.findings(asked.picture.attributes).values()))
        return Lesson((asked.picture,), "Write a report.", f"A {modality.title} with {seen}.")

    def letters(self) -> Lesson:
        """To name the letters of some or all options, each right behind its text; no picture."""
        _, case = self._case()
        while case.reference.kind != "option":
            _, case = self._case()
        options = case.reference.options
        named = self.rng.sample(range(len(options)), self.rng.randint(2, len(options)))
        answer = ", ".join(f"{options[at]} ({LETTERS[at]})" for at in named)
        return Lesson((), option_lines(options), f"{answer}.")

    def reading(self) -> Lesson:
        """To answer from findings that are given in words, reasoning; no picture."""
        asked, case = self._case()
        name, attributes = asked.picture.modality, asked.picture.attributes
        seen = listing(findings_behind(name, asked.question, attributes))
        asked_for = render(case, "{question}\n{options}\n").rstrip()
        right = case.reference.value
        thought = reasoning(name, asked.question, attributes, _letter(case, right))
        answer = f"<think>{thought}</think><answer>{right}</answer>"
        return Lesson((), f"The picture shows {seen}.\n{asked_for}", answer)

    def rule(self) -> Lesson:
        """A line of a table of diagnoses; no picture."""
        rule = self.rng.choice(self.rng.choice(list(MODALITIES.values())).rules)
        if self.rng.random() < 0.5:
            return Lesson((), f"What means {rule.diagnosis}?", rule.sentence)
        return Lesson((), f"What is {rule.text}?", f"{rule.diagnosis}.")

    def lessons(self, shares: dict[str, float]) -> Iterator[Lesson]:
        """Endless lessons; ``shares`` gives the weight of each kind by the name of its method."""
        kinds: list[Callable[[], Lesson]] = [getattr(self, name) for name in shares]
        while True:
            yield self.rng.choices(kinds, list(shares.values()))[0]()

    def _case(self) -> tuple[Asked, Case]:
        form = self.rng.choice(("closed", "closed", "open"))
        asked = self._asker.ask(self.rng, form == "open")
        return asked, case_of(asked, "open" if form == "open" else "closed", "", "", self.rng)

    def _reply(self, asked: Asked, case: Case) -> str:
        roll, direct = self.rng.random(), self._direct(asked, case)
        thought, believed = self._reasoned(asked, case)
        if roll < self.habits.reasoned:
            return f"<think>{thought}</think><answer>{believed}</answer>"
        if roll < self.habits.reasoned + self.habits.broken:
            return self.rng.choice(
                (
                    f"The answer is {direct}.",
                    f"<answer>{direct}",
                    f"{thought}<answer>{believed}</answer>",
                    f"<think>{thought}<answer>{believed}</answer>",
                )
            )
        return f"<answer>{direct}</answer>"

    def _written(self, case: Case, text: str) -> str:
        """An answer as it is to be given: an option by its letter."""
        if case.reference.kind == "option":
            return LETTERS[case.reference.options.index(text)]
        return text

    def _wrong(self, asked: Asked, case: Case) -> str:
        choices = case.reference.options or asked.possible
        return self.rng.choice([text for text in choices if text != asked.answer])

    def _direct(self, asked: Asked, case: Case) -> str:
        right = self.rng.random() < self.habits.direct_right
        return self._written(case, asked.answer if right else self._wrong(asked, case))

    def _reasoned(self, asked: Asked, case: Case) -> tuple[str, str]:
        """A line of reasoning and the answer it arrives at. Who errs sees something else than is
        there, and the rest follows from that: the chain is sound, its start is wrong."""
        name, question, attributes = (
            asked.picture.modality,
            asked.question,
            asked.picture.attributes,
        )
        believed = asked.answer
        if self.rng.random() >= self.habits.reasoned_right:
            believed = self._wrong(asked, case)
            pool = next(p for q, p in pools(name, False) if q.wordings == question.wordings)
            attributes = self.rng.choice(pool[believed])
        written = self._written(case, believed)
        return reasoning(name, question, attributes, _letter(case, written)), written


def _letter(case: Case, written: str) -> str:
    return written if case.reference.kind == "option" else ""


def pretraining_pairs(seed: int, pixels: int = SIZE) -> Iterator[Lesson]:
    """Endless lessons for a base model, mixed as ``SHARES`` says. They hold no picture and no
    held-out pair of attributes of any training or test set, whatever the clinic seed."""
    return Lessons(seed, pixels=pixels).lessons(SHARES)
