"""Graded answers from nothing but their text, and a policy for terms that ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.grading import Grader
from medrl.learning.policy import Policy, load_policy
from medrl.prompt import Prompt
from medrl.rewards.term import Answer, RewardContext, Term
from medrl.schema import ModelSpec
from tests.tiny import case, tokenizer

GRADER = Grader(format="think_answer")


def phrase(value: str, name: str = "case-1") -> Case:
    """A question whose answer is a phrase."""
    return Case(name, "What is it?", Reference("phrase", value), Provenance("toy"))


def reply(
    text: str,
    to: Case | None = None,
    grader: Grader = GRADER,
    group: int = 0,
    prompt: str = "What is it?",
    answer_ids: Sequence[int] | None = None,
) -> Answer:
    """``text`` as an answer to a case (four options, B is right), as a rollout would make it."""
    to = to or case("B")
    encode = tokenizer().encode
    ids = encode(text) if answer_ids is None else answer_ids
    verdict = grader.grade(text, to.reference)
    return Answer(to, Prompt(prompt, tuple(encode(prompt))), text, tuple(ids), verdict, group)


def told(answer: str, think: str = "hm") -> str:
    """A reply in the format that is asked for."""
    return f"<think>{think}</think><answer>{answer}</answer>"


def values(term: Term, *answers: Answer) -> list[float | None]:
    """What a term says of answers, without reasons."""
    return [score.value for score in term.score(answers)]


@pytest.fixture(scope="session")
def policy(tiny: Callable[[str], Path]) -> Policy:
    """A policy to look at, not to train."""
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


@pytest.fixture(scope="session")
def context(policy: Policy) -> RewardContext:
    """What terms are built from."""
    return RewardContext(policy, GRADER)
