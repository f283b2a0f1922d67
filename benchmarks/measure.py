"""What the benchmarks measure with: clocks, peak memory, the matrix rate, spreads, result files."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from medrl.run import describe_machine
from medrl.run.hardware import peak_memory_bytes


def wait(device: torch.device) -> None:
    """Until the device has done all it was given: without this a GPU's time is not seen."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Clock:
    """Seconds spent in named parts, one number per repetition.

    Args:
        computing: count what this process computes, on all its threads, and not what it waits for
            others that use the machine.

    Attributes:
        now: seconds since some time.
        seconds: of each part, in order of repetition.
    """

    def __init__(self, device: torch.device, computing: bool = False) -> None:
        self.device = device
        self.now = time.process_time if computing else time.perf_counter
        self.seconds: dict[str, list[float]] = {}
        # Everything loaded so far is here to stay; looking through it each time would take longer
        # than what is measured.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside. What others left for the garbage collector is collected
        first, so that no side pays for another."""
        started = self.start()
        yield
        wait(self.device)
        self.book(name, self.now() - started)

    def start(self) -> float:
        """The time now, with nothing left to be done."""
        gc.collect()
        wait(self.device)
        return self.now()

    def book(self, name: str, seconds: float) -> None:
        """Add what was timed elsewhere."""
        self.seconds.setdefault(name, []).append(seconds)


def matrix_rate(device: torch.device, size: int, seconds: float = 2.0) -> float:
    """FLOP/s of a square matrix product in the dtype that training uses on this device."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(size, size, device=device, dtype=dtype)
    for _ in range(3):
        a @ a
    wait(device)
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            a @ a
        wait(device)
        products += 10
    return 2 * size**3 * products / (time.perf_counter() - started)


class PeakMemory:
    """Most memory used since it was made, above what was in use then: bytes of the GPU if there
    is one, else of resident RAM.

    RAM is the whole process's, so a side is measured in a process of its own.
    """

    def __init__(self, device: torch.device) -> None:
        gc.collect()
        self.before: int
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return
        self.before = _resident_bytes()
        try:  # Linux forgets the peak so far, such as that of loading
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self.before = peak_memory_bytes()

    def above(self) -> int:
        """Bytes; 0 if nothing more was ever needed."""
        return max(0, peak_memory_bytes() - self.before)


def _resident_bytes() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return peak_memory_bytes()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


Spread = dict[str, float]


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Spread of the ratios of neighbours in time, which the machine's mood changes least."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def shown(values: Spread, digits: int = 2) -> str:
    """A spread as ``median (lowest to highest)``."""
    low, middle, high = (f"{values[k]:.{digits}f}" for k in ("lowest", "median", "highest"))
    return f"{middle} ({low} to {high})"


def about_this_run(script: str, *packages: str) -> dict[str, Any]:
    """Command, machine and the versions of further packages."""
    return {
        "command": " ".join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": {name: version(name) for name in packages},
    }


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def write_results(out: Path, result: Mapping[str, Any], title: str, *parts: str) -> None:
    """``OUT.json``, and ``OUT.md`` with the parts under a heading and the facts of the run."""
    about, machine = result["about"], result["about"]["machine"]
    gpus = ", ".join(gpu["name"] for gpu in machine["gpus"])
    facts = [
        f"Command: `{about['command']}`",
        f"Machine: {gpus or machine['cpu']}, {machine['cores']} cores, "
        f"{machine['torch_threads']} threads",
        "Versions: "
        + ", ".join(
            f"{name} {number}"
            for name, number in (
                {k: machine[k] for k in ("medrl", "torch", "transformers", "python")}
                | about["versions"]
            ).items()
        )
        + f"; commit `{machine['git_commit']}`",
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    text = "\n\n".join([f"# {title}", "\n".join(f"- {fact}" for fact in facts), *parts])
    out.with_suffix(".md").write_text(text.rstrip() + "\n", encoding="utf-8")
