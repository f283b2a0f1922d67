"""How a searcher and its environment write to each other (s3): pure functions on texts.

A turn of the policy is everything it writes until its stop token:

    <think>...</think>                              optional, and any other text
    <important_info>[1, 3]</important_info>         optional: what counts of the last documents
    <search_complete>False</search_complete>        optional; True ends the episode
    <query>{"query": "treatment of gout"}</query>

A turn ends with its decision: a query, or ``search_complete`` of True. Nothing but white space may
follow. Tags inside of a think block are not read. Ids may be any list of numbers; those that mean
no document are dropped later. In a turn that cannot be read a selection counts nevertheless: the
hint that follows asks for a new query only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from medrl.retrieval.corpus import Document


class Fault(StrEnum):
    """Why a turn decides nothing."""

    NO_DECISION = "no_decision"
    """Neither a whole query nor a ``search_complete`` of True."""
    NOT_JSON = "not_json"
    """The query is not JSON."""
    NO_QUERY = "no_query"
    """The query's JSON is not an object with just the key ``query`` and a text that says
    something."""
    SEVERAL_QUERIES = "several_queries"
    """Another query behind the first."""
    TEXT_BEHIND = "text_behind"
    """Other text behind the decision."""
    NO_TRUTH = "no_truth"
    """``search_complete`` is neither True nor False."""


@dataclass(frozen=True, slots=True)
class SearchTurn:
    """A turn as it is read.

    Attributes:
        selection: numbers in the order in which they stand; none: nothing was selected, which is
            not the same as an empty selection.
        query: what to search for; empty if the turn has none or cannot be read.
        complete: whether the search is over.
        fault: why the turn decides nothing, if so.
    """

    selection: tuple[int, ...] | None = None
    query: str = ""
    complete: bool = False
    fault: Fault | None = None


@dataclass(slots=True)
class Block:
    """Documents that were shown together.

    Attributes:
        selection: numbers of documents, the first is 1; none: no selection was made.
    """

    documents: tuple[Document, ...]
    selection: tuple[int, ...] | None = None


_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_SELECTION = re.compile(r"<important_info>(.*?)</important_info>", re.DOTALL)
_DECISION = re.compile(
    r"<(query)>(.*?)</query>|<(search_complete)>(.*?)</search_complete>", re.DOTALL
)
_NUMBER = re.compile(r"-?\d+")


def read_turn(text: str, query_is_open: bool = False) -> SearchTurn:
    """What a turn says.

    Args:
        query_is_open: the text before it ended in ``<query>``, so the turn may go on from there.
    """
    if query_is_open and "</query>" in text and "<query>" not in text.partition("</query>")[0]:
        text = f"<query>{text}"
    text = _THINK.sub("", text)
    selected = _SELECTION.search(text)
    selection = None
    if selected:
        selection = tuple(int(number) for number in _NUMBER.findall(selected.group(1)))
    for decision in _DECISION.finditer(text):
        if decision.group(1):
            behind = text[decision.end() :].strip()
            if behind:
                several = behind.startswith("<query>")
                fault = Fault.SEVERAL_QUERIES if several else Fault.TEXT_BEHIND
                return SearchTurn(selection, fault=fault)
            query = _query(decision.group(2))
            if isinstance(query, Fault):
                return SearchTurn(selection, fault=query)
            return SearchTurn(selection, query)
        said = decision.group(4).strip().lower()
        if said not in ("true", "false"):
            return SearchTurn(selection, fault=Fault.NO_TRUTH)
        if said == "true":
            if text[decision.end() :].strip():
                return SearchTurn(selection, fault=Fault.TEXT_BEHIND)
            return SearchTurn(selection, complete=True)
    return SearchTurn(selection, fault=Fault.NO_DECISION)


def _query(content: str) -> str | Fault:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        return Fault.NOT_JSON
    if not isinstance(value, dict) or set(value) != {"query"}:
        return Fault.NO_QUERY
    query = value["query"]
    return query.strip() if isinstance(query, str) and query.strip() else Fault.NO_QUERY


# ---- context assembly ------------------------------------------------------------------------


def chosen(numbers: Iterable[int], count: int, most: int) -> tuple[int, ...]:
    """The first ``most`` of those numbers that mean one of ``count`` documents, each once, in
    order."""
    return tuple(dict.fromkeys(n for n in numbers if 1 <= n <= count))[:most]


def assemble(blocks: Sequence[Block], keep_first: bool = False) -> tuple[Document, ...]:
    """The documents that the generator reads (D_s3), in the order of blocks and selections.

    A block with a selection gives what was selected, be it nothing; one without gives all of its
    documents, the initial one too. Of documents with the same text the first is kept.

    Args:
        keep_first: the released code's alternative for medical evaluation: the first block gives
            all of its documents whatever was selected, and others without a selection none.
    """
    found: dict[str, Document] = {}
    for number, block in enumerate(blocks):
        if keep_first and number == 0:
            documents = block.documents
        elif block.selection is not None:
            documents = tuple(block.documents[n - 1] for n in block.selection)
        else:
            documents = () if keep_first else block.documents
        for document in documents:
            found.setdefault(document.text, document)
    return tuple(found.values())


# ---- what the environment writes -------------------------------------------------------------

INSTRUCTIONS = {
    "full": (
        "You are a search copilot: you look up documents from which another model will answer the "
        "question. You do not answer it yourself.\n"
        "Below are the question and the documents that a first search has found. In each turn\n"
        "1. you may think inside <think></think>;\n"
        "2. name the documents of the last <information> block that matter, at most {selected}, by "
        "their numbers, as in <important_info>[1, 3]</important_info>;\n"
        "3. say whether all that is needed has been found: <search_complete>True</search_complete> "
        "ends the search, <search_complete>False</search_complete> goes on;\n"
        '4. to go on, write one query as JSON: <query>{{"query": "what you look for"}}</query>, '
        "and stop. The documents found come back in <information></information>.\n"
        "You can search {turns} times. If the first documents suffice, end the search at once.\n\n"
        "<question>{question}</question>\n{information}\n"
    ),
    # For small models with a short context that are taught the protocol by examples.
    "short": (
        "Find the documents that answer the question.\n"
        "<question>{question}</question>\n{information}\n"
    ),
}
"""What a policy is told, by name; wording ours."""

HINT = (
    "\nThis turn could not be read. Write one new query as JSON between <query> and </query> and "
    "stop there:\n<query>\n"
)
NOTHING = "No documents were found."


def information(documents: Sequence[Document]) -> str:
    """Documents as the policy reads them, numbered from 1."""
    lines = [
        f"Doc {number} (Title: {' '.join(d.title.split())}) {' '.join(d.text.split())}"
        for number, d in enumerate(documents, 1)
    ]
    return "\n".join(["<information>", *(lines or [NOTHING]), "</information>"])
