"""Perception consistency on values by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.advantages import group_advantages
from medrl.rewards.perception import Form, PerceptionSpec, group_margin, per_response
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import Answer, RewardContext
from tests.rewards.conftest import reply, told, values
from tests.tiny import verdict

RIGHT, WRONG = verdict(Outcome.CORRECT), verdict(Outcome.WRONG)


def group(given: str, perturbed: str, number: int = 0) -> list[Answer]:
    """Answers of a group: r is right, w wrong, m right without the format."""
    said = {"r": told("B"), "w": told("A"), "m": "<answer>B</answer>"}
    verdicts: dict[str, Verdict] = {
        "r": RIGHT,
        "w": WRONG,
        "m": verdict(Outcome.CORRECT, format_ok=False),
    }
    twins = tuple(verdicts[letter] for letter in perturbed)
    return [replace(reply(said[x], group=number), perturbed=twins) for x in given]


def test_an_answer_must_be_right_and_its_twin_wrong() -> None:
    pairs = [(True, False), (True, True), (False, False), (False, True)]
    assert [per_response(*pair) for pair in pairs] == [1.0, 0.0, 0.0, 0.0]


def test_margins_by_hand() -> None:
    # 3 of 4 right, 1 of 4 when perturbed: half for each right answer
    assert group_margin([1, 1, 0, 1], [0, 1, 0, 0]) == [0.5, 0.5, 0.0, 0.5]
    assert group_margin([1, 0], [1, 1]) == [0.0, 0.0]  # perturbation helped
    assert group_margin([1, 1], [1, 1]) == [0.0, 0.0]  # the picture was not needed
    assert group_margin([1], [0]) == [1.0]
    assert group_margin([1, 0], [0, 0, 0, 1]) == [0.25, 0.0]
    for empty in (([], [True]), ([True], [])):
        with pytest.raises(ValueError, match="needs answers"):
            group_margin(*empty)


shots = st.lists(st.booleans(), min_size=1, max_size=12)


@given(shots, shots)
def test_margins_are_shares_for_right_answers_alone(right: list[bool], other: list[bool]) -> None:
    margins = group_margin(right, other)
    assert len(margins) == len(right)
    assert all(0 <= m <= 1 for m in margins)
    assert all(m == 0 for m, r in zip(margins, right, strict=True) if not r)
    assert len({m for m, r in zip(margins, right, strict=True) if r}) <= 1
    gained = sum(right) / len(right) > sum(other) / len(other)
    assert any(margins) == gained
    # Being right once more under perturbation never pays more.
    worse = group_margin(right, [*other, True])
    assert all(w <= m + 1e-12 for w, m in zip(worse, margins, strict=True))


@given(shots)
def test_both_forms_agree_on_whom_to_pay_where_perturbation_takes_all(right: list[bool]) -> None:
    pairs = [per_response(r, False) for r in right]
    accuracy = sum(right) / len(right)
    margins = group_margin(right, [False] * len(right))
    assert margins == [accuracy * paid for paid in pairs]


@pytest.mark.parametrize(
    ("form", "paid"),
    [("margin", [0.5, 0.5, 0.0, 0.5, 0.0, 0.0]), ("pairs", [1.0, 0.0, 0.0, 1.0, 0.0, 0.0])],
)
def test_the_term_goes_group_by_group(
    form: Form, paid: list[float], context: RewardContext
) -> None:
    term = PerceptionSpec(term="perception", form=form).build(context)
    answers = [*group("rrwr", "wrww"), *group("rw", "rr", number=1)]
    assert (term.low, term.high) == (0.0, 1.0)
    assert values(term, *answers) == paid


def test_an_answer_without_the_format_is_wrong_on_both_sides(context: RewardContext) -> None:
    term = PerceptionSpec(term="perception").build(context)
    # 1 of 2 and 0 of 2: the malformed right answers count on neither side
    assert values(term, *group("rm", "mw")) == [0.5, 0.0]


def test_the_gate_of_the_reward_does_not_raise_the_margin(context: RewardContext) -> None:
    """What the gate stops is not shown to the term, and is a wrong answer all the same."""
    spec = {"malformed": -1.0, "terms": [{"term": "perception"}]}
    reward = Reward(RewardSpec.model_validate(spec), context)
    # 2 of 4 right and well-formed, 1 of 4 when perturbed
    paid = reward.pay(group("rmrw", "wwrw"))
    assert [p.value for p in paid] == [0.25, -1.0, 0.25, 0.0]


@given(st.lists(st.booleans(), min_size=2, max_size=8), st.integers(0, 8), st.floats(0.1, 4))
def test_dividing_by_the_deviation_undoes_the_margin(
    right: list[bool], perturbed_right: int, weight: float
) -> None:
    """All right answers of a group earn the same margin. So where all keep the format, GRPO's
    advantages are those without it; centred ones are larger by 1 + weight x margin."""
    twins = [i < perturbed_right for i in range(8)]
    plain = torch.tensor(right, dtype=torch.float64)
    margins = torch.tensor(group_margin(right, twins), dtype=torch.float64)
    group = torch.zeros(len(right))
    with_margin = plain + weight * margins
    scaled = [group_advantages(r, group, "std") for r in (plain, with_margin)]
    torch.testing.assert_close(*scaled, atol=1e-5, rtol=1e-5)  # std + 1e-6
    centred = [group_advantages(r, group, "none") for r in (plain, with_margin)]
    torch.testing.assert_close(centred[1], centred[0] * (1 + weight * float(margins.max())))


def test_without_perturbed_answers_nothing_can_be_told(context: RewardContext) -> None:
    term = PerceptionSpec(term="perception").build(context)
    assert reply(told("B")).perturbed == ()
    for perturbed in ("", "w"):
        scores = term.score(group("rr", perturbed))
        assert all(s.value is None and "perturbed pictures" in s.reason for s in scores)
