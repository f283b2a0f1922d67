"""How well a retriever finds what is relevant.

``python -m medrl.retrieval.measure PASSAGES QUERIES``

QUERIES is a file of rows, each with a query (``query`` or ``question``) and the ids of what is
relevant to it, of passages or of the works they are part of (``relevant_doc_ids`` or
``gold_module``, a list or a text).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from medrl.cases.reading import read_rows
from medrl.environments.search_spec import SearchSpec, build_corpus, build_retriever
from medrl.errors import DataError, MedrlError
from medrl.evaluation.statistics import Interval, wilson
from medrl.retrieval.retriever import Retriever

_QUERY = ("query", "question")
_RELEVANT = ("relevant_doc_ids", "gold_module")
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, and the names of all that is relevant to it."""

    text: str
    relevant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a retriever found for n queries.

    Attributes:
        hit: share of queries with something relevant among the first k (1.0 is all), with a Wilson
            interval.
        recall: mean share of what is relevant that is among the first k.
        seconds: of all searches together.
    """

    n: int
    hit: float
    interval: Interval
    recall: float
    seconds: float


def read_queries(path: Path) -> list[Query]:
    """The queries of a file.

    Raises:
        DataError: no rows, or one without a query or without what is relevant.
    """
    queries = []
    for raw in read_rows(path):
        text = next((raw.values[f] for f in _QUERY if raw.values.get(f)), None)
        relevant = next((raw.values[f] for f in _RELEVANT if raw.values.get(f)), None)
        if raw.problem or not isinstance(text, str) or not isinstance(relevant, str | list):
            raise DataError(
                f"{path}:{raw.number}: {raw.problem or 'no query, or nothing relevant to it'}",
                f"give each row one of {', '.join(_QUERY)} and one of {', '.join(_RELEVANT)}",
            )
        names = [relevant] if isinstance(relevant, str) else relevant
        queries.append(Query(text, tuple(map(str, names))))
    if not queries:
        raise DataError(f"{path}: there are no queries in it", "give it rows")
    return queries


def measure(retriever: Retriever, queries: Sequence[Query], k: int) -> Measured:
    """Search for all queries and count.

    Raises:
        ValueError: no queries, or ``k`` is not positive.
    """
    if not queries:
        raise ValueError("there are no queries")
    started = time.perf_counter()
    found = []
    for start in range(0, len(queries), _BATCH):
        found += retriever.search([q.text for q in queries[start : start + _BATCH]], k)
    seconds = time.perf_counter() - started
    recalls = [
        sum(any(hit.document.is_part_of(name) for hit in hits) for name in query.relevant)
        / len(query.relevant)
        for query, hits in zip(queries, found, strict=True)
    ]
    n, hits = len(queries), sum(recall > 0 for recall in recalls)
    return Measured(n, hits / n, wilson(hits, n), sum(recalls) / n, seconds)


def main(
    passages: Annotated[Path, typer.Argument(help="Folder of texts or file of rows.")],
    queries: Annotated[Path, typer.Argument(help="File of rows.")],
    k: Annotated[int, typer.Option(min=1, help="How many documents are looked at.")] = 10,
    retriever: Annotated[Literal["bm25", "dense"], typer.Option()] = "bm25",
    encoder: Annotated[str, typer.Option(help="Of dense: minilm, a folder or hub id.")] = "minilm",
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps the index.")] = None,
) -> None:
    """Say recall at k, seconds for the index, and queries per second."""
    spec = SearchSpec(
        corpus=str(passages),
        retriever=retriever,
        encoder=encoder,
        cache=None if cache is None else str(cache),
    )
    try:
        asked = read_queries(queries)
        started = time.perf_counter()
        corpus = build_corpus(spec)
        read = time.perf_counter()
        index = build_retriever(spec, corpus)
        built = time.perf_counter()
    except MedrlError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    found = measure(index, asked, k)
    low, high = found.interval.low, found.interval.high
    typer.echo(
        f"{len(corpus):,} passages read in {read - started:.1f} s, {retriever} index ready in "
        f"{built - read:.1f} s\n"
        f"{found.n:,} queries, {found.n / found.seconds:.0f} a second\n"
        f"something relevant among the first {k}: {found.hit:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f})\n"
        f"mean share of the relevant among the first {k}: {found.recall:.3f}"
    )


if __name__ == "__main__":
    typer.run(main)
