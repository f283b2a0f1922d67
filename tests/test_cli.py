"""The commands as a user meets them: what they print, what they write, how they leave."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from medrl import cli, launch
from medrl.recipe import load_recipe
from tests.learning.conftest import tiny_recipe

ROOT = Path(__file__).resolve().parents[1]


class Left(NamedTuple):
    """How a command left."""

    code: int
    out: str
    err: str


def medrl(*arguments: object) -> Left:
    """``medrl ARGUMENTS`` in this process, through the entry point that a shell would call."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["medrl", *map(str, arguments)])
        patch.setattr(cli, "out", Console(width=200))
        patch.setattr(cli, "err", Console(stderr=True, width=200))
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert "Traceback" not in err.getvalue()
    return Left(int(left.value.code or 0), out.getvalue(), err.getvalue())


def question(number: int = 1, **changes: object) -> dict[str, Any]:
    """A row of the user's own questions."""
    options = ["aspirin", "insulin", "surgery", "rest"]
    row = {"id": f"q{number}", "question": f"What helps patient {number}?", "options": options}
    return row | {"answer": "B"} | changes


def write_rows(path: Path, *rows: dict[str, Any] | str) -> Path:
    """A JSONL file; texts are written as they are."""
    texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def recipe(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a recipe of two steps over a tiny model."""
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    stage = {"steps": 2, "prompts_per_step": 2, "answers_per_prompt": 2}
    path.write_text(tiny_recipe(tiny("qwen2"), stage).to_yaml())
    return path


@pytest.fixture(scope="module")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Left]:
    """A run that ``medrl train`` took to its end, and what the command said."""
    run = tmp_path_factory.mktemp("finished") / "run"
    return run, medrl("train", recipe, "--run", run)


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root writes anywhere, but not below a file
        (tmp_path / "file").write_text("")
        yield tmp_path / "file"
    else:
        yield folder
        folder.chmod(0o700)


# --- train ---------------------------------------------------------------------------------------


def test_a_run_ends_with_results_a_report_and_a_model(finished: tuple[Path, Left]) -> None:
    run, left = finished
    assert left.code == 0, left.err
    summary = json.loads((run / "summary.json").read_text())
    for key in ("peak_memory_bytes", "sampling_tokens_per_second", "learning_tokens_per_second"):
        assert summary[key] > 0, key
    after = summary["evaluations"]["test-id"]["after"]
    assert after["n"] == 3 and f"{100 * after['accuracy']:.1f} [" in left.out
    assert f"report: {run / 'report.html'}" in left.out
    assert (run / "report.html").read_text().lstrip().lower().startswith("<!doctype html")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    ids = tokenizer("What helps?", return_tensors="pt")["input_ids"]
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > ids.shape[1]


def test_quiet_prints_results_only(recipe: Path, tmp_path: Path) -> None:
    left = medrl("train", recipe, "stages.0.steps=1", "--run", tmp_path / "run", "--quiet")
    assert left.code == 0 and "report:" in left.out and "test-id" in left.out
    assert "evaluating" not in left.out and "stop ids" not in left.out


def test_a_dry_run_shows_a_recipe_that_can_be_run_and_writes_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = medrl(
        "train", recipe, "train.size=5", "--seed", 7, "--model", "some/model", "--dry-run"
    )
    assert shown.code == 0 and list(tmp_path.iterdir()) == []
    assert "ppo: 2 steps x 2 prompts x 2 answers = 8 answers" in shown.out
    (tmp_path / "shown.yaml").write_text(shown.out)
    loaded = load_recipe("shown.yaml")
    assert (loaded.train.size, loaded.seed, loaded.model.path) == (5, 7, "some/model")
    assert loaded == load_recipe(str(recipe), overrides=["train.size=5", "seed=7",
                                                         "model.path=some/model"])  # fmt: skip


@pytest.mark.parametrize("name", ["rehearsal", "paper"])
def test_the_shipped_recipe_is_shown_at_both_scales(name: str, tmp_path: Path) -> None:
    shown = medrl("train", "med-rlvr", "--scale", name, "--dry-run")
    assert shown.code == 0 and yaml.safe_load(shown.out)["scale"] == name


@pytest.mark.parametrize(
    ("arguments", "message", "fix"),
    [
        (["med-rlrv"], "no recipe 'med-rlrv'", "'med-rlvr'"),
        (["med-rlvr", "--scale", "huge"], "no scale 'huge'", "rehearsal"),
        (["med-rlvr", "learning_rat=1"], "'learning_rat'", "did you mean 'learning_rate'?"),
        (["med-rlvr", "train.sise=1"], "'train.sise'", "did you mean 'size'?"),
        (["med-rlvr", "seed"], "override 'seed' has no '='", "key=value"),
        (["med-rlvr", "train.size=[/bold]"], "[/bold]", ""),
        (["med-rlvr", "--data-path", "x.jsonl"], "--data-path needs --data", "which data set"),
        (["med-rlvr", "--split", "train"], "--split needs --data", "train.split"),
        (["med-rlvr", "--resume", "seed=1"], "takes no other settings", "drop the overrides"),
        (["med-rlvr", "--resume", "--seed", "1"], "takes no other settings", "drop"),
        (["med-rlvr", "--resume", "--overwrite"], "takes no other settings", "drop"),
        (["med-rlvr", "--model", "no/such/model"], "no/such/model", ""),
        (["med-rlvr", "--model", "clinic:nothing"], "no clinic model", "known: "),
    ],
)
def test_a_mistake_is_one_line_with_its_fix(
    arguments: list[str], message: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    left = medrl("train", *arguments)
    assert left.code == 2 and left.err.startswith("error: ")
    assert message in left.err and fix in left.err and bool(fix) <= ("fix: " in left.err)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_tokenizer_is_refused(
    tiny: Callable[[str], Path], recipe: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in tiny("qwen2").iterdir():
        if "token" not in file.name:
            (bare / file.name).write_bytes(file.read_bytes())
    left = medrl("train", recipe, "--model", bare, "--run", tmp_path / "run")
    assert left.code == 2 and f"{bare}: no tokenizer" in left.err
    assert "save_pretrained" in left.err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"question": "What', "JSON"),
        ({"question": "What?", "options": ["a", "b"]}, "'answer' is missing"),
        (question(answer="F"), "'F'"),
        (question(options=["rest", "insulin", "Rest", "surgery"]), "equal"),
        (question(question="  "), "'question' is empty"),
    ],
)
def test_a_bad_row_is_named(
    bad: dict[str, Any] | str, reason: str, recipe: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "mine.jsonl", question(11), question(12), bad)
    run = tmp_path / "run"
    left = medrl("train", recipe, "--data", "jsonl", "--data-path", data, "--run", run)
    assert left.code == 2 and not run.exists()
    assert f"{data}:3 " in left.err and reason in left.err


def test_a_prompt_longer_than_the_context_is_refused(recipe: Path, tmp_path: Path) -> None:
    long = question(2, question="Fever and cough. " * 600)
    data = write_rows(tmp_path / "mine.jsonl", question(1), long)
    run = tmp_path / "run"
    left = medrl("train", recipe, "--data", "jsonl", "--data-path", data, "--run", run)
    assert left.code == 2 and not run.exists()
    assert "q2" in left.err and "context of 1024" in left.err and "fix: " in left.err


def test_own_questions_can_be_trained_on(recipe: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "mine.jsonl", question(1), question(2))
    run = tmp_path / "run"
    left = medrl("train", recipe, "steps=1", "--data", "jsonl", "--data-path", data, "--run", run)
    assert left.code == 0, left.err
    assert load_recipe(str(run / "recipe.yaml")).train.path == str(data)


def test_one_split_of_a_file_can_be_trained_on(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [question(n, split="train" if n % 2 else "test") for n in range(1, 7)]
    data = write_rows(tmp_path / "mine.jsonl", *rows)
    given = ("steps=1", "--data", "jsonl", "--data-path", data)
    across = medrl("train", recipe, *given, "--run", tmp_path / "a")
    assert across.code == 0 and "test (3), train (3)" in caplog.text
    caplog.clear()
    left = medrl("train", recipe, *given, "--split", "train", "--run", tmp_path / "b")
    assert left.code == 0 and "across its splits" not in caplog.text
    told = medrl("eval", recipe, *given[1:])
    assert told.code == 0 and "test (3), train (3)" in told.out


def test_an_unwritable_folder_is_refused(recipe: Path, nowhere: Path) -> None:
    left = medrl("train", recipe, "--run", nowhere / "run")
    assert left.code == 3 and f"cannot write {nowhere / 'run'}" in left.err


def test_an_older_run_is_neither_mixed_with_nor_lost(
    finished: tuple[Path, Left], recipe: Path, tmp_path: Path
) -> None:
    run, _ = finished

    def times() -> dict[Path, int]:
        files = (path for path in run.rglob("[!.]*") if path.is_file())  # but not the lock
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    assert medrl("train", recipe, "--run", run).code == 3
    again = medrl("train", recipe, "--run", run, "--resume")
    assert again.code == 3 and "has already finished" in again.err
    assert times() == before
    assert medrl("train", recipe, "--run", tmp_path / "none", "--resume").code in (2, 3)


def test_only_runs_are_overwritten(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.tex").write_text("years of work")
    left = medrl("train", recipe, "--run", tmp_path / "thesis", "--overwrite")
    assert left.code == 3 and "is not a run" in left.err
    assert (tmp_path / "thesis" / "chapter-1.tex").exists()

    run = tmp_path / "run"
    assert medrl("train", recipe, "steps=1", "--run", run).code == 0
    assert medrl("train", recipe, "steps=1", "--seed", 5, "--run", run, "--overwrite").code == 0
    assert load_recipe(str(run / "recipe.yaml")).seed == 5


def test_ctrl_c_stops_cleanly_and_the_run_goes_on(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    steps = 15
    command = ["train", str(recipe), f"steps={steps}", "--run", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-m", "medrl", *command],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = run / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 130, err
    assert "stopping after this step" in err and f"--run {run} --resume" in err
    done = len(metrics.read_text().splitlines())
    assert 1 <= done < steps and not (run / "summary.json").exists()

    left = medrl("train", recipe, "--run", run, "--resume")
    assert left.code == 0, left.err
    rows = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert rows == list(range(1, steps + 1)) and (run / "summary.json").exists()


def test_ctrl_c_before_the_first_step_leaves_with_the_same_code(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "start", interrupted)
    assert medrl("train", recipe, "--run", "never").code == 130


# --- eval ----------------------------------------------------------------------------------------


def test_eval_reads_a_run_with_samples_and_shuffles(
    finished: tuple[Path, Left], tmp_path: Path
) -> None:
    run, _ = finished
    to = tmp_path / "answers.jsonl"
    left = medrl("eval", run, "--size", 2, "--samples", 2, "--shuffles", 1, "--to", to)
    assert left.code == 0, left.err
    assert "pass@1" in left.out and "pass@2" in left.out and "pass@4" not in left.out
    assert "sampled at temperature 1;" in left.out  # as this recipe trains
    rows = [json.loads(line) for line in to.read_text().splitlines()]
    assert len(rows) == 2 * 2 * 2  # questions x answers x orders
    assert {row["set"] for row in rows} == {"test-id", "test-id shuffled 1"}
    assert {row["outcome"] for row in rows} <= {
        "correct", "wrong", "no_answer", "several_answers"
    }, rows  # fmt: skip


def test_eval_takes_own_questions_and_another_model(
    recipe: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "mine.jsonl", question(1), question(2), question(3))
    left = medrl(
        "eval", recipe, "--model", tiny("llama"), "--data", "jsonl", "--data-path", data,
        "--size", 2, "--quiet",
    )  # fmt: skip
    assert left.code == 0, left.err
    assert "jsonl" in left.out and "test-id" not in left.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data-path", "x.jsonl"], 2, "--data-path needs --data"),
        (["--data", "clinic:train"], 2, "give it a size"),
        (["--data", "medqq"], 2, "unknown data set"),
        (["--to", "no/such/folder/x.jsonl"], 3, "no/such/folder"),
        (["--samples", "0"], 2, "--samples"),
        (["--size", "0"], 2, "--size"),
    ],
)
def test_eval_refuses_what_it_cannot_do(
    arguments: list[str], code: int, message: str, recipe: Path
) -> None:
    left = medrl("eval", recipe, *arguments)
    assert left.code == code and message in left.err


# --- grade, data, recipes, report ----------------------------------------------------------------


def test_grade_counts_and_explains(tmp_path: Path) -> None:
    rows = [
        {"response": "The answer is (B).", "options": ["a", "b"], "answer": "B", "reference": "B"},
        {"response": "The answer is (A).", "options": ["a", "b"], "answer": "B", "reference": "B"},
    ]
    left = medrl("grade", write_rows(tmp_path / "outputs.jsonl", *rows))
    assert left.code == 0 and "50.0" in left.out
    assert medrl("grade", tmp_path / "missing.jsonl").code == 2
    assert "'reply' is missing" in medrl(
        "grade", tmp_path / "outputs.jsonl", "--response-key", "reply"
    ).err  # fmt: skip


def test_data_lists_and_loads(tmp_path: Path) -> None:
    listed = medrl("data")
    assert listed.code == 0 and "medqa" in listed.out and "jsonl" in listed.out
    good = [question(i) for i in range(60)]
    data = write_rows(tmp_path / "mine.jsonl", *good, question(answer="F"))
    other = write_rows(tmp_path / "other.jsonl", question(3))
    left = medrl("data", "jsonl", "--path", data, "--against", other)
    assert left.code == 0, left.err
    assert "60 cases, 1 rows set aside" in left.out and "mine.jsonl:61" in left.out
    assert "overlap with" in left.out
    assert "A. " in left.out and "answer: " in left.out  # the first case, to look at
    Image.new("L", (30, 20)).save(tmp_path / "film.png")
    shown = write_rows(tmp_path / "films.jsonl", {**question(1), "image": "film.png"})
    left = medrl("data", "jsonl", "--path", shown)
    assert "picture: " in left.out and "film.png" in left.out and "films.jsonl:1" in left.out
    assert "30 x 20 pixels" in left.out
    (tmp_path / "film.png").write_bytes(b"no film")
    left = medrl("data", "jsonl", "--path", shown)
    assert left.code == 2 and "film.png" in left.err and "not a picture" in left.err
    patient = {
        "description": "It itches.",
        "facts": [{"doctor_question": "How long?", "patient_response": "A week."}],
        "diagnosis": "hives",
        "trajectory": [
            {"role": "user", "content": "It itches."},
            {"role": "assistant", "content": "Diagnosis: hives"},
        ],
    }
    left = medrl("data", "mtmeddialog", "--path", write_rows(tmp_path / "asked.jsonl", patient))
    assert "to be asked for: 1 facts" in left.out and "imitated: 1 turns" in left.out
    clinic = medrl("data", "clinic:test-ood")
    assert "1000 cases, 0 rows set aside" in clinic.out and "J. " in clinic.out
    assert "leave --path" in medrl("data", "clinic:train", "--path", data).err
    unknown = medrl("data", "medqq")
    assert unknown.code == 2 and "known: " in unknown.err


def test_recipes_are_listed_with_what_they_train() -> None:
    left = medrl("recipes")
    assert left.code == 0 and "med-rlvr" in left.out


def test_report_is_written_again(finished: tuple[Path, Left], tmp_path: Path) -> None:
    run, _ = finished
    (run / "report.html").unlink()
    assert medrl("report", run).out.strip() == f"report: {run / 'report.html'}"
    assert (run / "report.html").is_file()
    assert medrl("report", tmp_path).code == 3


def test_without_arguments_the_commands_are_shown() -> None:
    left = medrl()
    for command in ("train", "eval", "grade", "data", "recipes", "report", "study"):
        assert command in left.out + left.err
