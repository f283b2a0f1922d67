"""The run folder on a bad disk: full, forbidden, or not there. Real refusals wherever possible."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from medrl.errors import RunError
from medrl.run import RunFolder, newest_valid_checkpoint, resume, save_checkpoint
from medrl.run.disk import write_error

RECIPE = "name: med-rlvr\n"
SMALL = {"model": {"weight": torch.arange(4.0)}}
LARGE = {"model": {"weight": torch.zeros(50_000)}}  # 200 kB

needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="this system has no /dev/full to stand in for a full disk",
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path / "run", RECIPE) as folder:
        folder.log("metrics", {"step": 1})
        save_checkpoint(folder, 1, SMALL, {}, keep=1)
        yield folder


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond ``size`` bytes: a real refusal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Permissions do not stop root, so root steps down to ``nobody`` for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def names(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


def assert_full_and_intact(error: RunError) -> None:
    assert "no room to write" in error.message
    assert "bytes free" in error.message
    assert "the last checkpoint (step-000001) is intact" in error.message
    assert "--resume" in error.fix


def test_a_full_disk_leaves_no_trace_of_a_checkpoint(run: RunFolder) -> None:
    before = names(run.path)
    with room_for(10_000), pytest.raises(RunError) as caught:
        save_checkpoint(run, 2, LARGE, {}, keep=1)
    assert_full_and_intact(caught.value)
    assert "File too large" in caught.value.message
    assert names(run.path) == before
    found = newest_valid_checkpoint(run)
    assert found is not None
    assert torch.equal(found.load()[0]["model"]["weight"], torch.arange(4.0))
    save_checkpoint(run, 2, LARGE, {}, keep=1)  # room again


@pytest.mark.parametrize("step", [1, 2])
def test_a_disk_that_fills_up_with_the_state_file(run: RunFolder, step: int) -> None:
    before = names(run.path)
    with room_for(2_000), pytest.raises(RunError) as caught:
        save_checkpoint(run, step, SMALL, {"queue": list(range(10_000))}, keep=1)
    assert_full_and_intact(caught.value)
    assert names(run.path) == before


def test_a_line_that_does_not_fit_is_taken_back_whole(run: RunFolder) -> None:
    with room_for(100):
        with pytest.raises(RunError) as caught:
            run.log("metrics", {"step": 2, "text": "x" * 200})
        assert run.log_path("metrics").read_bytes() == b'{"step":1}\n'
        run.log("metrics", {"step": 3})  # a shorter one still fits
    assert_full_and_intact(caught.value)
    assert run.read_lines("metrics") == [{"step": 1}, {"step": 3}]


def test_a_json_file_that_does_not_fit_leaves_the_old_one(run: RunFolder) -> None:
    run.write_json("summary.json", {"old": True})
    before = names(run.path)
    with room_for(100), pytest.raises(RunError) as caught:
        run.write_json("summary.json", {"new": "x" * 200})
    assert_full_and_intact(caught.value)
    assert run.read_json("summary.json") == {"old": True}
    assert names(run.path) == before


def test_a_model_that_does_not_fit_leaves_the_old_one(run: RunFolder) -> None:
    with run.new_folder("model") as building:
        (building / "config.json").write_text("old")
    before = names(run.path)
    with room_for(100), pytest.raises(RunError), run.new_folder("model") as building:
        (building / "config.json").write_text("x" * 200)
    assert (run.path / "model" / "config.json").read_text() == "old"
    assert names(run.path) == before


@needs_dev_full
def test_a_log_on_a_device_that_is_always_full(run: RunFolder) -> None:
    run.close()
    run.log_path("timings").unlink()
    run.log_path("timings").symlink_to("/dev/full")
    with RunFolder.open(run.path) as again, pytest.raises(RunError) as caught:
        again.log("timings", {"seconds": 1.0})
    assert_full_and_intact(caught.value)
    assert "No space left on device" in caught.value.message


def test_a_full_disk_before_any_checkpoint_promises_none(tmp_path: Path) -> None:
    with room_for(1000), pytest.raises(RunError) as caught:
        RunFolder.create(tmp_path / "run", "x" * 2000)
    assert "no room to write" in caught.value.message
    assert "intact" not in caught.value.message
    with RunFolder.create(tmp_path / "run", RECIPE) as run:
        assert run.recipe_text == RECIPE


@pytest.mark.parametrize("call", ["fsync", "rename", "replace", "mkdir"])
def test_no_space_at_any_other_call_is_told_and_undone(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Delayed allocation reports a full disk late: on flush, or for a folder's own blocks."""
    before = names(run.path)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(RunError) as caught:
            if call == "replace":
                run.write_json("summary.json", {})
            else:
                save_checkpoint(run, 2, SMALL, {}, keep=1)
    assert_full_and_intact(caught.value)
    assert names(run.path) == before
    checkpoint = resume(run)
    assert checkpoint is not None
    assert checkpoint.step == 1


def test_a_failure_between_the_two_renames_brings_the_old_checkpoint_back(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(run.path)
    rename = os.rename

    def second_fails(source: Path, target: Path) -> None:
        if source.name == ".partial-step-000001":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(RunError, match="Input/output error"):
        save_checkpoint(run, 1, LARGE, {}, keep=1)
    assert names(run.path) == before
    found = newest_valid_checkpoint(run)
    assert found is not None
    assert torch.equal(found.load()[0]["model"]["weight"], torch.arange(4.0))


def test_writing_goes_on_where_the_system_stopped_early(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    run.log("metrics", {"step": 2, "text": "longer than three bytes"})
    monkeypatch.undo()
    assert run.read_lines("metrics")[1] == {"step": 2, "text": "longer than three bytes"}


def test_no_run_can_be_made_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "run", tmp_path / "file", Path("/proc/medrl-run")):
        with pytest.raises(RunError, match="cannot write") as caught:
            RunFolder.create(path, RECIPE)
        assert str(path) in caught.value.message
        assert "choose a folder" in caught.value.fix


def test_a_read_only_folder_is_told_as_such() -> None:
    with TemporaryDirectory() as base:
        path = Path(base, "run")
        with RunFolder.create(path, RECIPE) as run:
            run.log("metrics", {"step": 1})
        for folder in (Path(base), path):
            folder.chmod(0o555)
        (path / ".lock").chmod(0o444)
        with as_ordinary_user():
            with pytest.raises(RunError, match=r"cannot write .*Permission denied"):
                RunFolder.open(path)
            with pytest.raises(RunError, match=r"cannot write .*Permission denied"):
                RunFolder.create(Path(base, "other"), RECIPE)
            assert RunFolder.view(path).read_lines("metrics") == [{"step": 1}]
        (path / "summary.json").write_text("{}")
        (path / "summary.json").chmod(0)
        with as_ordinary_user(), pytest.raises(RunError, match=r"cannot read .*summary\.json"):
            RunFolder.view(path).read_json("summary.json")
        path.chmod(0o000)
        with as_ordinary_user():
            with pytest.raises(RunError, match="Permission denied"):
                RunFolder.view(path)
            with pytest.raises(RunError, match="Permission denied"):
                RunFolder.create(path, RECIPE)
        for folder in (Path(base), path):
            folder.chmod(0o755)


def test_an_open_that_fails_gives_the_lock_back(run: RunFolder) -> None:
    run.close()
    run.checkpoints.rename(run.path / "moved")
    run.checkpoints.write_text("a file where the folder should be")
    for _ in range(2):
        with pytest.raises(RunError, match=r"cannot write .*: File exists"):
            RunFolder.open(run.path)
    run.checkpoints.unlink()
    (run.path / "moved").rename(run.checkpoints)
    RunFolder.open(run.path).close()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RunError, match=r"cannot write .*\.lock: No locks available"):
        RunFolder.create(tmp_path / "run", RECIPE)


def test_free_bytes_are_those_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    error = write_error(OSError(errno.ENOSPC, "full"), tmp_path / "not" / "there")
    free = int(error.message.split("(")[1].split(" bytes free")[0])
    disk = os.statvfs(tmp_path)
    assert free == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)
