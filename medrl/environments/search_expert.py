"""Scripted searches to imitate: a cold start for models that do not know the protocol.

The expert selects the case's gold documents where it sees them and asks for what its tag ``sought``
says. It knows which documents are gold; the policy that imitates it does not, and has to tell it
from question and documents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medrl.cases.record import Turn

if TYPE_CHECKING:
    from medrl.environments.search import SearchEnvironment

SOUGHT = "sought"
"""Tag of a case with the query for what a first search does not find."""
_END = "<search_complete>True</search_complete>"


async def expert_search(
    environment: SearchEnvironment, gold: Sequence[str], sought: str
) -> tuple[Turn, ...]:
    """The expert's turns and what the environment replies to them, up to the turn that ends the
    search; that one is not given to the environment, so no generator is asked."""
    turns: list[Turn] = []
    while True:
        text = expert_turn(environment, gold, sought)
        turns.append(Turn("policy", text))
        if text.endswith(_END):
            return tuple(turns)
        reply = await environment.step(text)
        turns.append(Turn("environment", reply.text))


def expert_turn(environment: SearchEnvironment, gold: Sequence[str], sought: str) -> str:
    """What the expert writes next. It searches once, unless the last gold document, which has the
    answer, is there from the start."""
    ids = [
        number
        for number, document in enumerate(environment.shown, 1)
        if any(document.is_part_of(name) for name in gold)
    ]
    selection = f"<important_info>{json.dumps(ids)}</important_info>\n"
    if environment.queries or any(d.is_part_of(gold[-1]) for d in environment.shown):
        return f"{selection}{_END}"
    return f"{selection}<query>{json.dumps({'query': sought})}</query>"
