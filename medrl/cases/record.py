"""What a patient or an expert brings to a case with turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a patient can be asked.

    Attributes:
        question: how a doctor may ask for it.
        answer: what the patient says then, in the patient's words; a denial is one too.
    """

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is true of a patient and has to be asked for; the diagnosis is the case's reference.

    Attributes:
        description: all of it as one paragraph, what is denied included; may be empty.
        recommendation: what the patient should be advised.
    """

    facts: tuple[Fact, ...]
    description: str = ""
    recommendation: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a transcript: what was written and by whom."""

    speaker: Literal["policy", "environment"]
    text: str
