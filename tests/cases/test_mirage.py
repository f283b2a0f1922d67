"""MIRAGE's one file holds five data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.cases import SOURCES, load_cases
from medrl.errors import DataError

FOUR = {"A": "Femur", "B": "Tibia", "C": "Fibula", "D": "Talus"}
BENCHMARK: dict[str, Any] = {
    "medqa": {"0000": {"question": "Which?", "options": FOUR, "answer": "B"}},
    "medmcqa": {
        "8788091c-a8ef": {"question": "Bone of the thigh?", "options": FOUR, "answer": "A"},
        "a5a27cc1-caa6": {"question": "Bone of the heel?", "options": FOUR, "answer": "E"},
        "fded17fa-a604": "Bone?",
    },
    "pubmedqa": {
        "12377809": {
            "question": "Is it safe?",
            "options": {"A": "yes", "B": "no", "C": "maybe"},
            "answer": "C",
        }
    },
    "bioasq": {
        "61f608d4": {
            "question": "Is it effective?",
            "options": {"A": "yes", "B": "no"},
            "answer": "A",
        }
    },
    "mmlu": {
        "anatomy-047": {"question": "Which bone?", "options": FOUR, "answer": "C"},
        "professional_medicine-271": {"question": "Which?", "options": FOUR, "answer": "D"},
    },
}


@pytest.mark.parametrize("indent", [None, 4])
def test_each_set_is_read_by_itself(write: Any, tmp_path: Path, indent: int | None) -> None:
    write("MIRAGE/benchmark.json", json.dumps(BENCHMARK, indent=indent))
    sets = {
        name: load_cases(f"mirage_{name}", tmp_path, split="test").cases
        for name in ("medqa", "pubmedqa", "bioasq", "mmlu")
    }
    assert {name: len(cases) for name, cases in sets.items()} == {
        **{"medqa": 1, "pubmedqa": 1, "bioasq": 1, "mmlu": 2}
    }
    assert sets["medqa"][0].id == "mirage_medqa-0000" and not sets["medqa"][0].tags
    assert sets["pubmedqa"][0].reference.gold_text == "maybe" and not sets["pubmedqa"][0].context
    assert sets["bioasq"][0].reference.options == ("yes", "no")
    assert [case.tags["subject"] for case in sets["mmlu"]] == ["anatomy", "professional_medicine"]
    assert sets["mmlu"][1].reference.value == "D" and sets["mmlu"][1].source.row == 2


def test_bad_questions_are_named(write: Any) -> None:
    path = write("benchmark.json", json.dumps(BENCHMARK))
    loaded = load_cases("mirage_medmcqa", path, max_bad_share=0.7)
    assert [case.id for case in loaded.cases] == ["mirage_medmcqa-8788091c-a8ef"]
    wrong, shapeless = loaded.rejected
    assert str(wrong).endswith("benchmark.json:2 gold 'E' is outside the options A to D")
    assert "question 'fded17fa-a604' is text, not an object" in str(shapeless)


def test_another_file_is_refused(write: Any) -> None:
    path = write("benchmark.json", json.dumps({"arc": BENCHMARK["medqa"]}))
    with pytest.raises(DataError, match=r"entry 1 is none of the sets mmlu, medqa, medmcqa"):
        load_cases("mirage_medqa", path)


def test_the_registry_knows_how_many_there_are() -> None:
    sizes = {n: s.protocol.size for n, s in SOURCES.items() if n.startswith("mirage_")}
    assert len(sizes) == 5 and sum(sizes.values()) == 7663
    assert sizes["mirage_mmlu"] == SOURCES["mmlu_medical"].protocol.size
    assert sizes["mirage_medqa"] == SOURCES["medqa"].protocol.size
    assert sizes["mirage_medmcqa"] == SOURCES["medmcqa"].protocol.size
    assert sizes["mirage_pubmedqa"] == SOURCES["pubmedqa_no_context"].protocol.size
