"""Episodes, groups, data order and what a step is measured by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.grading.verdict import Outcome
from medrl.learning.groups import Episode, Group, Origin, flatten
from medrl.learning.metrics import episode_record, group_metrics
from medrl.learning.order import cases_for_step
from medrl.learning.policy import Policy
from medrl.run import RunFolder
from medrl.sampling.sampler import StopReason
from tests.tiny import case, episode, verdict

POLICY, ENVIRONMENT = Origin.POLICY, Origin.ENVIRONMENT


def test_an_episode_counts_only_what_the_policy_wrote() -> None:
    said = episode([1, 2], [(POLICY, [3, 4]), (ENVIRONMENT, [5, 6, 7]), (POLICY, [8])], 1.0)
    assert said.policy_tokens == 3
    assert said.token_ids == (1, 2, 3, 4, 5, 6, 7, 8)


def test_an_episode_has_one_origin_and_one_log_prob_per_token() -> None:
    good = episode([1], [(POLICY, [2])], 0.0)
    with pytest.raises(ValueError, match="1 origins and 2 log-probs"):
        replace(good, origins=(POLICY,))


def test_a_group_shares_its_prefix() -> None:
    one, two = (episode([1, 2], [(POLICY, [answer])], 0.5) for answer in (3, 4))
    group = Group(case(), "ask", 2, (one, two))
    assert group.rewards == [0.5, 0.5]
    assert flatten([group, group]) == [one, two, one, two]
    with pytest.raises(ValueError, match="case-1 do not share"):
        Group(case(), "ask", 3, (one, two))


# --- order ---------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
def test_every_case_comes_once_per_epoch(count: int, per_step: int, seed: int) -> None:
    cases = [case(name=f"case-{i}") for i in range(count)]
    steps = 3 * count  # whole epochs: 3 * per_step of them
    seen = [c.id for s in range(steps) for c in cases_for_step(cases, s, per_step, seed)]
    assert len(seen) == steps * per_step
    for start in range(0, len(seen), count):
        assert Counter(seen[start : start + count]) == Counter(c.id for c in cases)


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    cases = [case(name=f"case-{i}") for i in range(20)]
    first, second = cases_for_step(cases, 0, 20, 7), cases_for_step(cases, 1, 20, 7)
    assert first != second
    assert first != cases_for_step(cases, 0, 20, 8)
    assert second == cases_for_step(cases, 1, 20, 7)
    assert first[5:10] == cases_for_step(cases, 1, 5, 7)  # the same row, cut otherwise


# --- metrics -------------------------------------------------------------------------------------


def answer(text: str, outcome: Outcome, format_ok: bool, **more: Any) -> Episode:
    base = episode([1], [(POLICY, [2, 3])], 1.0)
    return replace(base, text=text, verdict=verdict(outcome, format_ok), **more)


def test_metrics_are_means_over_episodes(policy: Policy) -> None:
    think = "<think>a b c</think><answer>B</answer>"
    group = Group(
        case(),
        "ask",
        1,
        (
            answer(think, Outcome.CORRECT, True, reward=1.0, entropy=0.5),
            answer("B", Outcome.NO_ANSWER, False, reward=-1.0, entropy=1.5, stop=StopReason.LENGTH),
            answer("<answer>A</answer>", Outcome.WRONG, False, reward=-1.0, entropy=1.0),
            answer("<answer>B</answer>", Outcome.CORRECT, False, reward=-1.0, entropy=1.0),
        ),
    )
    metrics = group_metrics(policy, [group])
    assert metrics["episodes"] == 4
    assert metrics["reward"] == -0.5
    assert metrics["accuracy"] == 0.5
    assert metrics["format_rate"] == metrics["no_answer_rate"] == metrics["cut_rate"] == 0.25
    assert metrics["entropy"] == 1.0
    assert metrics["think_tokens"] == len(policy.encode("a b c")) / 4
    assert metrics["pre_think_tokens"] == 0


def test_a_record_shows_the_first_episode(tmp_path: Path) -> None:
    shown = answer("<answer>A</answer>", Outcome.WRONG, True, terms={"rule": 0.0}, reward=0.0)
    with RunFolder.create(tmp_path / "run", "") as run:
        record = episode_record(Group(case(), "ask", 1, (shown, shown)), run)
    assert record["case_id"] == "case-1" and record["gold"] == "B" and record["prompt"] == "ask"
    assert record["outcome"] == "wrong" and record["tokens"] == 2 and record["stop"] == "end"
    assert record["terms"] == {"rule": 0.0} and len(record["options"]) == 4
