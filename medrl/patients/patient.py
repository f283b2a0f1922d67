"""What every patient promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medrl.cases.case import Case
from medrl.cases.record import Fact, Record
from medrl.errors import DataError
from medrl.patients.words import sentences


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was answered."""

    question: str
    answer: str


class Patient(Protocol):
    """One patient in one consultation."""

    async def answer(self, question: str, history: Sequence[Exchange]) -> str | None:
        """What the patient says, in everyday words; ``None`` if the question is about nothing that
        the patient can tell.

        Never names the diagnosis, gives no advice, and says nothing that the record denies.

        Args:
            question: the doctor's.
            history: what was answered before, in order.

        Raises:
            JudgeError: who plays the patient cannot be reached.
        """
        ...


class Patients(Protocol):
    """Where patients come from; one object per run."""

    def open(self, case: Case, seed: int) -> Patient:
        """The patient of a case; the same arguments, the same patient.

        Raises:
            DataError: the case has nobody to ask.
        """
        ...


def record_of(case: Case) -> Record:
    """The record of a case.

    Raises:
        DataError: it has none, or an empty one.
    """
    if case.record is None or not (case.record.facts or case.record.description):
        raise DataError(
            f"case {case.id} ({case.source}) has no record, so nobody can be asked about it",
            "use cases with patients' records, as of clinic:consult-train",
        )
    return case.record


def facts_of(record: Record) -> tuple[Fact, ...]:
    """What can be asked: the facts, or the sentences of the description where there are none."""
    return record.facts or tuple(Fact("", s) for s in sentences(record.description))
