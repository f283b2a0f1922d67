"""Studies of pictures: what they tell beside accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medrl.clinic.phantoms.cases import phantom_cases
from medrl.errors import RecipeError
from tests.learning.conftest import tiny_recipe
from tests.test_study import run, study_file


def test_results_are_told_by_a_tag_of_the_cases(
    seeing: Callable[[str], Path], tmp_path: Path
) -> None:
    """And a picture's worth in training is told of arms that are asked without it too."""
    stage = {"objective": "grpo", "answers_per_prompt": 2, "perturb": {"kind": "grey"}}
    train = {"source": "clinic:phantoms-closed-train", "size": 8}
    path = study_file(
        tmp_path,
        seeing("qwen2_vl"),
        sets={"test-id": {"source": "clinic:phantoms-closed-test", "size": 12}},
        starts={"free": {}, "answer": {"prefill": "<answer>A</answer>"}},
        by="cognitive_level",
        training=["image_reliance"],
        claims=[],
    )
    recipe = tiny_recipe(seeing("qwen2_vl"), stage, train=train, evaluation={"max_new_tokens": 6})
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    outcome = run(path)
    cases = phantom_cases("phantoms-closed-test", 12)
    for row in outcome["tagged"]:
        at = [c for c in cases if c.tags["cognitive_level"] == row["value"]]
        assert row["n"] == len(at)
        if row["start"] == "answer":
            right = sum(c.reference.value == "A" for c in at)
            assert row["accuracy"] == pytest.approx(right / len(at))
    assert {row["value"] for row in outcome["tagged"]} == {c.tags["cognitive_level"] for c in cases}
    told = {(row["arm"], row["metric"]): row["late"] for row in outcome["training"]}
    assert told == {("ppo", "image_reliance"): [0.0, 0.0]}
    page = (tmp_path / "results" / "toy.md").read_text()
    assert "by cognitive_level" in page and "| ppo | image_reliance |" in page

    study_file(tmp_path, seeing("qwen2_vl"), by="colour_of_shoes", claims=[])
    with pytest.raises(RecipeError, match="no case of any set has a tag 'colour_of_shoes'"):
        run(path)
