"""What a recipe may say about its cases, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from medrl.cases.spec import DataSpec, DifficultySpec, sets_of
from medrl.errors import RecipeError
from medrl.recipe import load_recipe

CLINIC = "clinic:train"


@pytest.mark.parametrize(
    ("override", "message", "fix"),
    [
        ("train={source: medqa, clues: {min: 1, max: 2}}", "clues is for clinic sets", "length"),
        (
            "train={source: 'clinic:train', size: 9, length: {hi: 0.5}}",
            "length is not for",
            "clues",
        ),
        ("train.balanced=true", "balanced is not for clinic:train", "leave balanced out"),
        ("train={source: 'clinic:train', size: 9, kinds: [phrase]}", "kinds is not for", "name"),
        ("train.clues={min: 3, max: 2}", "min 3 is above max 2", "exchange"),
        ("train={source: medqa, length: {lo: 0.5, hi: 0.5}}", "lo 0.5 is not below", "band"),
        ("train.noise=1.5", "train.noise", ""),
        ("train=[]", "train", ""),
        ("train=medqa", "train", ""),
        ("train=[{source: medqa, nois: 0.1}]", "unknown key 'train.0.nois'", "'noise'"),
        ("evaluation.sets.test-id.noise=0.1", "sets.test-id has noise", "training data"),
        ("difficulty={lo: 1, levels: [2]}", "lo and hi or levels, not both", "leave"),
        ("difficulty={per_level: 3}", "per_level needs levels", "levels: [1, 3, 6]"),
        ("difficulty={answers: 5, levels: [7]}", "make the levels 1 to 6", "once"),
        ("difficulty={answers: 5, levels: [2, 2]}", "make the levels 1 to 6", "once"),
        ("difficulty={answers: 5, levels: []}", "difficulty.levels", ""),
        ("difficulty={answers: 5, levels: [0]}", "difficulty.levels.0", ""),
        ("difficulty={sources: [medqa]}", "'medqa', which is not trained on", CLINIC),
    ],
)
def test_what_does_not_go_together_is_refused(override: str, message: str, fix: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe("alphamed", "rehearsal", [override])
    assert message in refused.value.message and fix in refused.value.fix
    assert "one set" not in refused.value.message and "several sets" not in refused.value.message


def test_train_is_one_set_or_a_list() -> None:
    one = load_recipe("alphamed")
    assert isinstance(one.train, DataSpec) and one.train_sets == (one.train,)
    two = load_recipe(
        "alphamed",
        "rehearsal",
        [
            "train=[{source: 'clinic:train', size: 5}, {source: medqa}]",
            "train.0.size=7",
            "train.1.split=validation",
        ],
    )
    assert [(s.source, s.size, s.split) for s in two.train_sets] == [
        (CLINIC, 7, "train"), ("medqa", None, "validation"),
    ]  # fmt: skip
    with pytest.raises(RecipeError, match=r"no place 'train\.size'") as refused:
        load_recipe("alphamed", "paper", ["train.size=3"])
    assert "train.0.size" in refused.value.fix


def test_a_helper_takes_both_spellings() -> None:
    one = DataSpec(source="medqa")
    assert sets_of(one) == (one,) and sets_of((one, one)) == (one, one)


@pytest.mark.parametrize(
    ("given", "band"),
    [
        ({}, (1, 9)),
        ({"answers": 5}, (1, 4)),
        ({"answers": 5, "hi": 5}, (1, 5)),
        ({"lo": 0}, (0, 9)),
    ],
)
def test_the_band_leaves_out_always_and_never_by_default(
    given: dict[str, Any], band: tuple[int, int]
) -> None:
    assert DifficultySpec(**given).band == band


def test_alphamed_at_paper_scale_is_the_papers() -> None:
    recipe = load_recipe("alphamed", "paper")
    assert recipe.reward.malformed is None and recipe.grader.forms == ("boxed",)
    assert [spec.source for spec in recipe.train_sets] == ["medqa", "medmcqa"]
    assert recipe.difficulty is not None and recipe.difficulty.per_level is not None
    medqa_train = 10_178
    levels = recipe.difficulty.levels or ()
    assert medqa_train + len(levels) * recipe.difficulty.per_level == 19_178
    assert recipe.difficulty.sources == ("medmcqa",) and recipe.model.chat
