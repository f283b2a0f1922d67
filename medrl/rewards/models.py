"""Rewards from models that were trained to give them: preference and verifier reward models."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medrl.environments.prompts import render
from medrl.errors import RecipeError
from medrl.grading.format import Format
from medrl.part import Positive
from medrl.rewards.answer_part import answer_text
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

if TYPE_CHECKING:
    from medrl.learning.groups import Group
    from medrl.learning.policy import Policy

QUALITY = "quality.json"
"""Beside a preference model: mean and deviation of its scores on held-out answers."""


class _ModelTerm:
    """Scores answers with a model; a number of any size is brought into [0, 1]."""

    low, high = 0.0, 1.0

    def __init__(self, scorer: Policy, budget: int, format: Format) -> None:
        self.scorer, self.budget, self.format = scorer, budget, format

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        from medrl.learning.scoring import score

        found: dict[int, Score] = {}
        groups: list[Group] = []
        places: list[int] = []
        for i, answer in enumerate(answers):
            text = answer_text(answer.text, self.format)
            if text:
                groups.append(self.group(answer, text))
                places.append(i)
            else:
                found[i] = Score(self.low, "there is no answer to be scored")
        for i, [raw] in zip(places, score(self.scorer, groups, self.budget), strict=True):
            found[i] = Score(self.squash(raw), f"raw score {raw:.3g}")
        return [found[i] for i in range(len(answers))]

    @abstractmethod
    def group(self, answer: Answer, text: str) -> Group:
        """What the model reads."""

    @abstractmethod
    def squash(self, raw: float) -> float:
        """A score as a number in [0, 1]."""


class Preference(_ModelTerm):
    """``sigma((r - mu) / tau)`` of a Bradley-Terry reward model on the final answer.

    Args:
        mean, deviation: mu and tau, the model's scores on held-out answers.
    """

    def __init__(
        self, scorer: Policy, budget: int, format: Format, mean: float, deviation: float
    ) -> None:
        super().__init__(scorer, budget, format)
        self.mean, self.deviation = mean, max(deviation, 1e-6)

    def group(self, answer: Answer, text: str) -> Group:
        """The prompt of the policy, and the answer behind it."""
        from medrl.learning.scoring import scored_group

        return scored_group(self.scorer, answer.case, answer.prompt.text, [text], [0.0])

    def squash(self, raw: float) -> float:
        """See the class."""
        return _sigmoid((raw - self.mean) / self.deviation)


class Verifier(_ModelTerm):
    """The verifier's probability that the final answer is the reference."""

    def group(self, answer: Answer, text: str) -> Group:
        """Question, reference and answer."""
        from medrl.learning.scoring import scored_group

        prompt = render(answer.case, "verify")
        return scored_group(self.scorer, answer.case, prompt, [text], [0.0])

    def squash(self, raw: float) -> float:
        """The sigmoid: the score is trained as log-odds."""
        return _sigmoid(raw)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class _ModelSpec(TermSpec):
    """What both kinds of model have in common."""

    model: str
    """``stage:NAME``, trained by an earlier stage of the recipe; or a folder."""
    token_budget: Positive = 8192
    """Most tokens it reads at a time."""

    def check(self) -> None:
        """See :class:`TermSpec`."""
        if not self.model.startswith("stage:") and not (Path(self.model) / "config.json").is_file():
            raise RecipeError(
                f"term {self.term}: no model in {self.model!r}",
                "name stage:NAME of an earlier stage, or the folder of a finished one",
            )

    def load(self, context: RewardContext) -> tuple[Policy, Path]:
        """The model and its folder."""
        from medrl.learning.policy import load_policy
        from medrl.schema import ModelSpec

        folder = context.model_folder(self.model)
        policy = load_policy(ModelSpec(path=folder), context.policy.device, scores=True)
        return policy, Path(folder)


class PreferenceSpec(_ModelSpec):
    """A preference reward model, for answers without a reference (WiNGPT)."""

    term: Literal["preference"]

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        policy, folder = self.load(context)
        path = folder / QUALITY
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            mean, deviation = float(known["mean"]), float(known["deviation"])
        except (OSError, ValueError, KeyError) as error:
            raise RecipeError(
                f"term preference: {path} does not say the scale of the model's scores",
                "train the model by a stage of objective bradley_terry",
            ) from error
        return Preference(policy, self.token_budget, context.grader.format, mean, deviation)


class VerifierSpec(_ModelSpec):
    """A verifier reward model, for answers with a reference (WiNGPT)."""

    term: Literal["verifier"]

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Verifier(self.load(context)[0], self.token_budget, context.grader.format)
