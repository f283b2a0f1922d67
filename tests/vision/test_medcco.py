"""The recipe medcco from end to end on a tiny model: closed questions, then open ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from medrl.learning.session import run_recipe
from medrl.recipe import load_recipe
from tests.learning.test_exact_resume import silent


def test_closed_then_open(seeing: Callable[[str], Path], tmp_path: Path) -> None:
    small = ["steps=2", "prompts_per_step=2", "answers_per_prompt=2", "max_new_tokens=6"]
    sets = [
        f"evaluation.sets.{name}.size=2" for name in ("closed", "open", "closed-ood", "open-ood")
    ]
    recipe = load_recipe(
        "medcco",
        "rehearsal",
        [
            f"model.path={seeing('qwen2_vl')}",
            *small,
            *sets,
            "warmup_steps=0",
            "train.size=4",
            "stages.1.train.size=4",
            "evaluation.max_new_tokens=6",
        ],
    )
    run = tmp_path / "run"
    summary = run_recipe(recipe, run, silent())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["name"], row["step"]) for row in rows] == [
        ("closed", 1), ("closed", 2), ("open", 1), ("open", 2),
    ]  # fmt: skip
    assert all(("term_overlap" in row) == (row["name"] == "open") for row in rows)
    assert all(("term_similarity" in row) == (row["name"] == "open") for row in rows)
    asked = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert all(bool(e["options"]) == (e["name"] == "closed") for e in asked)
    assert len((run / "audit-open.jsonl").read_text().splitlines()) == 4
    for stage in summary["stages"]:
        assert set(stage["evaluations"]) == {"closed", "open", "closed-ood", "open-ood"}
