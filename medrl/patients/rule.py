"""A patient who answers from the record by rule: deterministic, at no cost."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medrl.cases.case import Case
from medrl.patients.patient import Exchange, Patient, facts_of, record_of
from medrl.patients.secret import Secret
from medrl.patients.words import Index, denies, holds, sentences
from medrl.run.seeding import derive_seed

UNSURE = "I am not sure."
"""Said of what is forgotten, and of what cannot be told without naming the diagnosis."""

_SMALL_TALK = (
    "it bothers me a lot",
    "I hope you can help",
    "my family told me to come",
    "I had to wait quite a while out there",
    "I am a bit nervous here",
)
_YES = re.compile(r"yes\s*[,.:]?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Persona:
    """How a patient is.

    Attributes:
        talkativeness: probability that an answer goes on: with a finding that was not asked for,
            or with small talk, as likely as not.
        recall: probability that a fact is remembered. Of what is forgotten the patient is not
            sure; it is never denied instead.
    """

    talkativeness: float = 0.0
    recall: float = 1.0


NEUTRAL = Persona()
"""Remembers all and says what was asked for."""


class RulePatient:
    """Finds the fact that a question is about and says what the record says.

    An answer is the record's own, so it is one sentence where the record's are (as the clinic's
    are), and says nothing the record does not.

    Args:
        seed: of the persona; all that is forgotten or added hangs on it and on the question.

    Raises:
        DataError: the case has no record.
    """

    def __init__(self, case: Case, persona: Persona = NEUTRAL, seed: int = 0) -> None:
        self.persona, self.seed = persona, seed
        self._facts = facts_of(record_of(case))
        self._index = Index(self._facts)
        self._secret = Secret(case.reference.gold_text, case.question)
        rng = random.Random(derive_seed(seed, "patient", "recall"))
        self._forgotten = frozenset(
            i for i in range(len(self._facts)) if rng.random() >= persona.recall
        )

    async def answer(self, question: str, history: Sequence[Exchange]) -> str | None:
        """See :class:`medrl.patients.patient.Patient`."""
        return self.say(question, history)

    def say(self, question: str, history: Sequence[Exchange]) -> str | None:
        """The same, without waiting."""
        found = self._index.find(question)
        if not found:
            return None
        told = {exchange.answer for exchange in history}
        # A record may hold a question twice: the second time it means the second answer.
        best = next((i for i in found if self._same(i, found[0]) and not self._told(i, told)), None)
        fact = found[0] if best is None else best
        answer = "" if fact in self._forgotten else self._secret.kept(self._facts[fact].answer)
        answer = answer or UNSURE
        rng = random.Random(derive_seed(self.seed, "patient", "talk", len(history), question))
        if rng.random() >= self.persona.talkativeness:
            return answer
        return _joined(answer, self._more(rng, [answer, *told]))

    def _same(self, fact: int, other: int) -> bool:
        return self._facts[fact].question == self._facts[other].question

    def _told(self, fact: int, told: set[str]) -> bool:
        answer = self._facts[fact].answer
        return any(answer.rstrip(".!? ") in said for said in told)

    def _more(self, rng: random.Random, said: Sequence[str]) -> str:
        """A finding that is there and was not told, or small talk."""
        left = [
            text
            for i, fact in enumerate(self._facts)
            if i not in self._forgotten
            and not denies(fact.answer)
            and not any(holds(reply, fact.answer) for reply in said)
            and (text := self._volunteered(fact.answer))
        ]
        if left and rng.random() < 0.5:
            return f"also {rng.choice(left)}"
        return rng.choice(_SMALL_TALK)

    def _volunteered(self, answer: str) -> str:
        """The first sentence of an answer as it can be said unasked; empty if it cannot."""
        first = next(iter(sentences(answer)), "")
        yes = _YES.match(first)
        text = first[yes.end() :].rstrip(".!?… ") if yes else ""
        return "" if self._secret.told_by(text) else text


def _joined(answer: str, more: str) -> str:
    """One sentence of two."""
    return f"{answer.rstrip('.!?… ')}; {more}."


@dataclass(frozen=True, slots=True)
class RulePatients:
    """See :class:`medrl.patients.patient.Patients`."""

    persona: Persona = NEUTRAL

    def open(self, case: Case, seed: int) -> Patient:
        """See :class:`medrl.patients.patient.Patients`."""
        return RulePatient(case, self.persona, seed)
