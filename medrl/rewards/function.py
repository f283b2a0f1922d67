"""Reward functions written for TRL, as they are."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from medrl.errors import MedrlError, RecipeError, RewardError
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

RewardFunction = Callable[..., Any]
"""``f(prompts, completions, **columns)`` gives one number or ``None`` per completion; it may be a
coroutine function."""


def find_function(place: str) -> RewardFunction:
    """The function at ``package.module:name`` or ``path/to/file.py:name``.

    Raises:
        RecipeError: no such module, file or function; or importing it failed.
    """
    source, _, name = place.rpartition(":")
    try:
        module = _from_file(Path(source)) if source.endswith(".py") else _from_package(source)
    except Exception as error:
        raise RecipeError(
            f"function {place!r} cannot be loaded: {_line_of(error)}",
            "write package.module:name or path/to/file.py:name, and mend what the line says",
        ) from error
    found: RewardFunction | None = getattr(module, name, None)
    if found is None or not callable(found):
        raise RecipeError(f"function {place!r}: there is no function {name!r}", "define it there")
    return found


def _from_package(source: str) -> Any:
    if not source:
        raise ModuleNotFoundError("it names no module")
    return importlib.import_module(source)


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    name = f"medrl_reward_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _line_of(error: Exception) -> str:
    """What went wrong, and the line it went wrong in."""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


class Function:
    """What a reward function says.

    Attributes:
        renamed: columns under the names the function wants.
        conversational: prompts and completions as chats of one message.
    """

    def __init__(
        self,
        place: str,
        low: float,
        high: float,
        renamed: Mapping[str, str],
        conversational: bool,
    ) -> None:
        self.place, self.low, self.high = place, low, high
        self.renamed, self.conversational = renamed, conversational
        self._function = find_function(place)
        parameters = inspect.signature(self._function).parameters.values()
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        self._takes = {p.name for p in named}
        self._needs = [p.name for p in named if p.default is p.empty]

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`.

        If the function raises, it is asked again about one group at a time, so that an answer it
        cannot bear costs no more than its group.

        Raises:
            RewardError: what it gives are not numbers of the declared range, one per answer.
            RecipeError: it needs a column that there is not.
        """
        try:
            return self._ask(answers)
        except MedrlError:
            raise
        except Exception:
            groups = [list(group) for _, group in groupby(answers, key=lambda a: a.group)]
            return [score for group in groups for score in self._ask_group(group)]

    def _ask_group(self, answers: Sequence[Answer]) -> list[Score]:
        try:
            return self._ask(answers)
        except MedrlError:
            raise
        except Exception as error:
            return [Score(None, _line_of(error))] * len(answers)

    def _ask(self, answers: Sequence[Answer]) -> list[Score]:
        columns = self._columns(answers)
        given = self._function(**columns)
        if inspect.iscoroutine(given):
            given = asyncio.run(given)
        values = list(given)
        if len(values) != len(answers):
            raise self._fault(f"gave {len(values)} values for {len(answers)} completions")
        return [self._score(value) for value in values]

    def _columns(self, answers: Sequence[Answer]) -> dict[str, list[Any]]:
        """What the function is given."""
        columns = columns_of(answers, self.conversational)
        wanted = [self.renamed.get(name, name) for name in self._needs] + [*self.renamed.values()]
        if missing := [name for name in wanted if name not in columns]:
            raise RecipeError(
                f"function {self.place} needs a column {missing[0]!r}, which there is not; there "
                f"are {', '.join(columns)}",
                f"give it one of these: columns: {{{missing[0]}: answer}}",
            )
        columns |= {name: columns[ours] for name, ours in self.renamed.items()}
        return {k: v for k, v in columns.items() if self._takes_all or k in self._takes}

    def _score(self, value: Any) -> Score:
        if value is None:
            return Score(None, f"function {self.place} gave no score")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self._fault(f"gave {value!r}, which is no number") from None
        if math.isnan(number):
            return Score(None, f"function {self.place} gave nan")
        if not self.low - 1e-6 <= number <= self.high + 1e-6:
            raise RewardError(
                f"function {self.place} gave {number}, outside of its range {self.low} to "
                f"{self.high}",
                "widen low and high of the term, or mend the function",
            )
        return Score(number)

    def _fault(self, what: str) -> RewardError:
        return RewardError(
            f"function {self.place} {what}", "let it return one number or None per completion"
        )


def columns_of(answers: Sequence[Answer], conversational: bool = False) -> dict[str, list[Any]]:
    """The columns a function can ask for, one entry per answer.

    Tags of the cases come under their own names (``None`` where a case lacks one); none hides a
    column of ours.
    """

    def told(role: str, text: str) -> Any:
        return [{"role": role, "content": text}] if conversational else text

    cases = [a.case for a in answers]
    tags = sorted({tag for case in cases for tag in case.tags})
    return {tag: [case.tags.get(tag) for case in cases] for tag in tags} | {
        "prompts": [told("user", a.prompt.text) for a in answers],
        "completions": [told("assistant", a.text) for a in answers],
        "completion_ids": [list(a.answer_ids) for a in answers],
        "answer": [case.reference.value for case in cases],
        "options": [list(case.reference.options) for case in cases],
        "question": [case.question for case in cases],
        "id": [case.id for case in cases],
        "kind": [case.reference.kind for case in cases],
    }


class FunctionSpec(TermSpec):
    """A reward function as TRL calls it: ``f(prompts, completions, **columns)``.

    It is given the columns it has parameters for, or all if it takes ``**kwargs``. ``None`` and
    exceptions are failures: counted, not paid.
    """

    term: Literal["function"]
    function: str = Field(pattern=r".+:\w+$")
    """``package.module:name`` or ``path/to/file.py:name``, the path from where medrl is started."""
    low: float
    """Least value the function may give."""
    high: float
    """Greatest value the function may give."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns the function wants by other names than ours: ``{solution: answer}``."""
    conversational: bool = False
    """Prompts and completions as chats of one message, as TRL's own functions expect them; else as
    texts."""

    @model_validator(mode="after")
    def _a_range(self) -> FunctionSpec:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} to high {self.high} is no range; put low below high")
        return self

    @property
    def name(self) -> str:
        """With the function's own name: a recipe may have several."""
        return f"function:{self.function.rpartition(':')[2]}"

    def check(self) -> None:
        """See :class:`TermSpec`."""
        find_function(self.function)

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Function(self.function, self.low, self.high, self.columns, self.conversational)
