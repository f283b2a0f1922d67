"""Documents that disturb: as many as asked for, the same every time, false if meant to be."""

from __future__ import annotations

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.errors import DataError
from medrl.retrieval import Corpus, Document
from medrl.retrieval.tampering import Tampering, TamperSpec

GOLD = Document("g", "gout", "Gout is treated with Colchicine. colchicine helps.", "gout")
NEAR = [Document(f"n{i}", "gout", f"near {i}", "gout") for i in range(3)]
FAR = [Document(f"f{i}", "flu", f"far {i}", "flu") for i in range(5)]
CORPUS = Corpus([GOLD, *NEAR, *FAR], "toy")
CASE = Case(
    "c1",
    "What helps?",
    Reference("phrase", "colchicine"),
    Provenance("toy"),
    tags={"wrong_answers": "aspirin;rest"},
)


def disturbed(kind: str, share: float, seed: int = 0, case: Case = CASE, query: str = "q"):
    tampering = Tampering(TamperSpec(kind=kind, share=share, seed=seed), CORPUS)
    return tampering.disturbed([GOLD, *NEAR], case, query, ["g"])


def test_noise_is_irrelevant_and_takes_its_share() -> None:
    found = disturbed("noise", 0.5)
    assert len(found) == 4
    assert sum(d in FAR for d in found) == 2
    assert [d for d in found if d not in FAR] == [d for d in (GOLD, *NEAR) if d in found]
    assert disturbed("noise", 0.0) == (GOLD, *NEAR)
    assert all(d in FAR for d in disturbed("noise", 1.0))


def test_counterfactual_documents_say_another_answer() -> None:
    found = disturbed("counterfactual", 0.5)
    false = [d for d in found if d.id.startswith("g~")]
    assert len(false) == 2
    assert {d.text for d in false} == {
        "Gout is treated with aspirin. aspirin helps.",
        "Gout is treated with rest. rest helps.",
    }
    assert all(d.title == "gout" and not d.is_part_of("g") for d in false)


def test_the_same_arguments_disturb_the_same_way() -> None:
    assert disturbed("noise", 0.5) == disturbed("noise", 0.5)
    many = {disturbed("noise", 0.5, seed) for seed in range(8)}
    assert len(many) > 1
    assert len({disturbed("noise", 0.5, query=q) for q in "abcdefgh"}) > 1


def test_options_are_wrong_answers() -> None:
    options = ("aspirin", "colchicine")
    case = Case("c2", "What helps?", Reference("option", "B", options), Provenance("toy"))
    [false] = [d for d in disturbed("counterfactual", 0.25, case=case) if "~" in d.id]
    assert false.text == "Gout is treated with aspirin. aspirin helps."


def test_what_cannot_be_falsified_is_refused() -> None:
    bare = Case("c3", "What helps?", Reference("phrase", "colchicine"), Provenance("toy"))
    with pytest.raises(DataError, match="c3 has no wrong answers"):
        disturbed("counterfactual", 0.5, case=bare)
    tampering = Tampering(TamperSpec(kind="counterfactual", share=0.5), CORPUS)
    with pytest.raises(DataError, match="c1 names no gold documents"):
        tampering.disturbed([GOLD], CASE, "q", [])
