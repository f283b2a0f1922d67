"""The tag protocol and the assembly of the context, rule by rule."""

from __future__ import annotations

import pytest

from medrl.environments.search_protocol import (
    NOTHING,
    Block,
    Fault,
    SearchTurn,
    assemble,
    chosen,
    information,
    read_turn,
)
from medrl.retrieval import Document

QUERY = '<query>{"query": "gout"}</query>'
TRUE = "<search_complete>True</search_complete>"
FALSE = "<search_complete>False</search_complete>"


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        (QUERY, SearchTurn(None, "gout")),
        (f"<think>hm</think>\n{QUERY}\n ", SearchTurn(None, "gout")),
        (f"I need more. {FALSE} {QUERY}", SearchTurn(None, "gout")),
        (f"<important_info>[2, 1]</important_info>{QUERY}", SearchTurn((2, 1), "gout")),
        (f"<important_info>[]</important_info>{TRUE}", SearchTurn((), complete=True)),
        (TRUE, SearchTurn(complete=True)),
        ("<search_complete> true\n</search_complete>\n", SearchTurn(complete=True)),
        # Ids are any numbers; what they mean is decided later.
        ("<important_info>1 and 3, -2</important_info>" + TRUE, SearchTurn((1, 3, -2), "", True)),
        # Only the first selection of a turn is read.
        (
            f"<important_info>[1]</important_info><important_info>[2]</important_info>{QUERY}",
            SearchTurn((1,), "gout"),
        ),
        # Nothing inside a think block is read.
        (f"<think>{TRUE}</think>{QUERY}", SearchTurn(None, "gout")),
        ('<query> {"query": "  uric\\nacid "} </query>', SearchTurn(None, "uric\nacid")),
    ],
)
def test_a_turn_is_read(text: str, turn: SearchTurn) -> None:
    assert read_turn(text) == turn


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", Fault.NO_DECISION),
        ("gout, I think", Fault.NO_DECISION),
        (FALSE, Fault.NO_DECISION),
        ('<query>{"query": "gout"}', Fault.NO_DECISION),
        (f"<think>{QUERY}", Fault.NO_DECISION),
        ("<important_info>[1]</important_info>", Fault.NO_DECISION),
        ("<query>gout</query>", Fault.NOT_JSON),
        ("<query>{'query': 'gout'}</query>", Fault.NOT_JSON),
        ("<query></query>", Fault.NOT_JSON),
        ('<query>"gout"</query>', Fault.NO_QUERY),
        ('<query>["gout"]</query>', Fault.NO_QUERY),
        ('<query>{"query": ""}</query>', Fault.NO_QUERY),
        ('<query>{"query": 3}</query>', Fault.NO_QUERY),
        ('<query>{"q": "gout"}</query>', Fault.NO_QUERY),
        ('<query>{"query": "gout", "k": 99}</query>', Fault.NO_QUERY),
        (QUERY + QUERY, Fault.SEVERAL_QUERIES),
        (f"{QUERY}\n{QUERY}", Fault.SEVERAL_QUERIES),
        (f"{QUERY} thanks", Fault.TEXT_BEHIND),
        (f"{QUERY}<information>Doc 1 (Title: made up) x</information>", Fault.TEXT_BEHIND),
        (f"{QUERY}{TRUE}", Fault.TEXT_BEHIND),
        (f"{TRUE} The answer is gout.", Fault.TEXT_BEHIND),
        (f"{TRUE}{QUERY}", Fault.TEXT_BEHIND),
        ("<search_complete>maybe</search_complete>", Fault.NO_TRUTH),
    ],
)
def test_a_fault_is_named(text: str, fault: Fault) -> None:
    turn = read_turn(text)
    assert (turn.fault, turn.query, turn.complete) == (fault, "", False)


def test_a_selection_counts_though_the_query_cannot_be_read() -> None:
    turn = read_turn("<important_info>[2]</important_info><query>gout</query>")
    assert turn == SearchTurn((2,), fault=Fault.NOT_JSON)


def test_an_open_query_may_be_gone_on_with() -> None:
    rest = '{"query": "gout"}</query>'
    assert read_turn(rest, query_is_open=True) == SearchTurn(None, "gout")
    assert read_turn(rest).fault is Fault.NO_DECISION
    assert read_turn(QUERY, query_is_open=True) == SearchTurn(None, "gout")
    assert read_turn(TRUE, query_is_open=True) == SearchTurn(complete=True)


# ---- context assembly ------------------------------------------------------------------------


def documents(*texts: str) -> tuple[Document, ...]:
    return tuple(Document(f"id-{text}", "t", text) for text in texts)


def texts(*blocks: Block, keep_first: bool = False) -> str:
    return " ".join(d.text for d in assemble(blocks, keep_first))


@pytest.mark.parametrize(
    ("numbers", "kept"),
    [
        ([1, 2], (1, 2)),
        ([3, 1], (3, 1)),  # in the order in which they stand
        ([0, 1, 9, -1, 8], (1, 8)),  # of eight documents
        ([2, 2, 1, 2], (2, 1)),
        ([5, 4, 3, 2, 1], (5, 4, 3)),  # at most three
        ([9, 9, 5, 4, 5, 3, 2], (5, 4, 3)),  # ... of those that mean something
        ([], ()),
        ([99], ()),
    ],
)
def test_ids_are_kept_in_range_once_in_order_and_three(
    numbers: list[int], kept: tuple[int, ...]
) -> None:
    assert chosen(numbers, 8, 3) == kept


def test_a_block_without_a_selection_gives_all_even_the_first() -> None:
    assert texts(Block(documents("a", "b")), Block(documents("c"))) == "a b c"


def test_a_selection_is_of_its_own_block_only() -> None:
    blocks = Block(documents("a", "b"), (2,)), Block(documents("c", "d")), Block(documents("e"), ())
    assert texts(*blocks) == "b c d"


def test_an_empty_selection_gives_nothing() -> None:
    assert texts(Block(documents("a", "b"), ())) == ""


def test_what_is_there_twice_by_text_stands_once_where_it_came_first() -> None:
    again = Document("another id", "another title", "a")
    found = assemble([Block(documents("a", "b")), Block((again, *documents("c")))])
    assert [d.id for d in found] == ["id-a", "id-b", "id-c"]


def test_the_order_is_that_of_blocks_and_selections() -> None:
    assert texts(Block(documents("a", "b", "c"), (3, 1)), Block(documents("d", "e"), (2, 1))) == (
        "c a e d"
    )


def test_the_alternative_keeps_the_first_block_and_drops_what_was_not_selected() -> None:
    blocks = (
        Block(documents("a", "b"), (2,)),
        Block(documents("c", "d")),
        Block(documents("e", "f"), (1,)),
    )
    assert texts(*blocks, keep_first=True) == "a b e"
    assert texts(*blocks) == "b c d e"


def test_documents_are_shown_with_number_and_title_on_a_line_each() -> None:
    shown = information([Document("1", "gout", "It\nhurts."), Document("2", "", "Rest.")])
    assert shown == (
        "<information>\nDoc 1 (Title: gout) It hurts.\nDoc 2 (Title: ) Rest.\n</information>"
    )
    assert NOTHING in information([])
