"""Surface styles: how a patient is written down, with and without a question at the end.

``vignette``, ``history`` and ``note`` are the exam's styles. ``letter`` is never used for a
training question; letters do occur in the pretraining text, as they do in a real archive.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from medrl.clinic.knowledge import Finding
from medrl.clinic.patients import Patient

EXAM_STYLES = ("vignette", "history", "note")
UNSEEN_STYLE = "letter"
KINDS = ("diagnosis", "treatment", "mechanism", "next_step")
"""What a question asks: ``diagnosis`` in one hop, the others in two (findings, condition, fact)."""

_QUESTIONS = {
    "diagnosis": ("What is the most likely diagnosis?", "Which condition is most likely?"),
    "treatment": ("What is the first-line treatment?", "Which treatment should be given first?"),
    "mechanism": ("What is the underlying mechanism?", "Which mechanism explains this?"),
    "next_step": ("What is the next best step?", "Which test should be done next?"),
}
_NOTE_QUESTIONS = {
    "diagnosis": "Diagnosis?",
    "treatment": "First-line treatment?",
    "mechanism": "Mechanism?",
    "next_step": "Next best step?",
}
_LETTER_QUESTIONS = {
    "diagnosis": "May I ask which diagnosis you would make?",
    "treatment": "May I ask which treatment you would start?",
    "mechanism": "May I ask which mechanism you would assume?",
    "next_step": "May I ask which step you would take next?",
}


def listing(items: Sequence[str], last: str = " and ") -> str:
    """``a, b and c``."""
    return last.join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def _texts(findings: Sequence[Finding]) -> list[str]:
    return [f.text for f in findings]


def person(patient: Patient) -> str:
    """``60-year-old man``."""
    if patient.age < 14:
        noun = "girl" if patient.sex == "female" else "boy"
    else:
        noun = "woman" if patient.sex == "female" else "man"
    if patient.age == 0:
        return f"infant {noun}"
    return f"{patient.age}-year-old {noun}"


def _a(who: str) -> str:
    """With its article: a 7-year-old girl, an 8-year-old girl."""
    return f"{'an' if who.startswith(('8', '11-', '18-', 'i')) else 'a'} {who}"


def describe(patient: Patient, style: str, rng: random.Random) -> str:
    """The patient in words, without a question.

    Raises:
        ValueError: unknown style.
    """
    who, past = person(patient), _texts(patient.history)
    complaints, results = _texts(patient.complaints), _texts(patient.results)
    if style == "vignette":
        parts = [f"{_a(who).capitalize()} presents with {listing(complaints or results)}."]
        if past:
            parts.insert(1, f"The history is notable for {past[0]}.")
        if complaints and results:
            parts.append(f"{rng.choice(('Tests show', 'Studies show'))} {listing(results)}.")
    elif style == "history":
        parts = [f"{_a(who).capitalize()} comes to the clinic."]
        if past:
            parts.append(f"There is {past[0]}.")
        if complaints:
            parts.append(f"The patient has {listing(complaints)}.")
        if results:
            parts.append(f"The work-up reveals {listing(results)}.")
    elif style == "note":
        parts = [f"Patient: {who}."]
        if past:
            parts.append(f"History: {past[0]}.")
        if complaints:
            parts.append(f"Complaints: {'; '.join(complaints)}.")
        if results:
            parts.append(f"Results: {'; '.join(results)}.")
    elif style == UNSEEN_STYLE:
        parts = [f"Dear colleague, I write to you about {_a(who)}"]
        parts[0] += f" with {past[0]}." if past else "."
        if complaints:
            parts.append(f"The main problems are {listing(complaints)}.")
        if results:
            parts.append(f"We found {listing(results)}.")
    else:
        raise ValueError(f"unknown style {style!r}; known: {(*EXAM_STYLES, UNSEEN_STYLE)}")
    return " ".join(parts)


def question_line(kind: str, style: str, rng: random.Random) -> str:
    """The sentence that asks for ``kind`` in the given style."""
    if style == "note":
        return _NOTE_QUESTIONS[kind]
    if style == UNSEEN_STYLE:
        return _LETTER_QUESTIONS[kind]
    return rng.choice(_QUESTIONS[kind])
