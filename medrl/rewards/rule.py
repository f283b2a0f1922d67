"""Med-RLVR's rule reward: the format is a gate, correctness is paid."""

from __future__ import annotations

from medrl.grading.verdict import Verdict
from medrl.schema import RewardSpec


def rule_reward(verdict: Verdict, spec: RewardSpec) -> float:
    """``malformed`` if the format does not hold, else ``correct`` or ``wrong``.

    Default range {-1, 0, 1} (Med-RLVR). An unreadable or ambiguous answer inside a well-formed
    reply counts as wrong: it is not correct, and the format did hold.
    """
    if not verdict.format_ok:
        return spec.malformed
    return spec.correct if verdict.correct else spec.wrong
