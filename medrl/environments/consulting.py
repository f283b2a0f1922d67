"""What a recipe may say about consultations, and the judge that may evaluate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from medrl.cases.case import Case
from medrl.environments.consultation import (
    BEST,
    FEWEST_TURNS,
    PROMPTS,
    ConsultationWorld,
    Evaluator,
)
from medrl.environments.spec import EnvironmentSpec
from medrl.errors import JudgeError
from medrl.grading import Grader
from medrl.judges import Failure, Judge, Judgement, JudgeSpec, PartName, Question, Rubric
from medrl.judges.build import build_judge
from medrl.judges.together import Together
from medrl.patients import PatientSpec, build_patients
from medrl.patients.patient import record_of

Texts = dict[PartName, str]

_NOT_UNDERSTOOD = frozenset(
    {
        *(Failure.UNREADABLE, Failure.UNPROVEN, Failure.CUT, Failure.TOO_LONG),
        *(Failure.UNSURE, Failure.NOT_FINITE, Failure.NOT_APPLICABLE, Failure.REJECTED),
    }
)
"""Failures that are about one question; after all others the judge is gone."""


def _match(name: str, what: str) -> Rubric:
    return Rubric(
        name=name,
        task=(
            f"Compare the doctor's {what} with the reference. 5: it means the same; 4: it differs "
            "in a detail; 3: it is right for the most part; 2: it is partly right; 1: it is barely "
            "related; 0: it has nothing to do with the reference, contradicts it, or is empty."
        ),
        parts=("reference", "answer"),
        labels={str(n): float(n) for n in range(6)},
        high=BEST,
    )


DIAGNOSIS_MATCH = _match("diagnosis_match", "diagnosis")
RECOMMENDATION_MATCH = _match("recommendation_match", "recommendation")
NEW_QUESTION = Rubric(
    name="new_question",
    task=(
        "The question shown first lists what a doctor has asked a patient, a line each. Decide "
        "whether the reply, the doctor's next question, asks for something new. Another wording "
        "of a question that was asked is not new; asking for more detail is. "
        "yes: it is new; no: it was asked before."
    ),
    parts=("question", "reply"),
    labels={"yes": 1.0, "no": 0.0},
)


class Judged:
    """A judge in place of the rules; scores and repeats of a moment are judged together.

    Where the judge was not understood, a question counts as new and a score is ``None``.
    """

    def __init__(self, judge: Judge) -> None:
        self._together = Together(judge.ask)

    async def repeats(self, question: str, earlier: Sequence[str]) -> bool:
        """See :class:`medrl.environments.consultation.Evaluator`. The first question is not
        judged."""
        if not earlier:
            return False
        texts: Texts = {"question": "\n".join(earlier), "reply": question}
        value = await self._ask(NEW_QUESTION, texts)
        return value is not None and value < 0.5

    async def scores(
        self, case: Case, diagnosis: str, recommendation: str
    ) -> tuple[float | None, float | None]:
        """See :class:`medrl.environments.consultation.Evaluator`."""
        first: Texts = {"reference": case.reference.gold_text, "answer": diagnosis}
        second: Texts = {"reference": record_of(case).recommendation, "answer": recommendation}
        return (
            await self._ask(DIAGNOSIS_MATCH, first),
            await self._ask(RECOMMENDATION_MATCH, second),
        )

    async def _ask(self, rubric: Rubric, texts: Texts) -> float | None:
        judgement: Judgement = await self._together.ask(Question(rubric, texts))
        if judgement.failure is not None and judgement.failure not in _NOT_UNDERSTOOD:
            raise JudgeError(
                f"the judge of consultations cannot be asked: {judgement.reason}",
                "see that it is served, then resume the run",
            )
        return judgement.value


class ConsultationSpec(EnvironmentSpec):
    """Consultations with patients of the cases' records."""

    kind: Literal["consultation"]
    max_turns: Annotated[int, Field(ge=1)] = 10
    """Turns of an episode, the diagnosis included; with ``dynamic`` the most there are."""
    dynamic: bool = True
    """Draw the turns of each group from 2 to ``max_turns``."""
    patient: PatientSpec = PatientSpec()
    """Who is asked."""
    judge: JudgeSpec | None = None
    """Scores diagnosis and recommendation and finds repeated questions; none: rules of words."""
    prompt: str = "short"
    """What the policy reads first: ``short``, ``full``, or a text with ``{report}``."""

    @model_validator(mode="after")
    def _can_be_held(self) -> ConsultationSpec:
        if self.dynamic and self.max_turns < FEWEST_TURNS:
            raise ValueError(
                f"dynamic draws from {FEWEST_TURNS} turns upward, and max_turns is "
                f"{self.max_turns}; raise it, or set dynamic: false"
            )
        if self.prompt not in PROMPTS and "{report}" not in self.prompt:
            raise ValueError(
                f"prompt {self.prompt!r} is not known and has no {{report}} in it; use "
                f"{' or '.join(PROMPTS)}, or a text with {{report}}"
            )
        if self.judge is not None and self.judge.kind == "rule":
            raise ValueError(
                "judge is of kind rule, which cannot score consultations; leave judge out for "
                "rules of words, or set kind: model or endpoint"
            )
        return self

    def build(self, grader: Grader, model_folder: Callable[[str], str] = str) -> ConsultationWorld:
        """Consultations, ready to be opened. Models are loaded, endpoints not called yet.

        Args:
            grader: the run's; reads the diagnosis.

        Raises:
            JudgeError, ModelError: see :func:`medrl.judges.build_judge`.
        """
        evaluator: Evaluator | None = None
        if self.judge is not None:
            evaluator = Judged(build_judge(self.judge, grader, model_folder))
        return ConsultationWorld(
            build_patients(self.patient, model_folder),
            grader,
            self.max_turns,
            self.dynamic,
            evaluator,
            self.prompt,
        )
