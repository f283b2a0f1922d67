"""Groups without a gradient, lengths of answers and what pictures are worth, by hand."""

from __future__ import annotations

from dataclasses import replace

from medrl.cases.difficulty import LEVEL
from medrl.grading import Outcome
from medrl.learning.groups import Group, Twin
from medrl.learning.metrics import dead_shares, lengths, without_picture
from tests.tiny import siblings, verdict


def group(level: str, *rewards: float) -> Group:
    found = siblings(0, rewards)
    return replace(found, case=replace(found.case, tags={LEVEL: level} if level else {}))


def test_dead_groups_by_hand() -> None:
    groups = [
        group("L1", 1, 1, 1),
        group("L1", 1, 0, 1),
        group("L6", 0, 0),
        group("L3", 1, 0),
        group("L3", 0, 1),
        group("", 0, 0),  # no level
        group("L2", 1),  # no siblings, so nothing to compare with
    ]
    assert dead_shares(groups) == {
        "groups_L1": 2.0, "groups_L3": 2.0, "groups_L6": 1.0,
        "dead_share_L1": 0.5, "dead_share_L3": 0.0, "dead_share_L6": 1.0,
    }  # fmt: skip
    assert dead_shares([group("", 1, 0)]) == {}


def graded(*right: bool) -> Group:
    """Answers of 3, 5, 7 ... policy tokens, right or wrong."""
    found = siblings(0, [0.0] * len(right))
    outcomes = (Outcome.CORRECT if yes else Outcome.WRONG for yes in right)
    episodes = (
        replace(e, verdict=replace(e.verdict, outcome=outcome))
        for e, outcome in zip(found.episodes, outcomes, strict=True)
    )
    return replace(found, episodes=tuple(episodes))


def test_lengths_by_hand() -> None:
    groups = [graded(True, False, False), graded(False, True), graded(False)]
    assert lengths(groups) == {
        "tokens_right": (3 + 5) / 2,
        "tokens_wrong": (5 + 7 + 3 + 3) / 4,
        "tokens_gap": ((5 + 7) / 2 - 3 + (3 - 5)) / 2,  # of the two groups that have both
    }
    assert lengths([graded(True), graded(True)]) == {"tokens_right": 3.0}


def twinned(given: str, perturbed: str) -> Group:
    """Answers to a case and to its perturbed twin, ``+`` for a right one."""
    said = {"+": verdict(Outcome.CORRECT), "-": verdict(Outcome.WRONG)}
    found = siblings(0, [0.0] * len(given))
    pairs = zip(found.episodes, given, strict=True)
    episodes = tuple(replace(episode, verdict=said[mark]) for episode, mark in pairs)
    twin = Twin(found.case, tuple(said[mark] for mark in perturbed))
    return replace(found, episodes=episodes, twin=twin)


def test_what_pictures_are_worth_by_hand() -> None:
    groups = [
        twinned("+++-", "+---"),  # needed
        twinned("++--", "++--"),  # right as often without
        twinned("+---", "++++"),  # more often
        twinned("----", "+---"),  # never right: nothing that could be needed
    ]
    assert without_picture(groups) == {
        "perturbed_accuracy": 8 / 16,
        "image_reliance": 6 / 16 - 8 / 16,
        "picture_unneeded": 2 / 3,
    }
    assert "picture_unneeded" not in without_picture(groups[3:])
    assert without_picture([siblings(0, [1, 0])]) == {}
