"""The composite: a gate, weights, kinds, failures that are counted, ranges that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from medrl.cases.case import Case, Provenance, Reference
from medrl.prompt import Prompt
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec
from tests.rewards.conftest import phrase, reply, told


class Scripted(TermSpec):
    """A term that gives the scores it is told and remembers what it was shown."""

    term: str = "scripted"
    scores: tuple[float | None, ...]
    ends: tuple[float, float] = (0.0, 1.0)

    def build(self, context: RewardContext) -> Term:
        return _Scripted(self)


class _Scripted:
    def __init__(self, spec: Scripted) -> None:
        self.spec, (self.low, self.high) = spec, spec.ends
        self.shown: list[str] = []

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        self.shown += [a.text for a in answers]
        return [Score(v, "" if v is not None else "no idea") for v in self.spec.scores]


def build(context: RewardContext, *terms: TermSpec, malformed: float | None = None) -> Reward:
    spec = RewardSpec.model_construct(malformed=malformed, terms=terms)
    return Reward(spec, context)


def test_weighted_terms_are_added_up(context: RewardContext) -> None:
    reward = build(
        context,
        Scripted(scores=(1.0, 0.5), weight=2.0),
        Scripted(term="other", scores=(0.25, 1.0), weight=-1.0),
    )
    paid = reward.pay([reply("a"), reply("b")])
    assert [p.value for p in paid] == [2.0 - 0.25, 1.0 - 1.0]
    assert paid[0].terms == {"scripted": 1.0, "other": 0.25}  # before weights
    assert (reward.low, reward.high) == (-1.0, 2.0)


def test_the_gate_stops_malformed_answers_before_any_term_sees_them(
    context: RewardContext,
) -> None:
    reward = build(context, Scripted(scores=(1.0,)), malformed=-3.0)
    paid = reward.pay([reply("B"), reply(told("B")), reply("")])
    assert [p.value for p in paid] == [-3.0, 1.0, -3.0]
    [(_, term)] = reward._terms
    assert isinstance(term, _Scripted) and term.shown == [told("B")]
    assert (reward.low, reward.high) == (-3.0, 1.0)
    assert [p.value for p in reward.pay([reply("B")])] == [-3.0]  # terms are not asked for nothing
    assert term.shown == [told("B")]


def test_a_term_that_cannot_tell_makes_the_whole_reward_unknown(context: RewardContext) -> None:
    sure = Scripted(term="sure", scores=(1.0, 1.0))
    reward = build(context, Scripted(scores=(None, 0.5)), sure)
    first, second = reward.pay([reply("a"), reply("b")])
    assert first.value is None and first.failure == "scripted: no idea"
    assert first.terms == {"sure": 1.0}
    assert second.value == 1.5 and second.failure == ""


def test_a_term_adds_nothing_to_other_kinds_of_case(context: RewardContext) -> None:
    spec = Scripted(scores=(0.5,), weight=4.0, kinds=("phrase",), ends=(0.5, 1.0))
    reward = build(context, spec, Scripted(term="all", scores=(1.0, 1.0)))
    option, open_ended = reward.pay([reply("a"), reply("b", phrase("gout"))])
    assert option.value == 1.0 and option.terms == {"all": 1.0}
    assert open_ended.value == 3.0
    assert (reward.low, reward.high) == (0.0, 5.0)  # a case it does not apply to: 0, not 2


@pytest.mark.parametrize("value", [1.1, -0.1, float("nan"), float("inf")])
def test_a_value_outside_of_the_declared_range_is_a_bug(
    value: float, context: RewardContext
) -> None:
    with pytest.raises(ValueError, match=r"scripted gave .*, outside of its range 0\.0 to 1\.0"):
        build(context, Scripted(scores=(value,))).pay([reply("a")])


def test_a_mean_that_rounding_carried_past_its_end_is_none(context: RewardContext) -> None:
    [paid] = build(context, Scripted(scores=(1.0000001,))).pay([reply("a")])
    assert paid.value == pytest.approx(1.0)


def test_one_score_per_answer(context: RewardContext) -> None:
    with pytest.raises(ValueError, match="scripted gave 1 scores to 2 answers"):
        build(context, Scripted(scores=(1.0,))).pay([reply("a"), reply("b")])


def test_the_same_term_twice_is_refused_unless_for_other_kinds() -> None:
    def recipe(*terms: dict[str, Any]) -> RewardSpec:
        return RewardSpec.model_validate({"terms": terms})

    with pytest.raises(ValidationError, match=r"terms has .*correct.* twice"):
        recipe({"term": "correct"}, {"term": "correct", "kinds": ["option"]})
    recipe(
        {"term": "correct", "kinds": ["option"]},
        {"term": "correct", "kinds": ["label", "number"], "right": 2.0},
    )
    one = {"term": "function", "low": 0, "high": 1}
    recipe(one | {"function": "a.py:f"}, one | {"function": "a.py:g"})  # two functions are two


def test_reports_can_have_terms_of_their_own(context: RewardContext) -> None:
    report = Case("r", "Describe it.", Reference("report", "clear"), Provenance("toy"))
    answer = reply("a")
    told_of = Answer(report, Prompt("", ()), "fine", (), answer.verdict, 1)
    reward = build(context, Scripted(scores=(0.5,), kinds=("report",)))
    assert [p.value for p in reward.pay([answer, told_of])] == [0.0, 0.5]
