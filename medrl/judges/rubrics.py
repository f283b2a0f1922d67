"""Rubrics: what a judge is asked, what it is shown, and the range of its value. Wording ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from medrl.part import Part

PartName = Literal[
    "question", "options", "reference", "findings", "reasoning", "answer", "step", "reply"
]
"""``reply`` is all that was written; ``reasoning`` and ``answer`` are parts of it, ``step`` a part
of the reasoning; the others belong to the case."""

PARTS: tuple[PartName, ...] = get_args(PartName)
JUDGED: tuple[PartName, ...] = ("reasoning", "answer", "step", "reply")


class Rubric(Part):
    """A question to a judge, as data.

    A value is a number from ``low`` to ``high``, or that of one of the ``labels``. More is better.
    """

    name: str = Field(min_length=1)
    task: str = Field(min_length=1)
    """What is to be decided, in words."""
    parts: tuple[PartName, ...] = Field(min_length=1)
    """What the judge is shown, in this order; parts that a case does not have are left out."""
    labels: dict[str, float] = Field(default_factory=dict)
    """Labels to choose from with their values; none: the judge gives a number."""
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _can_be_asked(self) -> Rubric:
        if self.labels:
            self._check_labels()
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; swap them")
        if not set(self.parts) & set(JUDGED):
            raise ValueError(
                f"parts {list(self.parts)} hold nothing that was written by the policy; "
                f"add one of {', '.join(JUDGED)}"
            )
        return self

    def _check_labels(self) -> None:
        values = self.labels.values()
        if len(set(values)) < 2 or (min(values), max(values)) != (self.low, self.high):
            raise ValueError(
                f"labels have values from {min(values):g} to {max(values):g}, but low is "
                f"{self.low:g} and high {self.high:g}; make them the same"
            )
        if any(label != label.strip() or not label for label in self.labels):
            raise ValueError("labels begin or end with a blank, or are empty; write plain words")

    @property
    def judged(self) -> tuple[PartName, ...]:
        """Those of its parts that the policy wrote."""
        return tuple(part for part in self.parts if part in JUDGED)


_YES_NO = {"yes": 1.0, "no": 0.0}
_SAME = (
    "Decide whether the answer says the same as the reference answer to the question. Another "
    "wording, a synonym, an abbreviation, or the same quantity in another unit is the same. An "
    "answer that is broader or narrower in a way that matters to the patient, that offers several "
    "alternatives, or that contradicts itself is not the same."
)
_ASPECTS = (
    "it names the findings of the question that matter; it leads from these findings to a "
    "conclusion step by step; nothing in it contradicts the answer that is given; it is "
    "specific to this case, without filler or repetition."
)

_SHIPPED = (
    Rubric(
        name="equivalence",
        task=f"{_SAME} yes: it says the same; no: it does not.",
        parts=("question", "options", "reference", "answer"),
        labels=_YES_NO,
    ),
    # The labels of "Crossing the Reward Bridge": its judge writes 1 or 0.
    Rubric(
        name="verifier",
        task=f"{_SAME} 1: it says the same; 0: it does not.",
        parts=("question", "options", "reference", "answer"),
        labels={"1": 1.0, "0": 0.0},
    ),
    # CAPO: the judge sees reasoning and options, not which answer is right.
    Rubric(
        name="consistency",
        task=(
            "Decide whether the reasoning leads to the answer that is given after it. Whether "
            "the answer is medically right does not matter and is not known to you. Reasoning "
            "that ends at another answer, leaves the choice open, or breaks off before it decides "
            "does not lead to the answer. yes: it leads to it; no: it does not."
        ),
        parts=("options", "reasoning", "answer"),
        labels=_YES_NO,
    ),
    # ChestX-Reasoner: factuality of one step against what is known of the case.
    Rubric(
        name="step_support",
        task=(
            "Decide whether the step of reasoning is supported by the findings. All that it states "
            "about this patient must stand in the findings or follow from them directly; general "
            "medical knowledge it uses must be correct. A step that states a finding that is not "
            "there, or denies one that is, is not supported. yes: supported; no: not."
        ),
        parts=("findings", "step"),
        labels=_YES_NO,
    ),
    # The four aspects are those listed for RARL's reasoning reward, a quarter each.
    Rubric(
        name="reasoning_quality",
        task=(
            "Score the reasoning. Give up to 0.25 for each of four aspects and add them up: "
            f"{_ASPECTS}"
        ),
        parts=("question", "options", "reasoning", "answer"),
    ),
    # The same on the scale RARL's judge has, with what is known of the picture.
    Rubric(
        name="reasoning",
        task=f"Score the reasoning from 0 to 10 by four aspects of equal weight: {_ASPECTS}",
        parts=("question", "options", "findings", "reasoning", "answer"),
        high=10.0,
    ),
    # The semantic alignment of "Toward Effective RL Fine-Tuning for Medical VQA".
    Rubric(
        name="soundness",
        task=(
            "Decide whether the reasoning is clinically sound and fits the answer that is given "
            "after it. Reasoning that states something medically false, that contradicts the "
            "findings where they are shown, or that does not support the answer is not sound. "
            "yes: it is sound and fits; no: it is not or does not."
        ),
        parts=("question", "options", "findings", "reasoning", "answer"),
        labels=_YES_NO,
    ),
)
RUBRICS: dict[str, Rubric] = {rubric.name: rubric for rubric in _SHIPPED}
"""The rubrics that ship with medrl, by name."""

UNDECIDED = "undecided"


def choice_rubric(letters: str) -> Rubric:
    """CAPO's hidden answer: which of the options does the reasoning come to? The judge sees options
    and reasoning alone.

    Args:
        letters: of the options. They and ``undecided`` are the labels; the value of a letter is its
            place from 1, so that the question is the same whatever answer was given.
    """
    return Rubric(
        name="decision",
        task=(
            "Say which of the options the reasoning comes to. Whether it is medically right does "
            "not matter. Do not solve the question yourself: take what the reasoning concludes. "
            f"{UNDECIDED}: it comes to none of them, to several, or breaks off before it decides."
        ),
        parts=("options", "reasoning"),
        labels={UNDECIDED: 0.0, **{letter: float(i) for i, letter in enumerate(letters, 1)}},
        high=float(len(letters)),
    )


def _by_name(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    if given not in RUBRICS:
        raise ValueError(
            f"rubric {given!r} is not known; use one of {', '.join(RUBRICS)}, "
            "or write a rubric with name, task and parts"
        )
    return RUBRICS[given]


AnyRubric = Annotated[Rubric, BeforeValidator(_by_name)]
"""In a recipe: the name of a shipped rubric, or a rubric of one's own."""
