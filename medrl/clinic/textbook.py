"""Text about the clinic as an archive would hold it: textbook, notes, letters, questions.

The question-and-answer text is deliberately like the web: mostly bare answers, often wrong,
formats that are sometimes broken, and now and then somebody who reasons inside think tags before
answering and is mostly right. A model pretrained on it *can* reason but does not do so by habit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from medrl.cases.case import LETTERS, Case
from medrl.clinic.exams import LINKS, diagnosis_step, fact, options_for, question_step, questions
from medrl.clinic.knowledge import Condition, Knowledge
from medrl.clinic.patients import FEWEST_SHOWN, Patient, Ward, hallmarks
from medrl.clinic.styles import EXAM_STYLES, KINDS, UNSEEN_STYLE, describe, listing
from medrl.environments.prompts import option_lines, render


@dataclass(frozen=True, slots=True)
class AnswerHabits:
    """How the people who answer questions on the web behave (shares in [0, 1]).

    ``restated`` is the share of reasoning that begins by saying what is asked.

    The defaults make direct answers near chance and reasoned ones mostly right, so that reasoning
    pays. Whether reinforcement learning keeps answering at once where ``direct_right`` is close to
    ``reasoned_right`` (Med-RLVR's phase 4) is the question of the study ``med-rlvr-direct``.
    """

    reasoned: float = 0.20
    broken: float = 0.20
    restated: float = 0.50
    direct_right: float = 0.35
    reasoned_right: float = 0.85


def sentence(text: str) -> str:
    """Capital at the start, full stop at the end."""
    return text[:1].upper() + text[1:] + "."


class Library:
    """Endless seeded text of each kind, drawn from the pretraining side only."""

    def __init__(
        self, knowledge: Knowledge, seed: int, habits: AnswerHabits = AnswerHabits()
    ) -> None:
        self.knowledge = knowledge
        self.habits = habits
        self.rng = random.Random(f"library:{seed}")
        self._ward = Ward(knowledge, self.rng, "pretrain")
        self._conditions = list(knowledge.conditions.values())
        self._hallmarks = hallmarks(knowledge)
        texts = (f.text for f in knowledge.findings.values())
        self._words = sorted({word for text in texts for word in text.split()})
        self._questions = questions("pretrain", seed, knowledge=knowledge)

    # ---- textbook -------------------------------------------------------------------------

    def passage(self) -> str:
        """A short textbook passage on one condition: a few facts in random order."""
        condition = self.rng.choice(self._conditions)
        facts = self._facts(condition)
        return " ".join(self.rng.sample(facts, self.rng.randint(4, 7)))

    def _facts(self, c: Condition) -> list[str]:
        rng, k = self.rng, self.knowledge
        links = [
            sentence(rng.choice(LINKS[kind]).format(c.name, fact(c, kind, k)))
            for kind in LINKS
            for _ in range(2)
        ]
        # Fewer than any patient shows, so that no list in a passage is a test patient's picture.
        shown = rng.sample(list(c.all_findings), FEWEST_SHOWN - 1)
        texts = [k.findings[f].text for f in shown]
        finding = k.findings[rng.choice(list(c.all_findings))]
        avoid = rng.choice(c.contraindications)
        return [
            *links,
            sentence(f"typical of {c.name} are {listing(texts)}"),
            sentence(f"{listing(texts)} suggest {c.name}"),
            sentence(f"{k.findings[rng.choice(self._hallmarks[c.id])].text} points to {c.name}"),
            sentence(f"{finding.variant} means {finding.text}"),
            sentence(f"red flags in {c.name} are {listing(c.red_flags)}"),
            sentence(f"avoid {k.treatments[avoid.treatment].name} in {c.name}: it {avoid.reason}"),
            sentence(
                f"{c.name} can look like "
                f"{listing([k.conditions[d].name for d in c.differentials], ' or ')}"
            ),
            rng.choice((c.mechanism_detail, c.treatment_detail, c.next_step_detail)),
        ]

    def record(self) -> str:
        """A clinical note or a letter that ends in the diagnosis, sometimes with a plan."""
        patient = self._ward.admit(self.rng.choice(self._conditions))
        style = self.rng.choice((*EXAM_STYLES, UNSEEN_STYLE))
        text = f"{describe(patient, style, self.rng)} "
        if self.rng.random() < 0.6:
            text += sentence(diagnosis_step(self._seen(patient), patient.condition))
        else:
            text += self.rng.choice(("Assessment: {}.", "This is {}.", "Diagnosis: {}.")).format(
                patient.condition.name
            )
        if self.rng.random() < 0.4:
            kind = self.rng.choice(KINDS[1:])
            label = {"treatment": "Plan", "mechanism": "Mechanism", "next_step": "Next"}[kind]
            text += f" {label}: {fact(patient.condition, kind, self.knowledge)}."
        return text

    def _seen(self, patient: Patient) -> str:
        """Two or three of the patient's findings, picked up from the text."""
        shown = [f.text for f in (*patient.complaints, *patient.results)]
        return listing(self.rng.sample(shown, min(len(shown), self.rng.randint(2, 3))))

    # ---- exercises ------------------------------------------------------------------------

    def drill(self) -> str:
        """Letters and single words: the first and easiest form of the exercise."""
        count = self.rng.randint(2, 10)
        return self._letter_task(self.rng.sample(self._words, count))

    def exercise(self) -> str:
        """Letters and option texts as exams have them: to name the letter of a text."""
        count = self.rng.choice((4, 5, 6, 8, 10))
        condition, kind = self.rng.choice(self._conditions), self.rng.choice(KINDS)
        return self._letter_task(options_for(condition, kind, count, self.knowledge, self.rng))

    def _letter_task(self, options: list[str]) -> str:
        pairs = [f"{text} ({LETTERS[i]})" for i, text in enumerate(options)]
        self.rng.shuffle(pairs)
        return f"{option_lines(tuple(options))}\n {', '.join(pairs[:4])}."

    # ---- questions and answers --------------------------------------------------------------

    def answered_question(self) -> str:
        """A question with somebody's answer, in the manners of ``self.habits``."""
        patient, case = next(self._questions)
        return f"{render(case, 'think-answer')}{self._reply(patient, case)}"

    def _reply(self, patient: Patient, case: Case) -> str:
        roll = self.rng.random()
        if roll < self.habits.reasoned:
            thought, letter = self.reason(patient, case)
            return f"<think>{thought}</think><answer>{letter}</answer>"
        if roll < self.habits.reasoned + self.habits.broken:
            return self._broken_reply(patient, case)
        return f"<answer>{self._direct_letter(case)}</answer>"

    def _direct_letter(self, case: Case) -> str:
        letters = case.reference.letters
        gold = case.reference.value
        if self.rng.random() < self.habits.direct_right:
            return gold
        return self.rng.choice([letter for letter in letters if letter != gold])

    def _broken_reply(self, patient: Patient, case: Case) -> str:
        thought, letter = self.reason(patient, case)
        direct = self._direct_letter(case)
        return self.rng.choice(
            (
                f"The answer is {direct}.",
                f"<answer>{direct}",
                f"<think>{thought}</think>The answer is {letter}.",
                f"<think>{thought}<answer>{letter}</answer>",
                f"{thought}<answer>{letter}</answer>",
                f"<answer>{direct}</answer><think>{thought}</think>",
            )
        )

    def reason(self, patient: Patient, case: Case) -> tuple[str, str]:
        """A line of reasoning and the letter it arrives at.

        When the reasoner errs, it mistakes the condition for another whose answer is among the
        options, and the rest follows from that: the chain is sound, its start is wrong.
        """
        rng, kind = self.rng, case.tags["kind"]
        options = case.reference.options
        believed = patient.condition
        if rng.random() >= self.habits.reasoned_right:
            gold = case.reference.gold_text
            rivals = [
                c
                for c in self._conditions
                if (text := fact(c, kind, self.knowledge)) in options and text != gold
            ]
            believed = rng.choice(rivals) if rivals else believed
        answer = fact(believed, kind, self.knowledge)
        letter = LETTERS[options.index(answer)]
        shown = [f.text for f in (*patient.complaints, *patient.results)]
        steps = [diagnosis_step(self._seen(patient), believed)]
        if rng.random() < self.habits.restated:
            steps.insert(0, question_step(kind))
        if rng.random() < 0.3:
            rival = self.knowledge.conditions[rng.choice(believed.differentials)]
            missing = [
                f for f in self._hallmarks[rival.id] if self.knowledge.findings[f].text not in shown
            ]
            if missing:
                absent = self.knowledge.findings[rng.choice(missing)].text
                steps.append(f"{rival.name} would show {absent}")
        if kind != "diagnosis":
            steps.append(LINKS[kind][0].format(believed.name, answer))
        steps.append(f"{answer} ({letter})")
        return f" {'. '.join(steps)}.", letter

    # ---- mixture ----------------------------------------------------------------------------

    def documents(self, shares: dict[str, float]) -> Iterator[str]:
        """Endless documents; ``shares`` gives the weight of each method of this class by name."""
        names, weights = list(shares), list(shares.values())
        while True:
            yield getattr(self, self.rng.choices(names, weights)[0])()
