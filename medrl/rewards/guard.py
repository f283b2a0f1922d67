"""Does an answer contradict its reference in a way that shared words hide?

Word overlap and sentence similarity hardly see the difference between "pneumonia" and "no
pneumonia", left and right, benign and malignant. The guard looks for just these: a finding denied
in one text and asserted in the other (triggers and scopes after NegEx, Chapman et al. 2001),
another side, the opposite of a word. It knows English words, not medicine: what only knowledge
tells apart ("sinistral", "pneumonia" against "clear lungs") it does not see. The lists are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from medrl.grading.negation import FILLERS, clauses, scopes, stem

_OPPOSITES = (
    ("benign", "malignant"),
    ("acute", "chronic"),
    ("systolic", "diastolic"),
    (
        "increased increase increases increasing elevated elevation raised high higher",
        "decreased decrease decreases decreasing reduced reduction diminished low",
    ),
    ("upper superior", "lower inferior"),
    ("anterior", "posterior"),
    ("medial", "lateral"),
    ("proximal", "distal"),
    ("internal", "external"),
    ("ascending", "descending"),
    ("arterial", "venous"),
    ("afferent", "efferent"),
    ("sensory", "motor"),
    ("primary", "secondary"),
    ("dominant", "recessive"),
    ("agonist", "antagonist"),
    ("obstructive", "restrictive"),
    ("ischemic", "hemorrhagic"),
    ("normal", "abnormal"),
    ("stable", "unstable"),
    ("typical", "atypical"),
    ("symptomatic", "asymptomatic"),
    ("compensated", "decompensated"),
    ("complete", "incomplete"),
    ("regular", "irregular"),
    ("febrile", "afebrile"),
    ("open", "closed"),
    ("male", "female"),
    ("before", "after"),
    ("start begin initiate", "stop discontinue withhold"),
    ("indicated", "contraindicated"),
    ("acidosis", "alkalosis"),
    ("less", "more greater"),
)
_PREFIXES = (
    ("hyper", "hypo"),
    ("tachy", "brady"),
    ("macro", "micro"),
    ("poly", "olig"),
    ("intra", "extra"),
    ("supra", "infra"),
    ("pre", "post"),
    ("ab", "ad"),
)
_SUFFIXES = (("cytosis", "cytopenia"), ("cytosis", "penia"))
_POLES = {
    word: (axis, pole)
    for axis, poles in enumerate(_OPPOSITES)
    for pole, words in enumerate(poles)
    for word in words.split()
}
_SIDES = {"left": "left", "lt": "left", "right": "right", "rt": "right", "bilateral": "both"}
_SIDES |= {"bilaterally": "both", "unilateral": "one", "unilaterally": "one"}
_BOTH = re.compile(
    r"\bboth (sides|lungs?|lobes|eyes|ears|kidneys|breasts|ovaries|testes|legs|arms)"
)
_GRADES = {
    "mild", "moderate", "severe", "large", "small", "significant", "focal", "obvious", "definite",
    "new", "clear", "active",
}  # fmt: skip

LONGEST = 2000
"""Characters that are read: a longer answer is no answer to compare, but a loop."""


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a text says.

    Attributes:
        findings: whether each word of content is asserted (True), denied (False), or both.
        poles: the asserted poles of each axis of opposites, and the word that named one.
        sides: left, right, both, one.
    """

    findings: dict[str, set[bool]] = field(default_factory=dict)
    poles: dict[tuple[object, ...], dict[int, str]] = field(default_factory=dict)
    sides: set[str] = field(default_factory=set)


def contradiction(answer: str, reference: str) -> str:
    """Why ``answer`` cannot mean what ``reference`` means, in one line; ``""`` where no
    contradiction was found, which does not mean that there is none.

    What one text does not speak of cannot contradict: leaving out a side or a negated finding is an
    omission.
    """
    said, wanted = _claims(answer), _claims(reference)
    for word, states in said.findings.items():
        known = wanted.findings.get(word, states)
        if states.isdisjoint(known):
            about = word or "the finding"
            does, did = ("asserts", "denies") if True in states else ("denies", "asserts")
            return f"it {does} {about}, the reference {did} it"
    if said.sides and wanted.sides and _sides(said).isdisjoint(_sides(wanted)):
        return f"it says {_listed(said.sides)}, the reference {_listed(wanted.sides)}"
    for axis, poles in said.poles.items():
        others = wanted.poles.get(axis, poles)
        if poles.keys().isdisjoint(others):
            return f"it says {_listed(poles.values())}, the reference {_listed(others.values())}"
    return ""


def _sides(claims: _Claims) -> set[str]:
    sides = claims.sides
    if {"left", "right"} <= sides:
        sides = sides - {"left", "right"} | {"both"}
    return sides - {"one"} | {"left", "right"} if "one" in sides else sides


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def _claims(text: str) -> _Claims:
    claims = _Claims()
    for segment in clauses(text[:LONGEST]):
        words, denied = scopes(segment)
        _read(words, denied, claims)
    return claims


def _read(words: list[str], denied: list[bool], claims: _Claims) -> None:
    """Add what a segment says."""
    if words in (["yes"], ["present"], ["positive"]) or words == [""]:
        claims.findings.setdefault("", set()).add(not denied[0])
        return
    stems = [stem(word) for word in words]
    content = [s.isalpha() and s not in FILLERS for s in stems]
    head = [c and not _qualifies(s) for s, c in zip(stems, content, strict=True)]
    # "not malignant" denies malignant; "no acute fracture" denies the fracture, not acuteness.
    only = not any(h for h, no in zip(head, denied, strict=True) if no)
    for word, is_content, is_head, no in zip(stems, content, head, denied, strict=True):
        if is_head or (is_content and no and only) or (is_content and not no):
            claims.findings.setdefault(word, set()).add(not no)
        if not no:
            if word in _SIDES:
                claims.sides.add(_SIDES[word])
            for axis, pole in _axes(word):
                claims.poles.setdefault(axis, {})[pole] = word
    if _BOTH.search(" ".join(words)):
        claims.sides.add("both")


def _qualifies(word: str) -> bool:
    return word in _POLES or word in _SIDES or word in _GRADES


def _axes(word: str) -> Iterator[tuple[tuple[object, ...], int]]:
    """Axes of opposites that the stem of a word has a place on."""
    if word in _POLES:
        axis, pole = _POLES[word]
        yield (axis,), pole
    if len(root := word.removeprefix("non")) >= 4:
        yield ("non", root), int(root != word)
    for pair in _PREFIXES:
        for pole, prefix in enumerate(pair):
            if word.startswith(prefix) and len(word) >= len(prefix) + 4:
                yield (*pair, word.removeprefix(prefix)), pole
    for pair in _SUFFIXES:
        for pole, suffix in enumerate(pair):
            if word.endswith(suffix) and len(word) >= len(suffix) + 3:
                yield (*pair, word.removesuffix(suffix)), pole
