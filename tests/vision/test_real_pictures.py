"""Chest films, blood smears and figures of textbooks, from their files to a step of training.

Each set is there twice: in a few files that the test writes in the same formats, and real where the
shared data are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medrl.cases.case import Case
from medrl.grading import Grader
from medrl.learning import gathering
from medrl.learning.preparation import cases_of
from medrl.recipe import Recipe
from tests.learning.conftest import paid_by_tokens, rl_learner, sft_learner, tiny_recipe
from tests.tiny_vision import noise

SETS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "chest films: view, lungs": ("cxr/vqa.jsonl", {"source": "jsonl"}, (512, 512)),
    "blood smears: counts, yes or no": ("bccd/vqa.jsonl", {"source": "jsonl"}, (640, 480)),
    "figures: titles": ("openstax_figures_vqa.jsonl", {"source": "openstax_figures"}, (336, 154)),
    "small films: pneumonia": (
        "pneumoniamnist.parquet",
        {"source": "pneumoniamnist", "split": "train", "balanced": True},
        (28, 28),
    ),
}
"""File, what a recipe says of it, and the size of its first picture."""


def encoded(seed: int, size: tuple[int, int], kind: str) -> bytes:
    stream = io.BytesIO()
    noise(seed, *size).save(stream, kind)
    return stream.getvalue()


def write_rows(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_sets(folder: Path) -> None:
    """Every set with a handful of rows, as they are published."""
    views = {"A": "PA", "B": "AP", "C": "Lateral", "D": "Oblique"}
    films = [
        {"id": f"film-{i}", "image": f"img/{i}.jpg", "type": kind, "question": asked, **more}
        for i in range(3)
        for kind, asked, more in (
            ("mcq", "Which projection?", {"options": views, "answer": "B"}),
            ("grounding", "Locate the patient's left lung.", {"answer": "[1, 2, 30, 40]"}),
        )
    ]
    for row in films:
        row["id"] += f"-{row['type']}"
    write_rows(folder / "cxr/vqa.jsonl", *films)
    smears = [
        {"id": f"{i}-{kind}", "image": f"img/{i}.jpg", "type": kind, "question": asked} | said
        for i in range(3)
        for kind, asked, said in (
            ("count", "How many platelets are visible?", {"answer": str(i)}),
            ("closed", "Are any platelets visible?", {"answer": "yes" if i else "no"}),
        )
    ]
    write_rows(folder / "bccd/vqa.jsonl", *smears)
    for name, size in (("cxr", (512, 512)), ("bccd", (640, 480))):
        (folder / name / "img").mkdir()
        for i in range(3):
            (folder / name / f"img/{i}.jpg").write_bytes(encoded(i, size, "JPEG"))
    titles = {"A": "Metabolism", "B": "Blood Pressure"}
    write_rows(
        folder / "openstax_figures_vqa.jsonl",
        *(
            {"id": f"t{i}", "figure_id": f"f{i}", "question": "Which title?", "options": titles}
            | {"answer_idx": "AB"[i % 2]}
            for i in range(4)
        ),
    )
    figures = [
        {"id": f"f{i}", "kind": "figure", "book": "A&P", "chapter": "1", "credit": "us"}
        | {"image_jpg": encoded(i, (336, 154), "JPEG")}
        for i in range(4)
    ]
    pq.write_table(pa.Table.from_pylist(figures), folder / "openstax_figures.parquet")
    small = [
        {"id": f"p{i}", "split": "train", "label": min(i, 1), "label_name": ""}
        | {"image_png": encoded(i, (28, 28), "PNG")}
        for i in (0, 1, 2, 0, 4)
    ]
    for i, row in enumerate(small):
        row["id"] = f"p{i}"
    pq.write_table(pa.Table.from_pylist(small), folder / "pneumoniamnist.parquet")


@pytest.fixture(params=["written", "real"])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of all sets."""
    if request.param == "written":
        write_sets(tmp_path)
        return tmp_path
    folder: Path = request.getfixturevalue("shared_data") / "images"
    if not folder.is_dir():
        pytest.skip(f"no real pictures: {folder} is absent")
    return folder


@pytest.fixture
def recipe_of(pictures: Path, seeing: Callable[[str], Path]) -> Callable[..., Recipe]:
    """A recipe that trains on one of the sets."""

    def make(name: str, stage: dict[str, Any]) -> Recipe:
        file, spec, _ = SETS[name]
        path = pictures / file
        path = path if path.exists() else path.with_name(f"{path.name}.gz")
        train = {"split": None, **spec, "path": str(path), "size": 24}
        return tiny_recipe(seeing("qwen2_vl"), stage, train=train, evaluation={})

    return make


def of_each_kind(cases: list[Case]) -> list[Case]:
    """The first four cases, each kind of answer among them."""
    kinds = {case.reference.kind: case for case in reversed(cases)}
    rest = [case for case in cases if case not in kinds.values()]
    return [*kinds.values(), *rest][:4]


@pytest.mark.parametrize("name", SETS)
def test_from_the_files_to_a_step_of_grpo(
    name: str, recipe_of: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    recipe = recipe_of(name, {"objective": "grpo", "answers_per_prompt": 4})
    learner = rl_learner(recipe)
    cases = cases_of(recipe.train_sets[0], Grader())
    chosen = of_each_kind(cases)
    kinds = {case.reference.kind for case in chosen}
    assert kinds == ({"option", "number"} if "counts" in name else {"option"})
    [picture] = cases[0].images
    assert picture.open().size == SETS[name][2]
    before = {n: p.clone() for n, p in learner.policy.model.named_parameters()}
    groups = learner.rollout(lambda attempt: chosen, 0)
    assert [group.case for group in groups] == chosen
    for group in groups:
        assert group.media is not None and len(group.episodes) == 4
        assert all(1 <= e.policy_tokens <= 12 and e.text for e in group.episodes)
        mark = learner.policy.model.config.image_token_id
        patches = int(group.media.inputs["image_grid_thw"].prod())
        assert group.episodes[0].token_ids.count(mark) == patches // 4
        assert group.media.inputs["pixel_values"].shape[0] == patches
    assert learner.update(groups, 0)["grad_norm"] > 0
    moved = {n for n, p in learner.policy.model.named_parameters() if not p.equal(before[n])}
    assert any("visual" in n for n in moved) and any("language" in n for n in moved)


@pytest.mark.parametrize("name", SETS)
def test_from_the_files_to_steps_of_sft(name: str, recipe_of: Callable[..., Recipe]) -> None:
    recipe = recipe_of(name, {"objective": "sft"})
    learner = sft_learner(recipe)
    chosen = of_each_kind(cases_of(recipe.train_sets[0], Grader()))
    losses = []
    for number in range(4):
        groups = learner.rollout(lambda attempt: chosen, number)
        answer = f"<answer>{chosen[0].reference.value}</answer>"
        assert groups[0].episodes[0].text == answer
        losses.append(learner.update(groups, number)["loss"])
    assert losses[-1] < losses[0] - 0.1


def test_half_of_balanced_films_show_pneumonia_at_the_size_asked_for(
    recipe_of: Callable[..., Recipe],
) -> None:
    recipe = recipe_of("small films: pneumonia", {"objective": "sft"})
    cases = cases_of(recipe.train_sets[0], Grader())
    assert cases[0].images[0].open().size == (28, 28)
    large = recipe.train_sets[0].model_copy(update={"enlarge_to": 64})
    assert {case.images[0].open().size for case in cases_of(large, Grader())} == {(64, 64)}
    letters = [case.reference.value for case in cases]
    assert letters.count("A") == letters.count("B") == len(cases) // 2 >= 2
