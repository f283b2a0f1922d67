"""Scripted policies and patients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from medrl.cases.case import Case
from medrl.environments.consultation import Consultation, Evaluator
from medrl.environments.environment import Reply
from medrl.grading import Grader
from medrl.patients import Exchange
from tests.patients.cases import CASE

GRADER = Grader()


class Scripted:
    """A patient who says what is scripted, and keeps what was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, tuple[Exchange, ...]]] = []

    async def answer(self, question: str, history: Sequence[Exchange]) -> str | None:
        self.asked.append((question, tuple(history)))
        return self.answers.pop(0)


def ask(question: str) -> str:
    return f"<think>hm</think><answer>Question: {question}</answer>"


def diagnose(diagnosis: str, recommendation: str = "") -> str:
    more = f" Recommendation: {recommendation}" if recommendation else ""
    return f"<think>well</think><answer>Diagnosis: {diagnosis}{more}</answer>"


def consult(
    *answers: str | None,
    budget: int = 10,
    most_turns: int = 10,
    evaluator: Evaluator | None = None,
    case: Case = CASE,
) -> tuple[Consultation, Scripted]:
    patient = Scripted(*answers)
    return Consultation(case, patient, GRADER, budget, most_turns, evaluator), patient


def play(environment: Consultation, *texts: str) -> list[Reply]:
    """All turns, in one event loop."""

    async def run() -> list[Reply]:
        return [await environment.step(text) for text in texts]

    return asyncio.run(run())
