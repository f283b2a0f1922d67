"""What a second search is worth in the clinic, without any policy: two tables in Markdown.

``python -m medrl.environments.search_measure`` asks the rules that generate answers about the test
questions of two hops: with the documents of the question alone, and with those of a second query;
then it plays searchers that follow a script through the environment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Annotated, get_args

import typer

from medrl.cases.case import Case
from medrl.clinic.two_hops import search_cases, textbook
from medrl.environments.accuracy import holds_gold
from medrl.environments.search import SearchEnvironment, SearchWorld
from medrl.environments.search_spec import SearchSpec
from medrl.generators import ExtractiveGenerator, RuleName, Task
from medrl.grading import Grader
from medrl.retrieval import BM25Retriever

KS = (3, 4, 8)
END = "<search_complete>True</search_complete>"
Searcher = Callable[[SearchEnvironment, Case], str]


def answered(cases: Sequence[Case], rule: RuleName, k: int) -> tuple[float, float]:
    """Shares of questions answered rightly, in [0, 1]: with the ``k`` documents that the question
    finds, and with those and the ``k`` that the tag ``sought`` finds."""
    retriever = BM25Retriever(textbook())
    naive = retriever.search([case.question for case in cases], k)
    second = retriever.search([case.tags["sought"] for case in cases], k)
    shares = []
    for hits in (naive, [a + b for a, b in zip(naive, second, strict=True)]):
        found = [list(dict.fromkeys(hit.document for hit in own)) for own in hits]
        tasks = [Task.of(case, own) for case, own in zip(cases, found, strict=True)]
        given = ExtractiveGenerator(rule).answer(tasks)
        right = [holds_gold(g.text, c.reference) for g, c in zip(given, cases, strict=True)]
        shares.append(fmean(right))
    return shares[0], shares[1]


def ends_at_once(environment: SearchEnvironment, case: Case) -> str:
    """Never searches and makes no selection: all first documents count."""
    return END


def selects_nothing(environment: SearchEnvironment, case: Case) -> str:
    """Throws the first documents away."""
    return f"<important_info>[]</important_info>{END}"


def asks_for_the_first_title(environment: SearchEnvironment, case: Case) -> str:
    """Searches once, for what is asked about the title of the first document."""
    if environment.queries:
        return END
    asked = f"{case.tags['kind'].replace('_', ' ')} of {environment.shown[0].title}"
    return f"<query>{json.dumps({'query': asked})}</query>"


SEARCHERS: tuple[Searcher, ...] = (ends_at_once, selects_nothing, asks_for_the_first_title)


def gain(world: SearchWorld, cases: Sequence[Case], searcher: Searcher) -> float:
    """Mean gain beyond naive retrieval of a searcher, in [-1, 1]."""

    async def play(case: Case) -> float:
        environment = world.open(case, 0)
        while not (await environment.step(searcher(environment, case))).over:
            pass
        return environment.measures()["gain"]

    return fmean(asyncio.run(play(case)) for case in cases)


def main(
    size: Annotated[int, typer.Option(help="test questions")] = 500,
) -> None:
    """Print both tables."""
    cases, rules = search_cases("test", size), get_args(RuleName)
    print(f"| `k` | {' | '.join(f'{r}: naive, and sought' for r in rules)} |")
    print("|---|" + "---|" * len(rules))
    for k in KS:
        cells = ("{:.2f}, {:.2f}".format(*answered(cases, rule, k)) for rule in rules)
        print(f"| {k} | {' | '.join(cells)} |")
    print(f"\n| searcher, `k: 3` | {' | '.join(rules)} |\n|---|" + "---|" * len(rules))
    specs = [SearchSpec(k=3, turns=2, generator=rule) for rule in rules]
    worlds = [spec.build(Grader()) for spec in specs]
    for searcher in SEARCHERS:
        cells = (f"{gain(world, cases, searcher):+.2f}" for world in worlds)
        print(f"| {searcher.__name__.replace('_', ' ')} | {' | '.join(cells)} |")


if __name__ == "__main__":
    typer.run(main)
