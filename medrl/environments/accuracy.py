"""Whether a generator's answer is right: Acc in {0, 1} of s3."""

from __future__ import annotations

from collections.abc import Sequence

from medrl.cases.case import Case, Reference
from medrl.errors import JudgeError
from medrl.generators.generator import option_answer
from medrl.grading.normalise import normalise
from medrl.judges.judge import Failure, Judge, Question
from medrl.judges.rubrics import PartName, Rubric

CONTAINS = Rubric(
    name="contains_gold",
    task=(
        "Decide whether the reply contains the reference answer to the question, in the same words "
        "or in others that mean the same. yes: it contains it; no: it does not."
    ),
    parts=("question", "reference", "reply"),
    labels={"yes": 1.0, "no": 0.0},
)
_ABOUT_THE_REPLY = frozenset({Failure.UNREADABLE, Failure.UNPROVEN, Failure.CUT, Failure.UNSURE,
                              Failure.TOO_LONG, Failure.REJECTED, Failure.NOT_FINITE})  # fmt: skip


def gold_of(reference: Reference) -> str:
    """The gold answer as a generator would write it; an option's has its letter (MIRAGE)."""
    if reference.kind == "option":
        return option_answer(reference.letters.index(reference.value), reference.gold_text)
    return reference.gold_text


def holds_gold(answer: str, reference: Reference) -> bool:
    """Whether the gold answer occurs in ``answer`` as a run of whole tokens, both in the normal
    form of :func:`medrl.grading.normalise.normalise` (lower case, no punctuation, no articles)."""
    gold = normalise(gold_of(reference))
    return bool(gold) and f" {gold} " in f" {normalise(answer)} "


class Accuracy:
    """Acc of answers; a judge is asked where the gold answer does not occur.

    Args:
        judge: none: what does not occur is wrong.

    Attributes:
        unjudged: answers so far for which the judge had no verdict; they count as wrong.
    """

    def __init__(self, judge: Judge | None = None) -> None:
        self._judge = judge
        self.unjudged = 0

    def of(self, answered: Sequence[tuple[Case, str]]) -> list[int]:
        """1 or 0 for each case and answer.

        Raises:
            JudgeError: the judge cannot be reached.
        """
        right = [int(holds_gold(answer, case.reference)) for case, answer in answered]
        if self._judge is None:
            return right
        doubtful = [i for i, (_, answer) in enumerate(answered) if answer and not right[i]]
        asked = [_question(*answered[i]) for i in doubtful]
        for i, judgement in zip(doubtful, self._judge.ask(asked) if asked else [], strict=True):
            if judgement.failure is None:
                right[i] = int(judgement.label == "yes")
            elif judgement.failure in _ABOUT_THE_REPLY:
                self.unjudged += 1
            else:
                raise JudgeError(
                    f"the judge of answers gives no verdict: {judgement.reason}",
                    "start it again, then resume the run",
                )
        return right


def _question(case: Case, answer: str) -> Question:
    gold = gold_of(case.reference)
    texts: dict[PartName, str] = {"question": case.question, "reference": gold, "reply": answer}
    return Question(CONTAINS, texts, case.reference)
