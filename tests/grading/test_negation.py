"""Which words of a clause are denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.grading.negation import clauses, scopes, stem


def denied(text: str) -> list[str]:
    return [
        word for clause in clauses(text) for word, no in zip(*scopes(clause), strict=True) if no
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No fever, cough or chills.", ["fever", "cough", "or", "chills"]),
        ("Effusion is not seen.", ["effusion"]),
        ("No fever but cough.", ["fever"]),
        ("Cannot exclude pneumonia.", []),
        ("Effusion rather than pneumonia", ["pneumonia"]),
        ("Clear lungs argue against pneumonia.", ["pneumonia"]),
        ("Insulin instead of surgery", ["surgery"]),
        ("no", [""]),
        ("", []),
    ],
)
def test_scopes(text: str, words: list[str]) -> None:
    assert denied(text) == words


def test_stems_are_american_singulars() -> None:
    assert [stem(w) for w in ("oedemas", "anaemia", "diagnosis", "nodules", "gas")] == [
        "edema", "anemia", "diagnosis", "nodule", "gas"
    ]  # fmt: skip


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for clause in clauses(text):
        words, no = scopes(clause)
        assert len(words) == len(no)
