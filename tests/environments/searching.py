"""A toy library to search in, and a scripted policy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.cases.case import Case, Provenance, Reference
from medrl.environments.environment import Reply
from medrl.environments.search import SearchEnvironment, SearchWorld
from medrl.environments.search_spec import SearchSpec
from tests.environments.acting import GRADER

ROWS = (
    ("flu:signs", "flu", "Flu presents with fever, cough and muscle pain."),
    ("flu:cure", "flu", "First-line treatment of flu is oseltamivir."),
    ("gout:signs", "gout", "Gout presents with great toe pain and a red joint."),
    ("gout:cure", "gout", "First-line treatment of gout is colchicine."),
    ("cold:signs", "cold", "A cold presents with sneezing."),
)
CASE = Case(
    "gout-1",
    "A man has great toe pain and a red joint. Which treatment helps?",
    Reference("phrase", "colchicine"),
    Provenance("toy"),
    tags={"documents": "gout:signs;gout:cure", "sought": "treatment of gout"},
)
TRUE = "<search_complete>True</search_complete>"


def query(text: str, *selected: int) -> str:
    """A turn that selects, if anything, and searches."""
    selection = f"<important_info>{list(selected)}</important_info>" if selected else ""
    return f"{selection}<query>{json.dumps({'query': text})}</query>"


def corpus_file(folder: Path) -> Path:
    rows = [{"id": i, "title": title, "text": text, "parent": title} for i, title, text in ROWS]
    path = folder / "corpus.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def world(folder: Path, **settings: Any) -> SearchWorld:
    """A world of two documents a search."""
    usual = {"corpus": str(corpus_file(folder)), "k": 2, "instructions": "short"}
    return SearchSpec.model_validate(usual | settings).build(GRADER)


def play(world: SearchWorld, turns: Sequence[str], case: Case = CASE):
    """The environment after a scripted policy's turns, and its replies; stops where it is over."""

    async def go() -> tuple[SearchEnvironment, list[Reply]]:
        environment = world.open(case, 0)
        replies: list[Reply] = []
        for turn in turns:
            replies.append(await environment.step(turn))
            if replies[-1].over:
                break
        return environment, replies

    return asyncio.run(go())
