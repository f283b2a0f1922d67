"""Stages whose open questions are audited: what they learn from, what is written and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medrl.cases.auditing import AuditSpec, JudgeAuditor, RuleAuditor
from medrl.cases.spec import DataSpec
from medrl.errors import DataError, JudgeError
from medrl.grading import Grader
from medrl.learning import gathering
from medrl.learning.preparation import cases_of, prepare
from medrl.learning.session import run_recipe
from medrl.schema import Recipe
from tests.learning.conftest import paid_by_tokens, tiny_recipe
from tests.learning.test_exact_resume import silent

ROWS = [
    {"question": "What is seen?", "answer": "gout", "kind": "phrase"},
    {"question": "Is there an effusion?", "answer": "Yes.", "kind": "phrase"},  # a closed question
    {"question": "Which?", "answer": "gout; pneumonia", "kind": "phrase"},
    {"question": "What is worse?", "options": {"A": "gout", "B": "flu"}, "answer_idx": "A"},
]
ENDPOINT = {"kind": "endpoint", "url": "http://127.0.0.1:9", "model": "m"}


def audited(tiny: Callable[[str], Path], folder: Path, rows: list[dict[str, Any]]) -> Recipe:
    path = folder / "open.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"source": "jsonl", "path": str(path), "split": None}
    stage = {"objective": "grpo", "name": "open", "steps": 2, "train": own, "audit": {}}
    return tiny_recipe(tiny("qwen2"), stage, episodes_kept=4)


def test_a_stage_learns_from_what_the_auditors_let_pass(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    run = tmp_path / "run"
    run_recipe(audited(tiny, tmp_path, ROWS), run, silent())
    log = [json.loads(line) for line in (run / "audit-open.jsonl").read_text().splitlines()]
    assert [row["decision"] for row in log] == ["keep", "rewrite", "drop"]  # the last is not open
    assert {row["auditor"] for row in log} == {"RuleAuditor"}
    episodes = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert {(e["gold"], tuple(e["options"])) for e in episodes} == {
        ("gout", ()), ("yes", ("yes", "no")), ("A", ("gout", "flu")),
    }  # fmt: skip


def test_nothing_left_is_an_error(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stage 0 \(open\): the audit has dropped all") as refused:
        run_recipe(audited(tiny, tmp_path, ROWS[2:3]), tmp_path / "run", silent())
    assert "audit-open.jsonl" in refused.value.fix


def test_a_judge_comes_behind_the_rules() -> None:
    spec = AuditSpec.model_validate({"longest": 3, "judge": ENDPOINT})
    rules, judge = spec.auditors(Grader())
    assert rules == RuleAuditor(3) and isinstance(judge, JudgeAuditor)
    with pytest.raises(ValidationError, match="does not answer rubric 'audit'"):
        AuditSpec.model_validate({"judge": {"kind": "rule", "rule": "grader"}})


def test_a_missing_key_is_found_before_training(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = audited(tiny, tmp_path, ROWS)
    judge = ENDPOINT | {"api_key_env": "MEDRL_TEST_NO_SUCH_KEY"}
    stage = recipe.stages[0].model_dump() | {"audit": {"judge": judge}}
    asked = Recipe.model_validate(recipe.model_dump() | {"stages": [stage]})
    with pytest.raises(JudgeError, match="MEDRL_TEST_NO_SUCH_KEY"):
        prepare(asked)


@pytest.mark.parametrize(("size", "kept"), [(None, ["gout", "Yes.", "gout; pneumonia"]), (2, 2)])
def test_a_set_may_be_asked_for_some_kinds_only(
    size: int | None, kept: list[str] | int, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in reversed(ROWS)))
    spec = DataSpec(source="jsonl", path=str(path), split=None, kinds=("phrase",), size=size)
    found = [case.reference.value for case in cases_of(spec, Grader())]
    assert found == kept[::-1] if isinstance(kept, list) else len(found) == kept
    with pytest.raises(DataError, match="jsonl has no number or report"):
        cases_of(spec.model_copy(update={"kinds": ("number", "report")}), Grader())
