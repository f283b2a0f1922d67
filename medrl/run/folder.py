"""The run folder: one training run's recipe, logs, results and checkpoints.

::

    recipe.yaml        the resolved recipe
    inputs.json        fingerprints of the model and the cases it began with
    metrics.jsonl      one line per step, only what is bit-identical after a resume
    timings.jsonl      seconds, tokens per second and memory per step
    episodes.jsonl     sampled episodes to browse
    pictures/          small copies of the pictures they were about
    audit-NAME.jsonl   what auditors decided about the open questions of a stage
    evaluations.json   results by moment: before, after, or the name of a stage
    summary.json       written last
    checkpoints/step-000010/
    model/             the final model
    report.html
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from safetensors import SafetensorError

from medrl.errors import RunError
from medrl.run.disk import (
    ASIDE,
    PARTIAL,
    clean_leftovers,
    encode_json,
    replace_file,
    replace_folder,
    sync,
    write_all,
    write_error,
)
from medrl.run.lock import LOCK, lock_folder

Log = Literal["metrics", "timings", "episodes"]
LOGS: tuple[Log, ...] = get_args(Log)

RECIPE = "recipe.yaml"
_BLOCK = 1 << 16
_STEP = re.compile(r"step-(\d{6,})")


class RunFolder:
    """One run on disk. Made by ``create``, ``open`` or ``view``, never directly.

    ``create`` and ``open`` take the run's lock, so that no second process can write to it, until
    ``close`` (or the end of a ``with`` block). The kernel drops the lock of a process that dies.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock
        self._logs: dict[str, int] = {}

    @classmethod
    def create(cls, path: Path | str, recipe_text: str) -> Self:
        """Start a run in a new or empty folder and write its recipe.

        Raises:
            RunError: the folder holds a run or other files, is in use, or cannot be written.
        """
        path = Path(path)
        _refuse_occupied(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, path) from error
        run = cls(path, lock_folder(path))
        try:
            _refuse_occupied(path)  # again: another process may have been quicker to the lock
            run._prepare()
            run.write_text(RECIPE, recipe_text)
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Take over an existing run for writing, and clear away what a crash left half-done.

        Raises:
            RunError: there is no run here, it is in use, or it cannot be written.
        """
        path = _existing(path)
        run = cls(path, lock_folder(path))
        try:
            run._prepare()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def view(cls, path: Path | str) -> Self:
        """An existing run for reading only: no lock, nothing changed, it may be in progress.

        Raises:
            RunError: there is no run here.
        """
        return cls(_existing(path), None)

    @classmethod
    def delete(cls, path: Path | str) -> None:
        """Delete a run and its folder; nothing there is fine too.

        Raises:
            RunError: the folder holds something else than a run, the run is in use, or the disk
                refuses.
        """
        path = Path(path)
        if not path.exists():
            return
        if not (path / RECIPE).is_file():
            raise RunError(f"{path} is not a run and is not deleted", "choose another folder")
        lock = lock_folder(path)  # held throughout: nobody else may start to write to it
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise write_error(error, path) from error
        finally:
            os.close(lock)

    def _prepare(self) -> None:
        with self.writing(self.path):
            self.checkpoints.mkdir(exist_ok=True)
            clean_leftovers(self.path)
            clean_leftovers(self.checkpoints)
            for name in LOGS:
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
                self._logs[name] = os.open(self.log_path(name), flags, 0o666)
                # A line glued to half of another one would make both unreadable.
                _cut(self._logs[name], _end_of_last_line(self._logs[name]))

    def close(self) -> None:
        """Give up the lock. Calling it twice does no harm; writing afterwards is refused."""
        for descriptor in self._logs.values():
            os.close(descriptor)
        self._logs.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def checkpoints(self) -> Path:
        """The folder the checkpoints are in."""
        return self.path / "checkpoints"

    def log_path(self, name: Log) -> Path:
        """Where a log is."""
        return self.path / f"{name}.jsonl"

    def checkpoint_paths(self) -> dict[int, Path]:
        """The checkpoints on disk by step, oldest first, sound or damaged."""
        if not self.checkpoints.is_dir():
            return {}
        names = ((entry, _STEP.fullmatch(entry.name)) for entry in self.checkpoints.iterdir())
        return dict(sorted((int(found[1]), entry) for entry, found in names if found))

    @property
    def recipe_text(self) -> str:
        """The resolved recipe, as given to ``create``."""
        return (self.path / RECIPE).read_text(encoding="utf-8")

    @contextmanager
    def writing(self, target: Path) -> Iterator[None]:
        """Turn whatever the disk refuses while ``target`` is written into a ``RunError``."""
        if self._lock is None:
            raise ValueError(f"{self.path} is open for reading only, or closed")
        try:
            yield
        except (OSError, SafetensorError) as error:
            last = next(reversed(self.checkpoint_paths().values()), None)
            survivor = f"the last checkpoint ({last.name})" if last else ""
            raise write_error(error, target, survivor) from error

    def log(self, name: Log, record: Mapping[str, Any]) -> None:
        """Append one line to a log. It survives the death of this process once this returns.

        Raises:
            RunError: a number is not finite, or the disk refuses; the log is then as before.
        """
        line = encode_json(record, f"{name}.jsonl") + b"\n"
        with self.writing(self.log_path(name)):
            descriptor = self._logs[name]
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, line)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise

    def read_lines(self, name: Log) -> list[dict[str, Any]]:
        """The records of a log, oldest first; none if it was never written.

        A last line without its end is still being written, or never will be, and is left out.

        Raises:
            RunError: a complete line is not JSON; names the line.
        """
        path = self.log_path(name)
        if not path.exists():
            return []
        records: list[dict[str, Any]] = []
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    records.append(json.loads(line))
                except ValueError as error:
                    raise RunError(
                        f"{path} line {number} is not JSON: {error}",
                        "the file was changed from outside; restore it or start a new run",
                    ) from error
        return records

    def sync_logs(self) -> dict[str, int]:
        """Force the logs to disk; their lengths in bytes, for ``rewind``."""
        with self.writing(self.path):
            for descriptor in self._logs.values():
                os.fsync(descriptor)
            sync(self.path)
            return {name: os.fstat(self._logs[name]).st_size for name in LOGS}

    def rewind(self, lengths: Mapping[str, int]) -> None:
        """Cut the logs back to the lengths that ``sync_logs`` gave; a log not named is emptied.

        Raises:
            RunError: a log is shorter than that, so lines are missing; nothing is cut then.
        """
        for name in LOGS:
            size = os.fstat(self._logs[name]).st_size
            if size < lengths.get(name, 0):
                raise RunError(
                    f"{self.log_path(name)} has {size} bytes, but had {lengths[name]} at the "
                    "checkpoint: lines are missing",
                    "restore the file from a copy, or start a new run in another folder",
                )
        with self.writing(self.path):
            for name in LOGS:
                _cut(self._logs[name], lengths.get(name, 0))

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run in one step, e.g. ``report.html``. Raises ``RunError``."""
        with self.writing(self.path / name):
            replace_file(self.path / name, text.encode("utf-8"))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run in one step, e.g. ``summary.json``.

        Raises:
            RunError: a number is not finite, or the disk refuses; the old file is then untouched.
        """
        data = encode_json(value, name, indent=2)
        with self.writing(self.path / name):
            replace_file(self.path / name, data + b"\n")

    def read_json(self, name: str) -> Any:
        """A JSON file of the run. Raises ``RunError`` if it is missing or not JSON."""
        path = self.path / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{path} does not exist", "let the run finish first") from error
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}", "restore it from a copy") from error

    def record_evaluation(self, moment: str, result: Mapping[str, Any]) -> None:
        """Add a result to ``evaluations.json`` under ``moment``; one of that name is replaced."""
        name = "evaluations.json"
        known = self.read_json(name) if (self.path / name).exists() else {}
        self.write_json(name, {**known, moment: result})

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """Yield an empty folder to fill; it becomes ``name`` (e.g. ``model``) once complete.

        Raises:
            RunError: the disk refuses; a folder already called ``name`` is then untouched.
        """
        with self.writing(self.path / name), replace_folder(self.path / name) as partial:
            yield partial


def _existing(path: Path | str) -> Path:
    path = Path(path)
    try:
        found = (path / RECIPE).is_file()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}", "check its permissions") from error
    if not found:
        raise RunError(
            f"{path} holds no run: there is no {RECIPE}", "name the folder of a run, or start one"
        )
    return path


def _refuse_occupied(path: Path) -> None:
    """A new run neither mixes with an old one nor spreads into somebody's folder."""
    try:
        names = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise write_error(error, path) from error
    if RECIPE in names:
        raise RunError(f"{path} already contains a run", "use --resume, or choose another path")
    ours = {LOCK, "checkpoints", *(f"{name}.jsonl" for name in LOGS)}  # a create that was killed
    foreign = sorted(n for n in names if n not in ours and not n.startswith((PARTIAL, ASIDE)))
    if foreign:
        raise RunError(
            f"{path} is not empty: it contains {foreign[0]!r}", "choose a new folder for the run"
        )


def _end_of_last_line(descriptor: int) -> int:
    """Offset just after the last newline; 0 without one."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _cut(descriptor: int, length: int) -> None:
    if os.fstat(descriptor).st_size > length:
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
