"""Open questions and answers that do not fit each other: kept, dropped or rewritten, and written
down.

MedCCO lets a language model check its open items before it trains on them: answers not of the type
asked for, questions that cannot be answered, several answers. Here an auditor is a rule or a judge;
what they look for in detail is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TextIO

from pydantic import model_validator

from medrl.cases.case import Case, Reference
from medrl.grading import Grader
from medrl.grading.normalise import normalise
from medrl.judges import Judge, JudgeSpec, Question, Rubric, build_judge
from medrl.part import Part, Positive

Decision = Literal["keep", "drop", "rewrite"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What an auditor says of a case.

    Attributes:
        case: as it goes on; ``None`` if it is dropped.
        reason: one line; empty where there is nothing to say.
    """

    decision: Decision
    case: Case | None
    reason: str = ""


class Auditor(Protocol):
    """Looks at open cases."""

    def audit(self, cases: Sequence[Case]) -> list[Finding]:
        """One finding per case, in order."""
        ...


def audit(cases: Sequence[Case], auditors: Sequence[Auditor], log: TextIO) -> list[Case]:
    """The cases that the auditors let pass, in order, as they have rewritten them.

    Only open cases (``phrase``) are shown to auditors; each passes one after the other until it is
    dropped, or rewritten into a closed one.

    Args:
        log: gets a line of JSON per auditor and case: ``id``, ``source``, ``auditor``,
            ``decision``, ``reason``, ``before`` and ``after`` (question, kind, answer; null if
            dropped).

    Raises:
        ValueError: an auditor gave another number of findings than there were cases.
    """
    passed: dict[int, Case] = dict(enumerate(cases))
    for auditor in auditors:
        asked = [i for i, case in passed.items() if case.reference.kind == "phrase"]
        findings = auditor.audit([passed[i] for i in asked]) if asked else []
        if len(findings) != len(asked):
            raise ValueError(f"{len(findings)} findings for {len(asked)} cases")
        for i, finding in zip(asked, findings, strict=True):
            record = _record(type(auditor).__name__, passed[i], finding)
            log.write(json.dumps(record, ensure_ascii=False) + "\n")
            if finding.case is None:
                del passed[i]
            else:
                passed[i] = finding.case
    return list(passed.values())


def _record(auditor: str, before: Case, finding: Finding) -> dict[str, Any]:
    return {
        "id": before.id,
        "source": str(before.source),
        "auditor": auditor,
        "decision": finding.decision,
        "reason": finding.reason,
        "before": _shown(before),
        "after": _shown(finding.case) if finding.case else None,
    }


def _shown(case: Case) -> dict[str, str]:
    reference = case.reference
    return {"question": case.question, "kind": reference.kind, "answer": reference.value}


_POLAR = re.compile(
    r"(?:is|are|was|were|does|do|did|can|could|has|have|had|will|would|should)\b", re.IGNORECASE
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_YES_NO = re.compile(r"(yes|no)\b(?:\s*[,.;:]|\s*$)", re.IGNORECASE)
_SEVERAL = re.compile(r"\s*[;\n|]\s*|\s+(?:or|and/or)\s+|\s/\s")


@dataclass(frozen=True, slots=True)
class RuleAuditor:
    """Looks at the words of question and answer.

    - No words, or more than ``longest``: dropped.
    - Alternatives ("A; B", "A or B"): rewritten into the one if all say the same, else dropped.
    - A yes/no question: its answer becomes the label it begins with; any other answer is not of the
      type asked for, and dropped. A question that offers a choice with "or" is none.
    - Yes or no to any other question: dropped.
    - The answer stands in the question, which offers no choice: dropped, unless it is asked for a
      degree ("How large is it?", "large").

    Attributes:
        longest: most words of an answer.
    """

    longest: int = 12

    def audit(self, cases: Sequence[Case]) -> list[Finding]:
        """See :class:`Auditor`."""
        return [self._of(case) for case in cases]

    def _of(self, case: Case) -> Finding:
        value, question = case.reference.value, _asked(case.question)
        words = len(normalise(value).split())
        if not words:
            return Finding("drop", None, "the answer is empty")
        if words > self.longest:
            return Finding("drop", None, f"the answer has {words} words")
        parts = list(dict.fromkeys(map(normalise, _SEVERAL.split(value))))
        if len(parts) > 1:
            return Finding("drop", None, f"there are {len(parts)} answers")
        chosen = _OR.search(question)
        yes_no = _YES_NO.match(value.strip())
        if _POLAR.match(question) and not chosen:
            if yes_no is None:
                return Finding("drop", None, "a yes/no question has another answer")
            label = Reference("label", yes_no[1].lower(), ("yes", "no"))
            return Finding("rewrite", replace(case, reference=label), "a yes/no question")
        if yes_no:
            return Finding("drop", None, "the answer is yes or no, the question asks for more")
        said, heard = f" {normalise(value)} ", f" {normalise(case.question)} "
        if not chosen and said in heard.replace(f" how{said}", " "):
            return Finding("drop", None, "the answer stands in the question")
        return self._united(case, parts[0])

    def _united(self, case: Case, said: str) -> Finding:
        """The answer once, if it was given as alternatives that are the same."""
        spellings = _SEVERAL.split(case.reference.value.strip())
        if len(spellings) == 1:
            return Finding("keep", case)
        once = next(spelling for spelling in spellings if normalise(spelling) == said)
        reference = replace(case.reference, value=once)
        return Finding("rewrite", replace(case, reference=reference), "one answer, given twice")


def _asked(question: str) -> str:
    """The last sentence, which asks."""
    return re.split(r"(?<=[.!?:])\s+", question.strip())[-1]


AUDIT = Rubric(
    name="audit",
    task=(
        "A question about a medical picture and its answer are to be used for training. Decide "
        "whether they fit. They do not if the answer is not of the type the question asks for, if "
        "nobody could answer the question from a picture, if other answers would be as right, or "
        "if the answer is several answers. keep: they fit; drop: they do not."
    ),
    parts=("question", "answer"),
    labels={"keep": 1.0, "drop": 0.0},
)


@dataclass(frozen=True, slots=True)
class JudgeAuditor:
    """Asks a judge, which keeps or drops. A case that could not be judged is kept, and the log says
    why it was not."""

    judge: Judge

    def audit(self, cases: Sequence[Case]) -> list[Finding]:
        """See :class:`Auditor`."""
        return list(self._findings(cases))

    def _findings(self, cases: Sequence[Case]) -> Iterator[Finding]:
        questions = [
            Question(
                AUDIT, {"question": case.question, "answer": case.reference.value}, case.reference
            )
            for case in cases
        ]
        for case, judged in zip(cases, self.judge.ask(questions), strict=True):
            if judged.value is None:
                yield Finding("keep", case, f"not judged: {judged.failure}: {judged.reason}")
            elif judged.value < 0.5:
                yield Finding("drop", None, judged.reason)
            else:
                yield Finding("keep", case, judged.reason)


class AuditSpec(Part):
    """Who looks at the open questions of a stage before it begins: the rules of
    :class:`RuleAuditor`, and behind them perhaps a judge (MedCCO: a language model)."""

    longest: Positive = 12
    """Most words of an answer."""
    judge: JudgeSpec | None = None
    """Of kind ``model`` or ``endpoint``; it keeps or drops. None: the rules alone."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> AuditSpec:
        if self.judge is not None:
            self.judge.check_rubric(AUDIT)
        return self

    def auditors(self, grader: Grader) -> list[Auditor]:
        """Ready to be asked.

        Raises:
            JudgeError, ModelError: see :func:`medrl.judges.build_judge`.
        """
        judges = [] if self.judge is None else [JudgeAuditor(build_judge(self.judge, grader))]
        return [RuleAuditor(self.longest), *judges]
