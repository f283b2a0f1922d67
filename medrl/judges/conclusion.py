"""What a line of reasoning comes to, as words show it: the cheap stand-in for a judge.

What the reasoning declares ("the answer is B") is read by the grader. Where it declares nothing,
the option it affirms last counts: each option by its last mention, denied ones left out, and of the
others those in the last clause. A yes/no question is answered by what the reasoning last says of
the thing asked about. It knows the options' own words, negations and letters, nothing else. All of
it is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from medrl.cases.case import LETTERS, Reference
from medrl.grading import Grader, Outcome, normalise
from medrl.grading.choices import Reading, one_of, quoted
from medrl.grading.negation import claim, clauses, scopes, stated
from medrl.grading.numbers import quantities
from medrl.judges.parts import steps_of

_FREE = Grader(format="free")
_DECLARED = Grader(format="free", forms=("phrase",))

LONGEST = 2000
"""Characters that are read of one sentence: a longer one is a loop."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How reasoning and the answer behind it go together.

    Attributes:
        agrees: True if the reasoning comes to the answer; False if it comes to another one or
            denies it; ``None`` if it comes to none, or to several.
        reason: one line.
    """

    agrees: bool | None
    reason: str


def conclusion(reasoning: str, answer: str, reference: Reference, question: str = "") -> Conclusion:
    """Does the reasoning come to the answer given? Which answer is right does not matter.

    Args:
        answer: as given; an option by its letter, its text or both.
        reference: tells kind, options and unit; its value is not looked at.
        question: for yes/no questions: what "yes" would mean stands in its last sentence.

    Raises:
        DataError: a report, which only a model can judge.
    """
    if reference.kind == "phrase":
        return _of_phrase(reasoning, answer)
    read = decided(reasoning, reference, question)
    if reference.kind == "number":
        return _of_number(read, answer, reference)
    given = _FREE.grade(f"<answer>{answer}</answer>", reference).answer
    if read.found == "one":
        same = read.name == given
        behind = "is the answer given" if same else "is not the answer given"
        return Conclusion(same, f"the reasoning comes to {read.name}, which {behind}")
    if given and _standing(reasoning, reference).get(given, (0, True))[1] is False:
        return Conclusion(False, f"the reasoning denies {given}")
    return Conclusion(None, f"the reasoning comes to no single answer: {read.note}")


def decided(reasoning: str, reference: Reference, question: str = "") -> Reading:
    """The one option, label or number that reasoning comes to; ``several`` or ``nothing`` else.

    Raises:
        DataError: a report.
    """
    verdict = _FREE.grade(reasoning, reference)
    if verdict.answer:
        return Reading("one", verdict.answer)
    if verdict.outcome is Outcome.SEVERAL_ANSWERS:
        return Reading("several", note=verdict.reason)
    if reference.kind not in ("option", "label"):
        return Reading("nothing", note="it declares none")
    if (polar := _polar(reference)) and (yes := _affirms(reasoning, question)) is not None:
        return Reading("one", polar[0] if yes else polar[1])
    standing = _standing(reasoning, reference)
    affirmed = {name: clause for name, (clause, yes) in standing.items() if yes}
    last = max(affirmed.values(), default=None)
    if last is None:
        return Reading("nothing", note="it affirms no option")
    return one_of(name for name, clause in affirmed.items() if clause == last)


def _of_phrase(reasoning: str, answer: str) -> Conclusion:
    """A phrase cannot be chosen from a list: what is declared, or else the last sentence, must say
    it in its own words."""
    wanted, steps = claim(answer), steps_of(reasoning)
    declared = _DECLARED.grade(reasoning, Reference("phrase", answer))
    if declared.answer:
        same = declared.correct or stated(declared.answer[:LONGEST], wanted) is True
        behind = "is the answer given" if same else "is not the answer given"
        return Conclusion(same, f"it declares {quoted(declared.answer)}, which {behind}")
    found = stated(steps[-1][:LONGEST], wanted) if steps else None
    says = {True: "says", False: "denies", None: "does not speak of"}[found]
    return Conclusion(found, f"the last sentence of the reasoning {says} the answer")


def _of_number(read: Reading, answer: str, reference: Reference) -> Conclusion:
    if read.found != "one":
        return Conclusion(None, f"the reasoning comes to no single number: {read.note}")
    [number, *_] = quantities(read.name)
    wanted = replace(reference, value=str(number.value), unit=number.unit or reference.unit)
    same = _FREE.grade(f"<answer>{answer}</answer>", wanted).correct
    behind = "is the answer given" if same else "is not the answer given"
    return Conclusion(same, f"the reasoning comes to {read.name}, which {behind}")


_REJECTED = re.compile(
    r"\b(?:is|are|was|were|seems?|would be)\s+(?:much\s+|far\s+|clearly\s+)?(?:less\s+(?:likely|"
    r"plausible|probable)|wrong|incorrect|implausible|not\s+(?:correct|right|the\s+answer))\b"
    r"|\bdo(?:es)?(?:\s+not|n['’]t)\s+(?:fit|match|explain|apply|help|work)\b",
    re.IGNORECASE,
)
"""Ways to turn an option down that are no denial of a finding."""


def _clauses(text: str) -> Iterator[str]:
    for step in steps_of(text):
        yield from clauses(step[:LONGEST])


def _standing(reasoning: str, reference: Reference) -> dict[str, tuple[int, bool]]:
    """By option or label: number of the clause that names it last, and whether it affirms it."""
    named, names = _patterns(reference.options, reference.kind == "option")

    def marked(found: re.Match[str]) -> str:
        letter = found["letter"] or found["bracketed"]
        place = reference.letters.find(letter) if letter else _place(found[0], reference.options)
        return f" {_token(place)} " if place >= 0 else found[0]

    text = _REJECTED.sub(" is unlikely ", named.sub(marked, reasoning))
    standing: dict[str, tuple[int, bool]] = {}
    for number, clause in enumerate(_clauses(text)):
        for word, no in zip(*scopes(clause), strict=True):
            if word in names:
                standing[names[word]] = (number, not no)
    return standing


def _place(said: str, options: tuple[str, ...]) -> int:
    """Which option is spelled like this, a plural s and hyphens aside."""
    key = normalise(said)
    keys = [normalise(option) for option in options]
    return next((i for i, known in enumerate(keys) if key in (known, f"{known}s")), -1)


def _token(place: int) -> str:
    """A word that stands for an option and that no text holds."""
    return f"zqx{LETTERS[place // 26]}{LETTERS[place % 26]}".lower()


@lru_cache(maxsize=1024)
def _patterns(options: tuple[str, ...], lettered: bool) -> tuple[re.Pattern[str], dict[str, str]]:
    """Where options are named, and the options' names by the words that stand for them.

    Texts without a word of two letters, and yes and no, which are words of every text, are not
    looked for.
    """
    texts = {
        r"[\s-]+".join(map(re.escape, re.split(r"[\s-]+", option.strip())))
        for option in options
        if re.search(r"[^\W\d_]{2}", option) and normalise(option) not in ("yes", "no", "none")
    }
    spelled = "|".join(sorted(texts, key=len, reverse=True)) or r"(?!)"
    letter = r"[A-Z]" if lettered else r"(?!)"
    named = re.compile(
        rf"\b(?i:option|choice|answer)\s+\(?(?P<letter>{letter})\b\)?|\((?P<bracketed>{letter})\)"
        rf"|(?<!\w)(?i:{spelled})(?i:s)?(?!\w)"
    )
    names = LETTERS if lettered else options
    return named, {_token(i): name for i, name in enumerate(names[: len(options)])}


_SHOWN = {
    "picture", "scan", "ct", "mri", "x", "ray", "radiograph", "film", "ultrasound", "visible",
    "can", "could", "you", "see",
}  # fmt: skip
"""Words of a question that need not be said again."""


def _polar(reference: Reference) -> tuple[str, str] | None:
    """What a reference calls yes and no, if it is of a yes/no question."""
    keys = [normalise(option) for option in reference.options]
    if not {"yes", "no"} <= set(keys):
        return None
    names = reference.letters if reference.kind == "option" else reference.options
    return names[keys.index("yes")], names[keys.index("no")]


def _affirms(reasoning: str, question: str) -> bool | None:
    """Whether reasoning says yes to a question: by the word, or by what is asked about."""
    asked = steps_of(question)
    about = claim(asked[-1][:LONGEST]) if asked else {}
    wanted = {word: False for word in about if word not in _SHOWN}
    denies = any(about.values())  # "free of nodules": yes says that there are none
    found = None
    for clause in _clauses(reasoning):
        if clause in ("yes", "no"):
            found = clause == "yes"
        elif (says := stated(clause, wanted)) is not None:
            found = says is not denies
    return found
