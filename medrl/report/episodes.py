"""Which logged episodes a report shows, and how one is taken apart for reading."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.cases.case import LETTERS
from medrl.report.history import WRITTEN, History, Row, running_steps
from medrl.report.words import plain

SHOWN = 48
"""Episodes on a page: enough to browse, few enough to load at once."""

PARTS = ("early", "middle", "late")

OUTCOMES = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no answer",
    "several_answers": "several answers",
    "written": "written target",
}
"""Words for what the grader said, and for answers that training wrote itself."""

_TAGGED = re.compile(
    r"(?P<think><think>.*?(?:</think>|(?=<answer>)|\Z))|(?P<answer><answer>.*?(?:</answer>|\Z))",
    re.IGNORECASE | re.DOTALL,
)
_CLOSE = re.compile("</think>", re.IGNORECASE)
_OPEN = re.compile("<think>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer; ``kind`` is ``text``, ``think`` or ``answer``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One episode as the page shows it. All texts are raw: the template escapes them."""

    step: int | None
    part: str
    case_id: str
    title: str
    prompt: str
    options: Sequence[str]
    pieces: Sequence[Piece]
    gold: str
    answer: str
    outcome: str
    reason: str
    reward: str
    terms: str
    stop: str
    tokens: str
    pictures: Sequence[str]
    perturbed: Sequence[str]
    perturbed_right: str


def choose_episodes(rows: Sequence[Row], history: History, run: Path) -> list[EpisodeView]:
    """At most ``SHOWN`` of the logged episodes, at even distances and whatever their outcome.

    Args:
        run: folder that holds the pictures they name; those that are gone are left out.
    """
    steps = running_steps(rows, history)
    count = min(SHOWN, len(rows))
    chosen = [round(i * (len(rows) - 1) / max(1, count - 1)) for i in range(count)]
    return [_view(rows[i], steps[i], history.steps, run) for i in chosen]


def split_answer(text: str) -> list[Piece]:
    """Take an answer apart at its think and answer tags; the pieces join to the same text.

    A text that closes a think block it never opened continues a prompt that did.
    """
    pieces: list[Piece] = []
    place = 0
    closed, opened = _CLOSE.search(text), _OPEN.search(text)
    if closed and not (opened and opened.start() < closed.start()):
        pieces.append(Piece("think", text[: closed.end()]))
        place = closed.end()
    for found in _TAGGED.finditer(text, place):
        if found.start() > place:
            pieces.append(Piece("text", text[place : found.start()]))
        pieces.append(Piece(str(found.lastgroup), found.group()))
        place = found.end()
    if place < len(text):
        pieces.append(Piece("text", text[place:]))
    return pieces


def _view(row: Row, step: int | None, steps: int, run: Path) -> EpisodeView:
    prompt, options = str(row.get("prompt", "")), [str(o) for o in row.get("options") or []]
    return EpisodeView(
        step=step,
        part=PARTS[min(2, 3 * (step - 1) // max(1, steps))] if step else PARTS[2],
        case_id=str(row.get("case_id", "")),
        title=_title(prompt),
        prompt=prompt,
        options=[] if all(option in prompt for option in options) else _lettered(options),
        pieces=split_answer(str(row.get("text", ""))),
        gold=_with_option(str(row.get("gold", "")), options),
        answer=_with_option(str(row.get("answer") or ""), options),
        outcome="written" if row.get("stage") in WRITTEN else str(row.get("outcome", "")),
        reason=str(row.get("reason", "")),
        reward=plain(row.get("reward")),
        terms=_terms(row.get("terms")),
        stop=str(row.get("stop", "")),
        tokens=plain(row.get("tokens")),
        pictures=_embedded(row.get("pictures"), run),
        perturbed=_embedded(row.get("perturbed"), run),
        perturbed_right=_share(row.get("perturbed_right")),
    )


def _embedded(paths: Any, run: Path) -> list[str]:
    """Pictures of the run folder as text that a page can hold."""
    files = [run / str(path) for path in paths or []]
    return [
        f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        for file in files
        if file.is_file()
    ]


def _share(verdicts: Any) -> str:
    right = list(verdicts or [])
    return f"{sum(map(bool, right))} of {len(right)}" if right else ""


def _title(prompt: str) -> str:
    """The first line of the question; the style sheet shortens it."""
    first = next((line for line in prompt.splitlines() if line.strip()), "")
    return first.strip().removeprefix("User:").strip()[:200]


def _lettered(options: Sequence[str]) -> list[str]:
    return [f"{LETTERS[i % len(LETTERS)]}. {option}" for i, option in enumerate(options)]


def _with_option(answer: str, options: Sequence[str]) -> str:
    """``C`` as ``C. its text``; anything that is not the letter of an option as it is."""
    place = LETTERS.find(answer) if len(answer) == 1 else -1
    return f"{answer}. {options[place]}" if 0 <= place < len(options) else answer


def _terms(terms: Any) -> str:
    if not isinstance(terms, Mapping):
        return ""
    return ", ".join(f"{name} {plain(value)}" for name, value in terms.items())
