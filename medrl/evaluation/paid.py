"""What a reward gives for answers that were evaluated: a score beside right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from medrl.cases.case import Case
from medrl.errors import RewardError
from medrl.evaluation.evaluate import Examiner, Row
from medrl.learning.rollout import encode_prompt
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import Answer, RewardContext


@dataclass(frozen=True, slots=True)
class PaidRow(Row):
    """An evaluated answer with its score, in the range of the reward."""

    score: float = 0.0


def pay_rows(
    examiner: Examiner, spec: RewardSpec, cases: Sequence[Case], rows: Sequence[Row]
) -> list[PaidRow]:
    """The same answers with what the reward gives for them.

    Args:
        cases: what was asked, one case per row.

    Raises:
        RewardError: it could not be told for one of them.
    """
    reward = Reward(spec, RewardContext(examiner.policy, examiner.grader))
    answers = []
    for number, (case, row) in enumerate(zip(cases, rows, strict=True)):
        prompt = encode_prompt(examiner.policy, case, examiner.template, 0)
        ids = tuple(examiner.policy.encode(row.text))
        verdict = examiner.grader.grade(row.text, case.reference)
        answers.append(Answer(case, prompt, row.text, ids, verdict, number))
    paid = []
    for row, pay in zip(rows, reward.pay(answers), strict=True):
        if pay.value is None:
            raise RewardError(f"no score for the answer to {row.case_id}: {pay.failure}")
        paid.append(PaidRow(**asdict(row), score=pay.value))
    return paid
