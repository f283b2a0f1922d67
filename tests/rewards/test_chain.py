"""The reward term of a chain: in range, with its parts as reason, and never a guess."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.cases.case import Case, Reference
from medrl.chains.cases import chain_cases
from medrl.grading import Grader
from medrl.prompt import Prompt
from medrl.rewards.chain import ChainSpec
from medrl.rewards.reward import TERMS, Reward, RewardSpec
from medrl.rewards.rule import CorrectSpec
from medrl.rewards.term import Answer, RewardContext

CONTEXT = cast(RewardContext, None)  # the term needs neither policy nor grader
(CASE,) = chain_cases("train", 1, seed=5)


def answer(text: str, case: Case = CASE) -> Answer:
    verdict = Grader(forms=("tag",)).grade(text, case.reference)
    return Answer(case, Prompt("", ()), text, (), verdict, 0)


def right(case: Case = CASE) -> str:
    return f"<think>{case.tags['rationale']}</think><answer>{case.reference.value}</answer>"


def value(text: str, case: Case = CASE, **spec: Any) -> float | None:
    term = ChainSpec(term="chain", **spec).build(CONTEXT)
    (score,) = term.score([answer(text, case)])
    return score.value


def test_a_right_chain_is_paid_in_full_and_a_bare_answer_for_the_outcome() -> None:
    bare = f"<think></think><answer>{CASE.reference.value}</answer>"
    assert value(right()) == 1.0
    assert value(bare) == 0.5
    assert value(bare, outcome=0.0) == 0.0
    assert value("<think></think><answer>elves</answer>") == 0.0


def test_the_right_steps_to_the_wrong_end_are_paid_for_what_they_support() -> None:
    text = right().replace("<answer>", "<answer>not ")
    paid = value(text, outcome=0.0)
    assert paid is not None and 0.0 < paid < 1.0
    assert value(text, outcome=1.0) == 0.0


def test_the_steps_of_another_patient_are_not_paid() -> None:
    """A chain learned by heart says what is not in the record or not on the sheet."""
    other = next(
        c for c in chain_cases("train", 9) if c.tags["condition"] != CASE.tags["condition"]
    )
    paid = value(right(other), outcome=0.0)
    assert paid is not None and paid < 0.2


def test_repeating_a_good_step_does_not_pay() -> None:
    lines = CASE.tags["rationale"].split("\n")
    again = right().replace(lines[0], f"{lines[0]}\n{lines[0]}")
    most, twice = value(right(), outcome=0.0), value(again, outcome=0.0)
    assert most is not None and twice is not None and twice < most


def test_the_reason_names_the_parts() -> None:
    term = ChainSpec(term="chain").build(CONTEXT)
    first = CASE.tags["rationale"].split("\n")[0]
    (score,) = term.score([answer(right().replace(first, "who knows"))])
    assert score.reason.startswith("precision 0.") and "line 1: it does not begin" in score.reason


def test_a_case_without_a_record_gets_no_number() -> None:
    term = ChainSpec(term="chain").build(CONTEXT)
    (score,) = term.score([answer(right(), replace(CASE, tags={}))])
    assert score.value is None and "has no tag" in score.reason


def test_an_option_is_read_as_the_diagnosis_it_names() -> None:
    options = ("migraine", CASE.reference.value)
    case = replace(CASE, reference=Reference("option", "B", options))
    text = f"<think>{CASE.tags['rationale']}</think><answer>B</answer>"
    assert value(text, case) == 1.0
    assert value(text.replace(">B<", ">A<"), case, outcome=1.0) == 0.0


@given(st.text(), st.text(max_size=20), st.floats(0, 1))
def test_no_text_leaves_the_range(think: str, end: str, outcome: float) -> None:
    paid = value(f"<think>{think}</think><answer>{end}</answer>", outcome=outcome)
    assert paid is not None and 0.0 <= paid <= 1.0


def test_it_is_one_term_among_others() -> None:
    assert TERMS["chain"] is ChainSpec
    steps = ChainSpec(term="chain", outcome=0.0, weight=0.5)
    reward = Reward(RewardSpec(terms=(CorrectSpec(), steps)), CONTEXT)
    assert (reward.low, reward.high) == (-1.0, 1.5)
    good, none = reward.pay([answer(right()), answer("gout")])
    assert good.value == 1.5 and good.terms == {"correct": 1.0, "chain": 1.0}
    assert none.value == -1.0


def test_a_recipe_says_it_in_a_line() -> None:
    spec = RewardSpec.model_validate({"terms": [{"term": "chain", "outcome": 0.3}]})
    assert spec.terms == (ChainSpec(term="chain", outcome=0.3),)
    with pytest.raises(ValueError, match="outcome"):
        RewardSpec.model_validate({"terms": [{"term": "chain", "outcome": 1.3}]})
