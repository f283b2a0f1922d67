"""What the run ran on, and how much memory it took."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import medrl

PACKAGE = Path(medrl.__file__).resolve().parent


def describe_machine() -> dict[str, Any]:
    """The machine and the software, as JSON values; what cannot be found out is ``None``.

    Keys: ``cpu``, ``cores`` (usable by this process), ``ram_bytes``, ``torch_threads``, ``gpus``
    (list of ``{"name", "memory_bytes"}``), ``system``, ``python``, ``torch``, ``transformers``,
    ``medrl``, ``git_commit`` (ends in ``-dirty`` if files differ from it).
    """
    return {
        "cpu": _cpu_model(),
        "cores": _usable_cores(),
        "ram_bytes": memory_bytes("cpu"),
        "torch_threads": torch.get_num_threads(),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": _version("transformers"),
        "medrl": medrl.__version__,
        "git_commit": git_commit(PACKAGE),
    }


def memory_bytes(device: str) -> int:
    """All the memory of the GPU (``cuda``) or of the machine (``cpu``)."""
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """The most memory this process has used: on the GPU if it uses one, else in RAM.

    On Linux the RAM figure is ``VmHWM``. ``ru_maxrss`` starts at the peak of the process that
    launched this one, so that a small run started from a big program would be overstated.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    own = _field(Path("/proc/self/status"), "VmHWM")
    if own is not None:
        return int(own.split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others KiB


def git_commit(package: Path) -> str | None:
    """The commit ``package`` is checked out at; ``None`` if it is not in a checkout of its own.

    A package installed inside some other project's checkout must not report that project's
    commit, so the folder has to be tracked by the repository it lies in.
    """
    if not _git(package, "ls-files", "--error-unmatch", "."):
        return None
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str | None:
    return _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or None


def _usable_cores() -> int | None:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpus() -> list[dict[str, Any]]:
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [{"name": gpu.name, "memory_bytes": gpu.total_memory} for gpu in found]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _field(path: Path, name: str) -> str | None:
    """The value after the first ``name :`` in one of Linux's text tables."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)
