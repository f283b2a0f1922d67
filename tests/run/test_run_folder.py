"""The run folder on a healthy disk: what goes in comes out, and only one process writes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.errors import RunError
from medrl.run import LOGS, RunFolder
from medrl.run.disk import encode_json
from medrl.run.lock import lock_folder

RECIPE = "name: med-rlvr\nsteps: 3\n"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),  # lone surrogates and line separators included
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    with RunFolder.create(tmp_path / "run", RECIPE) as folder:
        yield folder


def test_create_then_open_finds_recipe_and_records(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "deep" / "run", RECIPE) as run:
        run.log("metrics", {"stage": "rl", "step": 1, "loss": 0.1 + 0.2})
        run.write_json("summary.json", {"accuracy": 0.75})
    with RunFolder.open(tmp_path / "deep" / "run") as run:
        assert run.recipe_text == RECIPE
        assert run.read_lines("metrics") == [{"stage": "rl", "step": 1, "loss": 0.1 + 0.2}]
        assert run.read_lines("episodes") == []
        assert run.read_json("summary.json") == {"accuracy": 0.75}


@given(st.dictionaries(st.text(st.characters()), json_values, max_size=4))
def test_any_record_is_one_line_and_round_trips(record: dict[str, Any]) -> None:
    line = encode_json(record, "metrics.jsonl")
    assert json.loads(line) == record
    assert list(json.loads(line)) == list(record)  # the order too
    assert b"\n" not in line
    assert json.loads(encode_json(record, "summary.json", indent=2)) == record


def test_a_line_is_on_disk_when_log_returns_and_readable_as_text(run: RunFolder) -> None:
    run.log("episodes", {"text": "发热 é"})
    assert run.log_path("episodes").read_bytes() == '{"text":"发热 é"}\n'.encode()


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"step": 1, "loss": float("nan")}, "loss = nan"),
        ({"reward": {"terms": [0.0, float("inf")]}}, "reward.terms[1] = inf"),
        ({"a": (1.0, {"b": float("-inf")})}, "a[1].b = -inf"),
        ({"table": {float("nan"): 1}}, "a key is not"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_name(
    run: RunFolder, record: dict[str, Any], where: str
) -> None:
    run.write_json("summary.json", {"old": 1})
    with pytest.raises(RunError) as caught:
        run.log("metrics", record)
    assert "metrics.jsonl" in caught.value.message
    assert where in caught.value.message
    with pytest.raises(RunError, match=r"summary\.json"):
        run.write_json("summary.json", record)
    assert run.read_lines("metrics") == []
    assert run.read_json("summary.json") == {"old": 1}


def test_half_a_last_line_is_ignored_when_reading_and_cut_when_opening(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder.create(path, RECIPE) as run:
        run.log("metrics", {"step": 1})
    log = path / "metrics.jsonl"
    for half in (b'{"step"', b'{"step":2}', b"\0" * 5, b'{"text":"' + b"x" * 200_000):
        log.write_bytes(b'{"step":1}\n' + half)
        assert RunFolder.view(path).read_lines("metrics") == [{"step": 1}]
        assert log.read_bytes().endswith(half)  # viewing changes nothing
        with RunFolder.open(path) as run:
            run.log("metrics", {"step": 2})
            assert run.read_lines("metrics") == [{"step": 1}, {"step": 2}]
    log.write_bytes(b"x" * 70_000)
    with RunFolder.open(path) as run:
        assert log.read_bytes() == b""


def test_a_broken_line_in_the_middle_is_named(run: RunFolder) -> None:
    run.log_path("metrics").write_bytes(b'{"step":1}\n{"ste\n{"step":3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl line 2"):
        run.read_lines("metrics")


def test_rewind_cuts_every_log_to_the_recorded_byte(run: RunFolder) -> None:
    for name in LOGS:
        run.log(name, {"step": 1})
    lengths = run.sync_logs()
    for name in LOGS:
        run.log(name, {"step": 2})
    run.rewind(lengths)
    assert [run.read_lines(name) for name in LOGS] == [[{"step": 1}]] * 3
    run.log("metrics", {"step": 2, "again": True})
    assert run.read_lines("metrics") == [{"step": 1}, {"step": 2, "again": True}]
    run.rewind({})
    assert run.sync_logs() == {"metrics": 0, "timings": 0, "episodes": 0}


def test_rewind_refuses_a_log_with_missing_lines_and_cuts_nothing(run: RunFolder) -> None:
    run.log("metrics", {"step": 1})
    run.log("timings", {"step": 1})
    with pytest.raises(RunError, match=r"timings\.jsonl has 11 bytes, but had 12"):
        run.rewind({"metrics": 0, "timings": 12})
    assert run.read_lines("metrics") == [{"step": 1}]


def test_evaluations_are_kept_by_moment(run: RunFolder) -> None:
    run.record_evaluation("before", {"accuracy": 0.25})
    run.record_evaluation("after", {"accuracy": 0.5})
    run.record_evaluation("after", {"accuracy": 0.75})
    expected = {"before": {"accuracy": 0.25}, "after": {"accuracy": 0.75}}
    assert json.loads((run.path / "evaluations.json").read_text()) == expected


def test_read_json_explains_a_missing_and_a_broken_file(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"summary\.json does not exist"):
        run.read_json("summary.json")
    (run.path / "summary.json").write_text('{"a":')
    with pytest.raises(RunError, match=r"cannot read .*summary\.json"):
        run.read_json("summary.json")


def test_new_folder_appears_only_when_complete_and_replaces_the_old(run: RunFolder) -> None:
    model = run.path / "model"
    with run.new_folder("model") as building:
        (building / "config.json").write_text("1")
        (building / "deep").mkdir()
        (building / "deep" / "file").write_text("2")
        assert not model.exists()
    with pytest.raises(RuntimeError, match="stop"), run.new_folder("model") as building:
        (building / "config.json").write_text("half")
        raise RuntimeError("stop")
    assert (model / "config.json").read_text() == "1"
    with run.new_folder("model") as building:
        (building / "config.json").write_text("new")
        assert (model / "config.json").read_text() == "1"
    assert [entry.name for entry in model.iterdir()] == ["config.json"]
    assert not [entry.name for entry in run.path.iterdir() if entry.name.startswith((".p", ".a"))]


def test_open_brings_back_a_folder_that_was_being_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run"
    RunFolder.create(path, RECIPE).close()
    (path / ".aside-model").mkdir()
    (path / ".aside-model" / "config.json").write_text("old")
    (path / ".partial-model").mkdir()
    (path / ".partial-summary.json").write_text("{")
    RunFolder.open(path).close()
    assert (path / "model" / "config.json").read_text() == "old"
    (path / ".aside-model").mkdir()
    RunFolder.open(path).close()
    assert (path / "model" / "config.json").read_text() == "old"
    assert sorted(entry.name for entry in path.iterdir() if entry.name[0] == ".") == [".lock"]


def test_a_folder_with_a_run_is_not_created_again(run: RunFolder) -> None:
    with pytest.raises(RunError, match="already contains a run") as caught:
        RunFolder.create(run.path, "other: recipe\n")
    assert "--resume" in caught.value.fix
    assert run.recipe_text == RECIPE


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"not empty: it contains 'thesis\.tex'"):
        RunFolder.create(tmp_path, RECIPE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_create_that_was_killed_before_its_recipe_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / ".partial-recipe.yaml").write_text("na")
    with RunFolder.create(tmp_path, RECIPE) as run:
        assert run.recipe_text == RECIPE


@pytest.mark.parametrize("open_", [RunFolder.open, RunFolder.view])
def test_a_folder_without_a_run_cannot_be_opened(tmp_path: Path, open_: Any) -> None:
    with pytest.raises(RunError, match="holds no run"):
        open_(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_viewing_needs_no_lock_and_cannot_write(run: RunFolder) -> None:
    run.log("metrics", {"step": 1})
    view = RunFolder.view(run.path)
    assert view.read_lines("metrics") == [{"step": 1}]
    with pytest.raises(ValueError, match="reading only"):
        view.log("metrics", {"step": 2})
    with pytest.raises(ValueError, match="reading only"):
        view.write_json("summary.json", {})
    run.log_path("metrics").unlink()
    assert view.read_lines("metrics") == []


def test_closing_twice_is_harmless_and_ends_writing(run: RunFolder) -> None:
    run.close()
    run.close()
    with pytest.raises(ValueError, match="closed"):
        run.log("metrics", {})
    RunFolder.open(run.path).close()


@pytest.mark.parametrize(
    ("finished", "message"), [(False, "in use by another process"), (True, "already contains")]
)
def test_the_slower_of_two_creates_leaves_the_quicker_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool, message: str
) -> None:
    """It saw an empty folder, and meets the other's lock or recipe only afterwards."""
    quicker: list[RunFolder] = []

    def be_slow(path: Path) -> int:
        monkeypatch.undo()
        quicker.append(RunFolder.create(path, RECIPE))
        if finished:
            quicker[0].close()
        return lock_folder(path)

    monkeypatch.setattr("medrl.run.folder.lock_folder", be_slow)
    with pytest.raises(RunError, match=message):
        RunFolder.create(tmp_path / "run", "slower: true\n")
    assert RunFolder.view(tmp_path / "run").recipe_text == RECIPE
    quicker[0].close()


def test_the_lock_holds_against_another_process_and_dies_with_it(
    tmp_path: Path, fork: Callable[[Callable[[], None]], int]
) -> None:
    path = tmp_path / "run"
    RunFolder.create(path, RECIPE).close()
    ready, tell = os.pipe()

    def hold() -> None:
        with RunFolder.open(path):
            os.write(tell, b"locked")
            time.sleep(60)

    other = fork(hold)
    assert os.read(ready, 6) == b"locked"
    with pytest.raises(RunError, match=rf"in use by another process \(number {other}\)"):
        RunFolder.open(path)
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    assert (path / ".lock").read_text() == str(other)  # a stale lock of a dead process
    with RunFolder.open(path):
        assert (path / ".lock").read_text() == str(os.getpid())


def test_a_run_is_deleted_but_nothing_else_and_not_while_it_is_written(tmp_path: Path) -> None:
    RunFolder.delete(tmp_path / "nothing")
    with RunFolder.create(tmp_path / "run", RECIPE):
        with pytest.raises(RunError, match="in use"):
            RunFolder.delete(tmp_path / "run")
        assert (tmp_path / "run" / "recipe.yaml").exists()
    RunFolder.delete(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "thesis").mkdir()
    with pytest.raises(RunError, match="is not a run"):
        RunFolder.delete(tmp_path / "thesis")
    assert (tmp_path / "thesis").exists()
