"""Scores of evaluated answers by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.errors import RewardError
from medrl.evaluation.evaluate import Row
from medrl.evaluation.paid import pay_rows
from medrl.learning.preparation import load_examiner
from medrl.rewards.reward import RewardSpec
from tests.learning.conftest import tiny_recipe

ROW = Row("q", "left lung", "", "wrong", "", True, False, 9, 6, "")
TERMS = [
    {"term": "correct", "kinds": ["label"]},
    {"term": "overlap", "kinds": ["phrase"]},
]
SPEC = RewardSpec.model_validate({"malformed": None, "terms": TERMS})


def test_every_answer_gets_the_score_of_its_case(tiny: Callable[[str], Path]) -> None:
    examiner = load_examiner(tiny_recipe(tiny("qwen2")))
    cases = [
        Case("q", "Where?", Reference("phrase", "left lung"), Provenance("toy")),
        Case("p", "Is it?", Reference("label", "yes", ("yes", "no")), Provenance("toy")),
    ]
    rows = [
        replace(ROW, text="<think>so</think><answer>the lung</answer>"),
        replace(ROW, case_id="p", text="<answer>yes</answer>"),
    ]
    one, two = pay_rows(examiner, SPEC, cases, rows)
    bleu, rouge = 2.718281828 ** (1 - 2 / 1), 2 / 3
    assert one.score == pytest.approx((bleu + rouge) / 2) and two.score == 1.0
    assert (one.text, two.case_id) == (rows[0].text, "p")
    unspeakable = [replace(cases[0], reference=Reference("phrase", "?"))]
    with pytest.raises(RewardError, match="no score for the answer to q: overlap"):
        pay_rows(examiner, SPEC, unspeakable, rows[:1])
