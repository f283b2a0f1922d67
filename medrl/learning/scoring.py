"""Models that give an answer one number: preference reward models and verifiers.

A score is a linear reading of the hidden state at the end of an answer, as ``transformers`` does
for sequence classification; what is saved, it loads. Answers to one prompt share its computation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap, mannwhitneyu

from medrl.cases.case import Case
from medrl.environments.prompts import render
from medrl.errors import DataError
from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.groups import Group, group_of, written_episode
from medrl.learning.layout import ModeChoice, choose_mode, lay_out, members_of
from medrl.learning.learner import DrawCases, Metrics, Tensors
from medrl.learning.logprobs import hidden_states
from medrl.learning.objectives.preferences import bradley_terry_loss, verifier_loss
from medrl.learning.optimiser import adamw, step_optimizer
from medrl.learning.policy import Policy, load_trained, trained
from medrl.stages import PreferenceStage, ScoreStage

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Of the bootstrap over cases."""


def pair_group(policy: Policy, case: Case, template: str) -> Group:
    """The preferred and the other answer of a case, in this order.

    Raises:
        DataError: the case has no pair.
    """
    if not ("chosen" in case.tags and "rejected" in case.tags):
        raise DataError(
            f"{case.source} (case {case.id}) is no pair of answers",
            "give its row the tags 'chosen' and 'rejected'",
        )
    prompt = render(case, template)
    return scored_group(
        policy, case, prompt, [case.tags["chosen"], case.tags["rejected"]], [1.0, 0.0]
    )


def candidate_group(policy: Policy, case: Case, template: str) -> Group:
    """The answers to a case and which of them are right, as the verifier reads them.

    Raises:
        DataError: the case has no such answers.
    """
    try:
        labels = json.loads(case.tags["candidates"])
        known = {text: {"right": 1.0, "wrong": 0.0}[label] for text, label in labels.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        known = {}
    if not known:
        raise DataError(
            f"{case.source} (case {case.id}) has no answers to be verified",
            'give its row the tag \'candidates\': JSON like {"B. rest": "right", "A": "wrong"}',
        )
    prompt = render(case, "verify")
    return scored_group(policy, case, prompt, list(known), list(known.values()))


def scored_group(
    policy: Policy, case: Case, prompt: str, answers: Sequence[str], labels: Sequence[float]
) -> Group:
    """Written answers to one prompt, each with a label.

    A stop token stands behind each: it is never read, but marks the place where the score is read.
    """
    read = policy.prompt(prompt)
    episodes = []
    for text, label in zip(answers, labels, strict=True):
        ids = [*policy.encode(text), policy.stop_ids[0]]
        verdict = Verdict(Outcome.CORRECT if label else Outcome.WRONG, text, "written", True, "")
        episodes.append(written_episode(read, ids, text, verdict, label))
    return group_of(case, read, episodes)


def scores_of(
    policy: Policy, groups: Sequence[Group], budget: int, asked: ModeChoice = "auto"
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Scores [B] of the answers of some groups at a time, with the numbers of these groups.

    Args:
        policy: loaded with ``scores=True``.
        budget: most tokens at a time; one group is never cut.
    """
    head = policy.model.get_submodule("score")
    for numbers in _together(groups, budget):
        members = members_of([groups[i] for i in numbers])
        layout = lay_out(members, choose_mode(members, asked), policy.pad_id, policy.device)
        with policy.arithmetic():
            hidden_BD = hidden_states(policy.model, layout)[layout.last_B]
            yield numbers, head(hidden_BD).squeeze(-1).float()


def _together(groups: Sequence[Group], budget: int) -> Iterator[list[int]]:
    """Numbers of groups whose tokens stay within the budget, longest first."""
    tokens = [sum(len(e.token_ids) for e in group.episodes) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -tokens[i])
    part: list[int] = []
    for i in order:
        # Lengths fall, so this bounds a padded micro-batch too.
        if part and (len(part) + 1) * tokens[part[0]] > budget:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


@torch.no_grad()
def score(policy: Policy, groups: Sequence[Group], budget: int) -> list[list[float]]:
    """Scores of each group's answers, in order."""
    found: list[list[float]] = [[] for _ in groups]
    for numbers, scores_B in scores_of(policy, groups, budget):
        flat = iter(scores_B.tolist())
        for i in numbers:
            found[i] = [next(flat) for _ in groups[i].episodes]
    return found


class ScoreLearner:
    """Trains a preference model or a verifier on written answers."""

    def __init__(self, stage: ScoreStage, policy: Policy, template: str) -> None:
        self.stage, self.policy, self.template = stage, policy, template
        self.pairs = isinstance(stage, PreferenceStage)
        head = list(policy.model.get_submodule("score").parameters())
        trunk = [p for p in policy.trainable() if all(p is not h for h in head)]
        self.optimizer: torch.optim.Optimizer = adamw(
            [(trunk, stage.learning_rate), (head, stage.head_learning_rate)], stage
        )

    def groups(self, cases: Sequence[Case]) -> list[Group]:
        """Written answers of cases, as the model reads them."""
        write = pair_group if self.pairs else candidate_group
        return [write(self.policy, case, self.template) for case in cases]

    def rollout(self, draw: DrawCases, step: int) -> list[Group]:
        """The answers that the cases of a step come with."""
        return self.groups(draw(0))

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """One optimiser step: the mean loss over pairs, or over answers."""
        stage, total, right = self.stage, 0.0, 0.0
        count = len(groups) if self.pairs else sum(len(group.episodes) for group in groups)
        for numbers, scores_B in scores_of(self.policy, groups, stage.token_budget, stage.layout):
            if self.pairs:
                chosen_P, rejected_P = scores_B[0::2], scores_B[1::2]
                losses = bradley_terry_loss(chosen_P, rejected_P)
                right += float((chosen_P > rejected_P).sum())
            else:
                labels = [e.reward for i in numbers for e in groups[i].episodes]
                labels_B = torch.tensor(labels, device=scores_B.device)
                losses = verifier_loss(scores_B, labels_B)
                right += float(((scores_B > 0) == (labels_B > 0.5)).sum())
            loss = losses.sum() / count
            loss.backward()
            total += loss.item()
        norm = step_optimizer(self.optimizer, total, stage.max_grad_norm)
        return {"loss": total, "grad_norm": norm, "agreement": right / count}

    def spending(self) -> Metrics:
        """Nothing: nobody is asked."""
        return {}

    def tensors(self) -> dict[str, Tensors]:
        """Trained weights, head included."""
        return {"scorer": trained(self.policy.model)}

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Restore what ``tensors`` returned."""
        load_trained(self.policy.model, tensors["scorer"])


@dataclass(frozen=True, slots=True)
class ScoreQuality:
    """How well scores tell held-out answers apart.

    Attributes:
        measure: ``pair accuracy``, or ``AUROC``: the chance that a right answer scores above a
            wrong one.
        low, high: 95 % bootstrap interval over cases.
        mean, deviation: of all held-out scores; they bring a score to the scale of a reward.
    """

    measure: str
    value: float
    low: float
    high: float
    n: int
    mean: float
    deviation: float


def quality(
    groups: Sequence[Group], scores: Sequence[Sequence[float]], pairs: bool
) -> ScoreQuality:
    """Measure scores on held-out groups.

    Raises:
        DataError: there are no wrong answers, or no right ones.
    """
    every = np.array([s for row in scores for s in row])
    spread = float(every.mean()), float(every.std())
    rng = np.random.default_rng(0)
    if pairs:
        won = np.array([float(a > b) + 0.5 * float(a == b) for a, b in scores])
        low, high = _interval((won,), np.mean, rng)
        return ScoreQuality("pair accuracy", float(won.mean()), low, high, len(won), *spread)
    labels = np.array([e.reward for g in groups for e in g.episodes])
    right, wrong = every[labels > 0.5], every[labels <= 0.5]
    if not (len(right) and len(wrong)):
        raise DataError(
            "a verifier is measured on right and wrong answers, and one kind is missing",
            "make the test set larger, or mend its labels",
        )
    low, high = _interval((right, wrong), auroc, rng)
    return ScoreQuality("AUROC", auroc(right, wrong), low, high, len(every), *spread)


def auroc(right: Floats, wrong: Floats) -> float:
    """Chance that one of ``right`` lies above one of ``wrong``, ties half (Mann and Whitney)."""
    return float(mannwhitneyu(right, wrong).statistic) / (len(right) * len(wrong))


def _interval(
    samples: tuple[Floats, ...], statistic: object, rng: np.random.Generator
) -> tuple[float, float]:
    found = bootstrap(
        samples,
        statistic,
        vectorized=False,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=rng,
    ).confidence_interval
    return float(found.low), float(found.high)
