"""What a patient does not say: the name of the diagnosis."""

from __future__ import annotations

import re

from medrl.patients.words import content, sentences

NAME = 4
"""Most content words of a diagnosis that is a name; more are a sentence about it."""
_DISEASE = re.compile(
    r"\w{3,}(?:itis|osis|asis|emia|aemia|oma|pathy|penia|plegia|rrhoids?)|"
    r"(?:pneumon|malar|diabet|influenz|infarct|ulcer|asthma|cancer|hernia|syndrome)\w*"
)
"""Words that name diseases by their form, for diagnoses that are whole sentences; ours."""


_KINDS = frozenset({"acute", "chronic", "severe", "primary", "disease"})
"""Words of a name that may be left out in saying it."""


class Secret:
    """The diagnosis of a case, as far as the patient has not named it first.

    Each word is secret that has the form of a disease's name, as in "You appear to have enteritis,
    likely from an infection". Of a short name ("acute heart failure") the content words together
    are secret too, whatever their form. What the self-report says is no secret.

    Args:
        diagnosis: the case's reference.
        told: the self-report.
    """

    def __init__(self, diagnosis: str, told: str) -> None:
        words, known = content(diagnosis), set(content(told))
        sets = [frozenset({word}) for word in words if _DISEASE.fullmatch(word)]
        if len(words) <= NAME:
            sets.append(frozenset(words) - _KINDS)
        self._sets = [words for words in sets if words and not words <= known]

    def told_by(self, text: str) -> bool:
        """Whether ``text`` names the diagnosis."""
        said = set(content(text))
        return any(words <= said for words in self._sets)

    def kept(self, text: str) -> str:
        """``text`` without the sentences that name the diagnosis; perhaps empty."""
        return " ".join(s for s in sentences(text) if not self.told_by(s))
