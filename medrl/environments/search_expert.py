"""Scripted searches to imitate: a cold start for models that do not know the protocol.

The expert selects the case's gold documents where it sees them and asks for what its tag ``sought``
says. It knows which documents are gold; the policy that imitates it does not, and has to tell it
from question and documents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from medrl.cases.case import Case
from medrl.cases.record import Turn
from medrl.environments.search import SearchEnvironment, SearchWorld
from medrl.errors import DataError

SOUGHT = "sought"
"""Tag of a case with the query for what a first search does not find."""


async def demonstrate(world: SearchWorld, case: Case) -> Case | None:
    """The case with the transcript of an expert's search; ``None`` if the generator's answer is not
    right even so.

    The transcript begins behind the environment's opening.

    Raises:
        DataError: the case does not say its gold documents or what is sought.
    """
    if SOUGHT not in case.tags or not world.gold(case):
        raise DataError(
            f"{case.source}: case {case.id} has no tags {SOUGHT!r} and {world.spec.gold!r}",
            "demonstrations need both, as those of clinic:search-train",
        )
    environment = world.open(case, 0)
    turns: list[Turn] = []
    while True:
        text = expert_turn(environment, world.gold(case), case.tags[SOUGHT])
        reply = await environment.step(text)
        turns.append(Turn("policy", text))
        if reply.over:
            right = environment.verdict().correct
            return replace(case, transcript=tuple(turns)) if right else None
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
        return f"{selection}<search_complete>True</search_complete>"
    return f"{selection}<query>{json.dumps({'query': sought})}</query>"
