"""Reasoning scored by rules, after the aspects of RARL's reasoning reward; the scales are ours.

Four aspects, each in [0, 1]: it names the case's findings, it leads from them to the answer, it
does not contradict the answer, it is not trivial. They read words and negations, not medicine: a
synonym of a finding is missed, and a finding that is named but made up costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from medrl.cases.case import Reference
from medrl.grading import normalise
from medrl.grading.negation import claim, stated
from medrl.judges.conclusion import LONGEST, conclusion
from medrl.judges.judge import Failure, Judgement, Question
from medrl.judges.parts import steps_of
from medrl.judges.rule import Rule, said

LOOP = 0.3
"""Share of repeated n-grams from which reasoning is a loop (ours); a text said twice has 0.4."""

_INFERENCE = re.compile(
    r"\b(?:so|thus|hence|therefore|consequently|accordingly|suggest(?:s|ing|ive of)?|"
    r"indicat(?:es?|ing)|(?:consistent|compatible) with|points? to(?:wards?)?|means?|"
    r"impl(?:y|ies)|supports?|conclude|makes?|leads? to)\b|→|=>",
    re.IGNORECASE,
)


def findings_of(tag: str) -> list[str]:
    """The findings in a case's tag ``findings``, which separates them by semicolons."""
    return [finding.strip() for finding in tag.split(";") if claim(finding)]


def named_share(reasoning: str, findings: Sequence[str]) -> float:
    """Share of the findings that the reasoning states as they are, in [0, 1].

    All words of a finding must stand in one clause, denied where the finding denies them; what is
    said last of a finding counts.
    """
    steps = [step[:LONGEST] for step in steps_of(reasoning)]
    return fmean(_states(steps, finding) for finding in findings)


def _states(steps: Sequence[str], finding: str) -> bool:
    wanted = claim(finding)
    found = [says for step in steps if (says := stated(step, wanted)) is not None]
    return bool(found) and found[-1]


def chain(
    reasoning: str, findings: Sequence[str], answer: str, reference: Reference, question: str = ""
) -> float:
    """1 where the answer is concluded behind a finding; half where something is only inferred
    ("so", "suggests") behind one; 0 where no finding comes first.

    Sentences are cut at words of inference, so "consolidation, so pneumonia" is a chain and
    "pneumonia because of consolidation" is not.
    """
    pieces: list[tuple[str, bool]] = []
    for step in steps_of(reasoning):
        parts = _INFERENCE.split(step[:LONGEST])
        pieces += [(part, number > 0) for number, part in enumerate(parts)]
    claims = [claim(finding) for finding in findings]
    named = (i for i, (text, _) in enumerate(pieces) if any(stated(text, c) for c in claims))
    behind = pieces[next(named, len(pieces)) + 1 :]
    if any(conclusion(text, answer, reference, question).agrees for text, _ in behind):
        return 1.0
    return 0.5 if any(inferred for _, inferred in behind) else 0.0


def repeated_share(words: Sequence[str], n: int = 4) -> float:
    """Share of the n-grams of a text that stood in it before, in [0, 1)."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def substantial(reasoning: str, least_words: int) -> bool:
    """At least so many words, in two or more sentences or lines, and no loop."""
    words = normalise(reasoning).split()
    enough = len(words) >= least_words and len(steps_of(reasoning)) >= 2
    return enough and repeated_share(words) < LOOP


class Aspects(NamedTuple):
    """What the rule sees in a line of reasoning; each in [0, 1]."""

    findings: float
    chain: float
    agreement: float
    substance: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.2g}" for name, value in self._asdict().items())


def aspects(
    reasoning: str,
    findings: Sequence[str],
    answer: str,
    reference: Reference,
    question: str = "",
    least_words: int = 20,
) -> Aspects:
    """The four aspects. ``agreement`` is 0 where the reasoning comes to another answer than the one
    given or denies it, and 1 where it comes to it or to none.

    Raises:
        DataError: the reference is a report.
    """
    agrees = conclusion(reasoning, answer, reference, question).agrees
    return Aspects(
        named_share(reasoning, findings),
        chain(reasoning, findings, answer, reference, question),
        float(agrees is not False),
        float(substantial(reasoning, least_words)),
    )


def reasoning_rule(least_words: int) -> Rule:
    """The mean of the four aspects, laid over the rubric's range."""

    def judge(question: Question) -> Judgement:
        reference, texts, rubric = question.reference, question.texts, question.rubric
        assert reference is not None
        findings = findings_of(texts.get("findings", ""))
        if not findings or reference.kind == "report":
            return _not_applicable(reference)
        seen = aspects(
            texts.get("reasoning", ""),
            findings,
            texts.get("answer", ""),
            reference,
            texts.get("question", ""),
            least_words,
        )
        value = rubric.low + (rubric.high - rubric.low) * fmean(seen)
        return Judgement(value, str(seen))

    return judge


def findings_rule(threshold: float) -> Rule:
    """Is the reasoning sound? When it names ``threshold`` of the findings and does not contradict
    its answer."""

    def judge(question: Question) -> Judgement:
        reference, texts = question.reference, question.texts
        assert reference is not None
        findings = findings_of(texts.get("findings", ""))
        if not findings or reference.kind == "report":
            return _not_applicable(reference)
        reasoning = texts.get("reasoning", "")
        share = named_share(reasoning, findings)
        found = conclusion(reasoning, texts.get("answer", ""), reference, texts.get("question", ""))
        yes = share >= threshold and found.agrees is not False
        reason = f"it names {share:.0%} of the findings; {found.reason}"
        return said(question.rubric, yes, reason)

    return judge


def _not_applicable(reference: Reference) -> Judgement:
    report = reference.kind == "report"
    why = "a rule cannot read a report" if report else "the case has no findings to compare with"
    return Judgement.failed(Failure.NOT_APPLICABLE, why)
