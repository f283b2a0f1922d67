"""What a step is measured by, and what of it is written down for browsing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from medrl.cases.difficulty import LEVEL
from medrl.environments.environment import Ending
from medrl.evaluation.answer_shape import mean_shape, measure
from medrl.grading.verdict import Outcome
from medrl.learning.forms import form_metrics
from medrl.learning.groups import Episode, Group, flatten
from medrl.learning.policy import Policy
from medrl.run import RunFolder
from medrl.run.pictures import keep_pictures
from medrl.sampling.sampler import StopReason


def group_metrics(policy: Policy, groups: Sequence[Group]) -> dict[str, float]:
    """Means over the episodes of a step: reward, shares in [0, 1], lengths in tokens.

    ``entropy`` is in nats per token, and left out where no sampler tells it;
    ``early_answer_rate`` is the share whose think block states the answer before it reasons.
    """
    episodes = flatten(groups)
    shapes = [
        measure(written(policy, e), g.case.reference.options, lambda t: len(policy.encode(t)))
        for g in groups
        for e in g.episodes
    ]
    entropies = [e.entropy for e in episodes if e.entropy is not None]
    return {
        "episodes": len(episodes),
        "reward": fmean(e.reward for e in episodes),
        "accuracy": fmean(e.verdict.correct for e in episodes),
        "format_rate": fmean(e.verdict.format_ok for e in episodes),
        "no_answer_rate": fmean(e.verdict.outcome is Outcome.NO_ANSWER for e in episodes),
        "cut_rate": fmean(e.stop is StopReason.LENGTH for e in episodes),
        **mean_shape(shapes),
        **lengths(groups),
        **_term_means([e for e in episodes if e.ending is None]),
        **conversation_metrics([e for e in episodes if e.ending is not None]),
        **dead_shares(groups),
        **without_picture(groups),
        **form_metrics(groups),
    } | ({"entropy": fmean(entropies)} if entropies else {})


def written(policy: Policy, episode: Episode) -> str:
    """What the policy wrote: the answer, or all its turns of a conversation without the replies."""
    return episode.text if episode.ending is None else policy.decode(episode.policy_ids)


def lengths(groups: Sequence[Group]) -> dict[str, float]:
    """Mean tokens of right answers and of those that are not right (``tokens_right``,
    ``tokens_wrong``), each left out where there are none; and ``tokens_gap``: by how much the wrong
    answers to a case are longer than the right ones, over cases that have both. Hard cases may have
    longer answers, right or wrong: only the last is free of that."""
    found: dict[str, list[float]] = {"tokens_right": [], "tokens_wrong": [], "tokens_gap": []}
    for group in groups:
        right = [e.policy_tokens for e in group.episodes if e.verdict.correct]
        wrong = [e.policy_tokens for e in group.episodes if not e.verdict.correct]
        found["tokens_right"] += right
        found["tokens_wrong"] += wrong
        if right and wrong:
            found["tokens_gap"].append(fmean(wrong) - fmean(right))
    return {name: fmean(values) for name, values in found.items() if values}


def conversation_metrics(episodes: Sequence[Episode]) -> dict[str, float]:
    """Of conversations: turns of the policy, shares of how they ended (``ended_turns``), means of
    what their environments measure. Empty where there are none."""
    if not episodes:
        return {}
    endings = {f"ended_{e}": fmean(c.ending is e for c in episodes) for e in Ending}
    return {"turns": fmean(c.turns for c in episodes)} | endings | _means(episodes)


def dead_shares(groups: Sequence[Group]) -> dict[str, float]:
    """By difficulty level of their cases: how many groups there are (``groups_L1``), and which
    share of them has equal rewards throughout and so no gradient under a group-relative objective
    (``dead_share_L1``, in [0, 1]). Empty where cases have no level or answers no siblings."""
    dead: dict[str, list[bool]] = {}
    for group in groups:
        if LEVEL in group.case.tags and len(group.episodes) > 1:
            dead.setdefault(group.case.tags[LEVEL], []).append(len(set(group.rewards)) == 1)
    counts = {f"groups_{level}": float(len(found)) for level, found in sorted(dead.items())}
    return counts | {f"dead_share_{level}": fmean(found) for level, found in sorted(dead.items())}


def without_picture(groups: Sequence[Group]) -> dict[str, float]:
    """Accuracy where the pictures were perturbed, and what accuracy loses by it: the reliance on
    the picture, in [-1, 1]. ``picture_unneeded`` is the share of the questions with a right answer
    that lose nothing: these never earn CAPO's perception reward. Empty where nothing was
    perturbed."""
    pairs = [(group.episodes, group.twin.verdicts) for group in groups if group.twin is not None]
    if not pairs:
        return {}
    rates = [
        (fmean(e.verdict.correct for e in episodes), fmean(v.correct for v in verdicts))
        for episodes, verdicts in pairs
    ]
    without = fmean(verdict.correct for _, verdicts in pairs for verdict in verdicts)
    seen = fmean(e.verdict.correct for episodes, _ in pairs for e in episodes)
    solved = [perturbed >= right for right, perturbed in rates if right]
    return {"perturbed_accuracy": without, "image_reliance": seen - without} | (
        {"picture_unneeded": fmean(solved)} if solved else {}
    )


def _term_means(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean of each reward term over the answers it applied to; what the grader itself says is
    there as accuracy and format_rate."""
    told = ("correct", "malformed", "format")
    return {f"term_{name}": mean for name, mean in _means(episodes).items() if name not in told}


def _means(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean of each term over those episodes that have it."""
    values: dict[str, list[float]] = {}
    for episode in episodes:
        for name, value in episode.terms.items():
            values.setdefault(name, []).append(value)
    return {name: fmean(found) for name, found in sorted(values.items())}


def episode_record(group: Group, run: RunFolder) -> dict[str, Any]:
    """The first episode of a group as a person wants to read it; copies of its pictures are kept
    in the run folder."""
    episode, reference = group.episodes[0], group.case.reference
    seen: dict[str, Any] = {}
    if group.case.images:
        seen["pictures"] = keep_pictures(run, group.case.images)
    if group.twin is not None:
        seen["perturbed"] = keep_pictures(run, group.twin.case.images)
        seen["perturbed_right"] = [v.correct for v in group.twin.verdicts]
    if episode.ending is not None:
        seen |= {"ending": str(episode.ending), "turns": episode.turns}
    return seen | {
        "case_id": group.case.id,
        "prompt": group.prompt,
        "text": episode.text,
        "gold": reference.value,
        "options": list(reference.options),
        "outcome": str(episode.verdict.outcome),
        "answer": episode.verdict.answer,
        "reason": episode.verdict.reason,
        "reward": episode.reward,
        "terms": dict(episode.terms),
        "stop": str(episode.stop),
        "tokens": episode.policy_tokens,
    }
