"""The description of the machine, checked against other sources of the same facts."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

import medrl
from medrl.run import describe_machine, hardware, peak_memory_bytes
from medrl.run.hardware import git_commit

MB = 1 << 20


def test_the_description_is_json_and_agrees_with_other_sources() -> None:
    machine = describe_machine()
    assert json.loads(json.dumps(machine, allow_nan=False)) == machine
    assert machine["torch"] == torch.__version__
    assert machine["medrl"] == medrl.__version__
    assert machine["transformers"] == transformers.__version__
    assert machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert machine["torch_threads"] == torch.get_num_threads()
    assert machine["cores"] >= 1
    assert len(machine["gpus"]) == torch.cuda.device_count()
    memory = Path("/proc/meminfo")
    if memory.exists():
        total = int(memory.read_text().split()[1]) * 1024
        assert machine["ram_bytes"] == pytest.approx(total, rel=0.01)


def test_gpus_are_listed_by_name_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(name="Accelerator", total_memory=5 * MB)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    assert describe_machine()["gpus"] == [{"name": "Accelerator", "memory_bytes": 5 * MB}] * 2


def test_what_cannot_be_found_out_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "_field", lambda path, name: None)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(hardware, "PACKAGE", tmp_path)
    machine = describe_machine()
    assert machine["cpu"] is None
    assert machine["git_commit"] is None
    assert machine["cores"] >= 1
    assert hardware._version("no-such-package-anywhere") is None


def test_a_field_is_found_by_its_whole_name(tmp_path: Path) -> None:
    table = tmp_path / "status"
    table.write_text("VmHWMx:\t1 kB\nVmHWM:\t 20 kB\nVmHWM:\t30 kB\n")
    assert hardware._field(table, "VmHWM") == "20 kB"
    assert hardware._field(table, "VmRSS") is None
    assert hardware._field(tmp_path / "missing", "VmHWM") is None


def test_the_peak_counts_memory_already_given_back(
    fork: Callable[[Callable[[], None]], int],
) -> None:
    """In a child, whose peak on Linux starts at what it holds when it is born."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells a process its peak in /proc/self/status")

    def grow() -> None:
        before = peak_memory_bytes()
        block = bytearray(b"x") * (100 * MB)
        del block
        assert 90 * MB < peak_memory_bytes() - before < 120 * MB

    assert os.waitpid(fork(grow), 0)[1] == 0


@pytest.mark.parametrize(("system", "unit"), [("darwin", 1), ("freebsd", 1024)])
def test_without_proc_the_peak_comes_from_getrusage(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    monkeypatch.setattr(hardware, "_field", lambda path, name: None)
    monkeypatch.setattr(sys, "platform", system)
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert peak_memory_bytes() == pytest.approx(expected, rel=0.01)


def test_with_a_gpu_in_use_the_peak_is_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 123)
    assert peak_memory_bytes() == 123


@pytest.mark.skipif(
    shutil.which("git") is None, reason="git is not installed, so there is no commit to find"
)
def test_the_commit_is_that_of_the_package_and_says_if_files_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package, installed = tmp_path / "medrl", tmp_path / "site-packages" / "medrl"
    for folder in (package, installed):
        folder.mkdir(parents=True)
        (folder / "errors.py").write_text("old")
    assert git_commit(package) is None
    git("init", "-q")
    git("add", "medrl")
    git("commit", "-q", "-m", "first")
    assert git_commit(package) == git("rev-parse", "HEAD")
    (package / "errors.py").write_text("new")
    assert git_commit(package) == git("rev-parse", "HEAD") + "-dirty"
    assert git_commit(installed) is None  # lies in the checkout, but is not part of it


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None
