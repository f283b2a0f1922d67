"""Judges that are plain functions: deterministic, at no cost, and as narrow as their rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from medrl.errors import DataError
from medrl.grading import Grader, normalise
from medrl.judges.conclusion import conclusion
from medrl.judges.judge import Counting, Counts, Failure, Judgement, Question
from medrl.judges.rubrics import Rubric

Rule = Callable[[Question], Judgement]


class RuleJudge(Counting):
    """Asks a function.

    Args:
        rule: gives each question its judgement; a value outside of the rubric's range is a bug in
            it and raises ``ValueError``.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """See :class:`medrl.judges.judge.Judge`."""
        started = time.monotonic()
        judgements = [self.rule(question) for question in questions]
        for question, judgement in zip(questions, judgements, strict=True):
            value, rubric = judgement.value, question.rubric
            if value is not None and not rubric.low <= value <= rubric.high:
                raise ValueError(
                    f"a rule gave {value}, outside of the range {rubric.low:g} to {rubric.high:g} "
                    f"of rubric {rubric.name}"
                )
        return self._count(judgements, Counts(seconds=time.monotonic() - started))


def said(rubric: Rubric, yes: bool, reason: str) -> Judgement:
    """The best value of a rubric or its worst, with the label that stands for it."""
    value = rubric.high if yes else rubric.low
    label = next((label for label, v in rubric.labels.items() if v == value), "")
    return Judgement(value, reason, label=label)


def grader_rule(grader: Grader) -> Rule:
    """Is the answer right? As the one grader says, of the whole reply."""

    def judge(question: Question) -> Judgement:
        assert question.reference is not None
        try:
            verdict = grader.grade(question.texts.get("reply", ""), question.reference)
        except DataError as error:
            return Judgement.failed(Failure.NOT_APPLICABLE, error.message)
        return said(question.rubric, verdict.correct, verdict.reason)

    return judge


def implied(question: Question) -> Judgement:
    """Does the reasoning come to the answer? See :func:`medrl.judges.conclusion.conclusion`: CAPO's
    cheap substitute for a model."""
    reference, texts = question.reference, question.texts
    assert reference is not None
    if reference.kind == "report":
        return Judgement.failed(Failure.NOT_APPLICABLE, "a rule cannot read a report")
    found = conclusion(
        texts.get("reasoning", ""), texts.get("answer", ""), reference, texts.get("question", "")
    )
    return said(question.rubric, found.agrees is True, found.reason)


_FILLER = {
    "a", "that", "this", "these", "those", "there", "are", "was", "were", "been", "has", "have",
    "had", "with", "from", "for", "which", "who", "his", "her", "their", "its", "they", "she",
    "patient", "case", "therefore", "thus", "also", "because", "since", "so", "as", "in", "on",
    "of", "to", "is", "it", "he", "at", "by", "be", "or", "an", "and",
}  # fmt: skip


def overlap_rule(threshold: float) -> Rule:
    """Is a step supported? When ``threshold`` of its content words stand in the findings.

    Words only: the rule sees that "no" is not in the findings, but not whose "no" it is.
    """

    def judge(question: Question) -> Judgement:
        texts = question.texts
        wanted = [w for w in dict.fromkeys(_words(texts.get("step", ""))) if w not in _FILLER]
        there = set(_words(texts.get("findings", "")))
        found = sum(word in there for word in wanted)
        yes = bool(wanted) and found >= threshold * len(wanted)
        reason = f"{found} of {len(wanted)} content words stand in the findings"
        return said(question.rubric, yes, reason)

    return judge


def keywords_rule(keywords: Sequence[str]) -> Rule:
    """Share of the keywords that the reasoning names, laid over the rubric's range.

    Compared in the grader's normal form, whole words only.
    """
    wanted = [f" {normalise(keyword)} " for keyword in keywords]

    def judge(question: Question) -> Judgement:
        text = f" {normalise(question.texts.get('reasoning', ''))} "
        found = sum(keyword in text for keyword in wanted)
        rubric = question.rubric
        value = rubric.low + (rubric.high - rubric.low) * found / len(wanted)
        return Judgement(value, f"{found} of {len(wanted)} keywords are named")

    return judge


def _words(text: str) -> list[str]:
    return normalise(text).split()
