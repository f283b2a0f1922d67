"""Studies: what they write, what they keep, what they refuse, and what a claim means."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file

from medrl.cases.spec import DataSpec
from medrl.clinic.exams import exam
from medrl.errors import DataError, RecipeError, RunError
from medrl.evaluation.drawing import draw
from medrl.learning.inputs import fingerprint_model
from medrl.learning.policy import load_policy, load_trained
from medrl.recipe import load_recipe
from medrl.schema import ModelSpec
from medrl.stages import PPOStage, Stage
from medrl.study import run_study
from medrl.study_file import STUDIES_DIR, load_study
from tests.learning.conftest import tiny_recipe


def study_file(folder: Path, model: Path, **changes: Any) -> Path:
    """A study of seconds: an untrained and a trained arm over four questions."""
    stage = {"steps": 1, "prompts_per_step": 2, "answers_per_prompt": 2}
    (folder / "recipe.yaml").write_text(tiny_recipe(model, stage).to_yaml())
    study = {
        "name": "toy",
        "recipe": str(folder / "recipe.yaml"),
        "arms": {"base": {"train": False}, "ppo": {}},
        "sets": {"test-id": {"source": "clinic:test-id", "size": 4}},
        "starts": {"free": {}, "answer": {"prefill": "<answer>", "until": "</answer>"}},
        "claims": [
            {
                "name": "PPO helps",
                "of": "correct",
                "more": {"arm": "ppo", "set": "test-id"},
                "less": {"arm": "base", "set": "test-id", "start": "answer"},
            }
        ],
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(study | changes, sort_keys=False))
    return path


def run(
    path: Path, seeds: Sequence[int] = (0, 1), paths: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """``run_study`` without a word, in folders beside the file."""
    console = Console(file=io.StringIO())
    folder = path.parent
    results, work = folder / "results", folder / "runs"
    return run_study(str(path), seeds, 0, results, work, console, True, paths)


# --- a whole study -------------------------------------------------------------------------------


def test_a_study_writes_its_numbers_and_a_second_call_trains_nothing(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    path = study_file(tmp_path, tiny("qwen2"))
    outcome = run(path)
    assert json.loads((tmp_path / "results" / "toy.json").read_text()) == outcome
    assert outcome["versions"]["torch"] and "commit" in outcome
    assert set(outcome["run_commits"]) == {"ppo-0", "ppo-1"}
    assert [claim["name"] for claim in outcome["claims"]] == ["PPO helps"]
    assert [(r["arm"], r["start"]) for r in outcome["arms"]] == [
        ("base", "free"), ("base", "answer"), ("ppo", "free"), ("ppo", "answer"),
    ]  # fmt: skip
    for row in outcome["arms"]:
        assert row["n"] == 4 and len(row["by_seed"]) == 2
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["accuracy"] == pytest.approx(sum(row["by_seed"]) / 2)
    text = (tmp_path / "results" / "toy.md").read_text()
    assert "| PPO helps |" in text and "| ppo | test-id | answer | 4 |" in text

    runs = tmp_path / "runs" / "toy-clinic0"
    assert sorted(p.name for p in runs.iterdir()) == ["base-0", "ppo-0", "ppo-1"]
    answers = json.loads((runs / "ppo-1" / "study-test-id-answer.json").read_text())["rows"]
    assert len(answers) == 4 and all(a["text"].startswith("<answer>") for a in answers)

    before = {p: p.stat().st_mtime_ns for p in runs.rglob("[!.]*") if p.is_file()}
    again = run(path)
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("[!.]*") if p.is_file()} == before
    assert (again["claims"], again["arms"]) == (outcome["claims"], outcome["arms"])

    # Answers to other questions are not passed off as answers to these.
    study_file(tmp_path, tiny("qwen2"), sets={"test-id": {"source": "clinic:test-id", "size": 5}})
    assert {row["n"] for row in run(path)["arms"]} == {5}

    # Nor a run of another recipe as one of this.
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("learning_rate: 0.001", "learning_rate: 0.002"))
    with pytest.raises(RunError, match="another recipe"):
        run(path)


def test_an_arm_may_override_the_study_and_the_study_the_recipe(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    arms = {"ppo": {}, "hot": {"overrides": ["temperature=1.5"]}}
    path = study_file(tmp_path, tiny("qwen2"), arms=arms, claims=[], overrides=["temperature=0.5"])
    run(path, seeds=[3])
    runs = tmp_path / "runs" / "toy-clinic0"
    stages = [load_recipe(str(runs / f"{arm}-3" / "recipe.yaml")).stages[0] for arm in arms]
    assert [stage.temperature for stage in stages if isinstance(stage, PPOStage)] == [0.5, 1.5]


def test_where_a_data_set_lies_is_said_when_a_study_is_run(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """For the recipe's cases, those of stages and the test sets; what has a path keeps it."""
    rows = [
        {"id": f"q{i}", "question": "Which?", "options": ["one", "two"], "answer": letter}
        for i, letter in enumerate("AAAB")
    ]
    for name in ("here.jsonl", "there.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    own, spec = str(tmp_path / "here.jsonl"), {"source": "jsonl", "split": None}
    stages = [
        {"objective": "sft", "steps": 1, "prompts_per_step": 2, "learning_rate": 1e-3, **more}
        for more in ({}, {"name": "second", "train": spec}, {"name": "third", "train": spec})
    ]
    stages[2]["train"] = spec | {"path": own}
    path = study_file(
        tmp_path,
        tiny("qwen2"),
        overrides=[f"train={json.dumps(spec)}"],
        arms={"sft": {"stages": stages}},
        sets={"all": spec, "even": spec | {"balanced": True}},
        claims=[],
    )
    with pytest.raises(DataError, match="jsonl cannot be fetched"):
        run(path, [0])
    outcome = run(path, [0], {"jsonl": str(tmp_path / "there.jsonl")})
    assert [row["n"] for row in outcome["arms"][::2]] == [4, 2]
    trained = load_recipe(str(tmp_path / "runs" / "toy-clinic0" / "sft-0" / "recipe.yaml"))
    kept = [trained.train_sets[0], *(s.train for s in trained.stages[1:] if isinstance(s, Stage))]
    there = str(tmp_path / "there.jsonl")
    assert [s.path for s in kept if isinstance(s, DataSpec)] == [there, there, own]
    with pytest.raises(DataError, match="asks nothing about 'medqa'") as refused:
        run(path, [0], {"medqa": own})
    assert refused.value.fix == "it has jsonl"


def test_training_itself_is_tabulated_drawn_and_claimed_about(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    late, early = ({"arm": "ppo", "metric": "reward", "at": at} for at in ("late", "early"))
    rises = {"name": "It rises", "of": "training", "more": late, "less": early}
    curve = {"title": "Reward", "arms": ["ppo"], "metrics": ["reward"]}
    more = {"claims": [rises], "curves": [curve], "training": ["reward", "live_groups"]}
    outcome = run(study_file(tmp_path, tiny("qwen2"), **more))
    [row] = outcome["training"]  # PPO has no groups
    assert (row["arm"], row["metric"]) == ("ppo", "reward") and len(row["late"]) == 2
    assert outcome["claims"][0]["effect"] == 0  # of one step, early is late
    assert len(outcome["curves"][0]["values"]) == 1
    text = (tmp_path / "results" / "toy.md").read_text()
    assert "| ppo | reward |" in text and "toy.svg" in text
    for arm in ("base", "nobody"):
        changed = {"claims": [rises | {"more": late | {"arm": arm}}]}
        with pytest.raises(RecipeError, match=f"is about training, {arm} has none"):
            run(study_file(tmp_path, tiny("qwen2"), **changed))


def test_a_start_may_ask_in_other_words(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    prompts = {"free": "", "pool": "pool:unseen", "echo": "{question}"}
    starts = {name: {"prompt": prompt} for name, prompt in prompts.items()}
    claim = {
        "name": "Other words",
        "of": "correct",
        "more": {"arm": "ppo", "set": "test-id", "start": "pool"},
        "less": {"arm": "ppo", "set": "test-id"},
    }
    path = study_file(tmp_path, tiny("qwen2"), starts=starts, claims=[claim])
    assert len(run(path)["claims"]) == 1
    texts = []
    for name, prompt in prompts.items():
        kept = tmp_path / "runs" / "toy-clinic0" / "ppo-0" / f"study-test-id-{name}.json"
        found = json.loads(kept.read_text())
        assert found["asked"]["prompt"] == (prompt or "think-answer")
        texts.append([row["text"] for row in found["rows"]])
    assert texts[0] != texts[1] != texts[2] != texts[0]


def test_an_arm_may_be_another_one_half_way(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    arms = {"half": {"of": "whole", "after": "first"}, "whole": {}}  # in any order
    pairs = {"source": "clinic:pairs-test", "size": 4}
    stages = (
        {"objective": "bradley_terry", "name": "taste", "train": pairs, "test": pairs},
        {"objective": "sft", "name": "first"},
        {"objective": "sft", "name": "last", "learning_rate": 0.1},
    )
    good = {"name": "taste", "of": "quality", "arm": "whole", "stage": "taste"}
    path = study_file(tmp_path, tiny("qwen2"), arms=arms, claims=[good])
    (tmp_path / "recipe.yaml").write_text(tiny_recipe(tiny("qwen2"), *stages).to_yaml())
    outcome = run(path)
    runs = tmp_path / "runs" / "toy-clinic0"
    assert not (runs / "half-0" / "summary.json").exists()  # nothing was trained for it
    known = json.loads((runs / "half-0" / "study-test-id-free.json").read_text())["asked"]
    model = load_policy(ModelSpec(path=str(tiny("qwen2")))).model
    load_trained(model, load_file(runs / "whole-0" / "stage-1" / "policy.safetensors"))
    assert known["model"] == fingerprint_model(model)
    [quality] = outcome["models"]
    assert quality["stage"] == "taste" and len(quality["by_seed"]) == 2
    assert "| whole | taste | pair accuracy | 4 |" in (tmp_path / "results" / "toy.md").read_text()

    arms["half"]["after"] = "last"
    study_file(tmp_path, tiny("qwen2"), arms=arms, claims=[])
    (tmp_path / "recipe.yaml").write_text(tiny_recipe(tiny("qwen2"), *stages).to_yaml())
    with pytest.raises(RecipeError, match="no stage 'last'"):
        run(path)


@pytest.mark.parametrize(
    ("arm", "what"),
    [
        ({"of": "ppo"}, "of and after go together"),
        ({"of": "none", "after": "x"}, "'none' is no arm that is trained"),
        ({"of": "base", "after": "x"}, "'base' is no arm that is trained"),
        ({"of": "ppo", "after": "x", "overrides": ["seed=1"]}, "give no others"),
    ],
)
def test_half_an_arm_needs_a_whole_one(
    arm: dict[str, Any], what: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    arms = {"base": {"train": False}, "ppo": {}, "half": arm}
    with pytest.raises(RecipeError, match=what):
        load_study(str(study_file(tmp_path, tiny("qwen2"), arms=arms)))


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [[0], [1, 1]])
def test_a_claim_needs_different_seeds(
    seeds: list[int], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="two or more different"):
        run(study_file(tmp_path, tiny("qwen2")), seeds)
    assert not (tmp_path / "runs").exists()


def test_results_that_cannot_be_written_are_found_before_training(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("a file in the way")
    with pytest.raises(RunError, match="cannot write"):
        run(study_file(tmp_path, tiny("qwen2")))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("cell", [{"arm": "dpo"}, {"set": "test-odd"}, {"start": "shout"}])
def test_a_claim_about_the_unknown_is_refused(cell: dict[str, str], tmp_path: Path) -> None:
    known = {"arm": "ppo", "set": "test-id"}
    less = known | cell
    more = known | {"set": less["set"]}
    claim = {"name": "PPO flies", "of": "correct", "more": more, "less": less}
    path = study_file(tmp_path, tmp_path, claims=[claim])
    (unknown,) = cell.values()
    with pytest.raises(RecipeError, match=f"'PPO flies' speaks of unknown.*{unknown}"):
        load_study(str(path))


def test_a_misspelt_key_and_a_missing_study_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'arm_s'") as refused:
        load_study(str(study_file(tmp_path, tmp_path, arm_s={})))
    assert refused.value.fix == "did you mean 'arms'?" and "\n" not in refused.value.message
    with pytest.raises(RecipeError, match="no study 'nothing'") as refused:
        load_study("nothing")
    assert "med-rlvr" in refused.value.fix


@pytest.mark.parametrize("path", sorted(STUDIES_DIR.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_studies_load(path: Path) -> None:
    assert load_study(path.stem).claims


# --- scores --------------------------------------------------------------------------------------

SCORE = {"malformed": None, "terms": [{"term": "correct", "wrong": 0.25}]}


def test_a_study_may_measure_answers_by_a_reward(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    pair = {"more": {"arm": "ppo", "set": "test-id"}, "less": {"arm": "base", "set": "test-id"}}
    claims = [{"name": "PPO scores", "of": "score", **pair}]
    with pytest.raises(RecipeError, match="of score, but the study has none"):
        load_study(str(study_file(tmp_path, tiny("qwen2"), claims=claims)))
    outcome = run(study_file(tmp_path, tiny("qwen2"), claims=claims, score=SCORE))
    for row in outcome["arms"]:
        assert row["score"] == pytest.approx(0.25 + 0.75 * row["accuracy"])
    page = (tmp_path / "results" / "toy.md").read_text()
    assert "| score |" in page and "| 0.250 |" in page
    known = json.loads((tmp_path / "runs/toy-clinic0/ppo-0/study-test-id-free.json").read_text())
    assert "score" not in known["rows"][0]  # told anew each time, so that the score may change


# --- levels --------------------------------------------------------------------------------------

HALF = {"answers": 2, "prefill": "<answer>A</answer>"}
"""Two draws of a model that is made to answer A: both right (L1) or both wrong (L3)."""


def leveled_study(folder: Path, model: Path, **changes: Any) -> Path:
    """An arm on both levels, one on the first, and a test set cut in two by them."""
    levels = {"difficulty": HALF | {"levels": [1, 3]}}
    easy = {"overrides": ["difficulty.levels=[1]"]}
    test = {"source": "clinic:test-id", "size": 12}
    path = study_file(
        folder,
        model,
        arms={"mixed": {}, "easy": easy},
        sets={"low": test | {"levels": [1]}, "high": test | {"levels": [3]}, "all": test},
        draws=HALF,
        starts={"free": {}},
        claims=[
            {
                "name": "Levels cross",
                "of": "correct",
                "more": {"arm": "mixed", "set": "high"},
                "less": {"arm": "easy", "set": "high"},
                "beyond": {
                    "more": {"arm": "mixed", "set": "low"},
                    "less": {"arm": "easy", "set": "low"},
                },
            },
            {"name": "Dead", "of": "dead_share", "arm": "mixed", "more": [1], "less": [3]},
        ],
        figures=[{"title": "By arm", "arms": ["mixed", "easy"], "sets": ["low", "high"]}],
        **changes,
    )
    stage = {"objective": "grpo", "steps": 2}
    recipe = tiny_recipe(model, stage, **levels, train={"source": "clinic:train", "size": 12})
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    return path


def test_all_arms_and_sets_share_what_the_starting_model_was_asked(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counting(examiner: Any, cases: Sequence[Any], *rest: Any) -> dict[str, Any]:
        asked.append(len(cases))
        return draw(examiner, cases, *rest)

    monkeypatch.setattr("medrl.study.draw", counting)
    monkeypatch.setattr("medrl.learning.evaluations.draw", None)  # no run asks for itself
    path = leveled_study(tmp_path, tiny("qwen2"))
    outcome = run(path)
    assert asked == [12, 12]  # the test set once for both of its halves, the training cases once
    gold = [c.reference.value for c in exam("test-id", 12)]
    sizes = {row["set"]: row["n"] for row in outcome["arms"]}
    assert sizes == {"low": gold.count("A"), "high": 12 - gold.count("A"), "all": 12}

    training = exam("train", 12)
    easy = {c.id for c in training if c.reference.value == "A"}
    runs = tmp_path / "runs" / "toy-clinic0"
    for arm, kept in (("easy", easy), ("mixed", {c.id for c in training})):
        for seed in (0, 1):
            record = json.loads((runs / f"{arm}-{seed}" / "difficulty.json").read_text())
            assert record["levels"] == {"L1": len(easy), "L2": 0, "L3": 12 - len(easy)}
            lines = (runs / f"{arm}-{seed}" / "episodes.jsonl").read_text().splitlines()
            assert {json.loads(line)["case_id"] for line in lines} <= kept
    assert {(row["arm"], row["level"]) for row in outcome["levels"]} == {
        ("mixed", 1), ("mixed", 3), ("easy", 1),
    }  # fmt: skip
    assert [claim["name"] for claim in outcome["claims"]] == ["Levels cross", "Dead"]
    page = (tmp_path / "results" / "toy.md").read_text()
    assert "(toy.svg)" in page and "| mixed | L3 |" in page
    assert (tmp_path / "results" / "toy.svg").read_text().startswith("<?xml")

    run(path)
    assert asked == [12, 12]  # a second call asks nothing

    # Another way to ask is another answer.
    text = yaml.safe_load(path.read_text())
    text["draws"]["temperature"] = 0.5
    path.write_text(yaml.safe_dump(text))
    run(path)
    assert asked == [12, 12, 12]


def test_a_set_without_questions_at_its_level_is_refused(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    sets = {"none": {"source": "clinic:test-id", "size": 4, "levels": [2]}}
    path = study_file(tmp_path, tiny("qwen2"), sets=sets, draws=HALF, claims=[])
    with pytest.raises(DataError, match=r"set none: no question is at the levels \[2\]"):
        run(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sets": {"t": {"source": "clinic:test-id", "noise": 0.1}}}, "sets.t has noise"),
        ({"sets": {"t": {"source": "medqa", "levels": [9]}}}, "sets.t.levels has 9"),
        ({"figures": [{"title": "F", "arms": ["ppo"], "sets": ["odd"]}]}, "'F' speaks of unknown"),
        (
            {
                "claims": [
                    {"name": "D", "of": "dead_share", "arm": "base", "more": [1], "less": [2]}
                ]
            },
            "'D' is about training, base has none",
        ),
    ],
)
def test_what_a_study_cannot_mean_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_study(str(study_file(tmp_path, tmp_path, claims=changes.pop("claims", []), **changes)))
