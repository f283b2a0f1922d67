"""The axes of training data: length, label noise, mixtures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.cases.axes import (
    TRUE_ANSWER,
    balance,
    flip_labels,
    in_orders,
    length_band,
    unite,
    words,
)
from medrl.cases.case import Case, Reference
from medrl.errors import DataError
from tests.tiny import case


def questions(*lengths: int) -> list[Case]:
    """One case per length in words."""
    return [case(name=f"case-{i}", question=" ".join(["word"] * n)) for i, n in enumerate(lengths)]


def ids(cases: list[Case]) -> list[str]:
    return [found.id.removeprefix("case-") for found in cases]


# --- length --------------------------------------------------------------------------------------


def test_length_counts_question_and_context_but_no_options() -> None:
    assert words(case(question="What  helps\nnow?", context="An abstract.")) == 5


def test_a_band_of_lengths_by_hand() -> None:
    cases = questions(9, 2, 5, 5, 7, 1)  # by length: 5, 1, 2, 3, 4, 0
    assert ids(length_band(cases, 0, 0.5)) == ["1", "2", "5"]
    assert ids(length_band(cases, 0.5, 1)) == ["0", "3", "4"]
    assert ids(length_band(cases, 0.34, 0.67)) == ["2", "3"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_bands_that_meet_split_a_set(lengths: list[int], cut: float) -> None:
    cases = questions(*lengths)
    halves = []
    for lo, hi in ((0.0, cut), (cut, 1.0)):
        try:
            halves.append(length_band(cases, lo, hi))
        except DataError:
            halves.append([])
    short, long = halves
    assert sorted(ids(short) + ids(long)) == sorted(ids(cases))
    assert len(short) == round(cut * len(cases))
    assert max(map(words, short), default=0) <= min(map(words, long), default=9)


# --- balance -------------------------------------------------------------------------------------


def answered(letters: str) -> list[Case]:
    """One case per letter that is its right answer."""
    four = Reference("option", "A", ("one", "two", "three", "four"))
    return [
        replace(case(name=f"case-{i}"), reference=replace(four, value=letter))
        for i, letter in enumerate(letters)
    ]


def test_a_balance_by_hand() -> None:
    cases = answered("AABABBAAC")
    assert ids(balance(cases[:-1])) == ["0", "1", "2", "3", "4", "5"]
    assert ids(balance(answered("AAAABA"))) == ["0", "4"]
    assert ids(balance(cases)) == ["0", "2", "8"]
    assert ids(balance(cases[:-1], 5)) == ["0", "1", "2", "4"]
    assert ids(balance(cases[:-1], 50)) == ["0", "1", "2", "3", "4", "5"]


def test_what_cannot_be_balanced_is_refused() -> None:
    phrase = replace(case(), reference=Reference("phrase", "aspirin"))
    with pytest.raises(DataError, match="without number to balance"):
        balance([*answered("AB"), phrase])
    with pytest.raises(DataError, match="1 cases cannot be balanced over the answers A, B") as few:
        balance(answered("AB"), 1)
    assert few.value.fix == "use a size of 2 or more"


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(DataError, match=r"between the shares 0.5 and 0.6 of 3 cases"):
        length_band(questions(1, 2, 3), 0.5, 0.6)


# --- noise ---------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_the_share_of_wrong_labels_is_exact_and_each_is_another_option(
    n: int, share: float, seed: int
) -> None:
    cases = [case("ABCD"[i % 4], name=f"case-{i}") for i in range(n)]
    noisy = flip_labels(cases, share, seed)
    changed = [(a, b) for a, b in zip(cases, noisy, strict=True) if a != b]
    assert len(changed) == round(share * n)
    for true, false in changed:
        assert false.reference.value in "ABCD" and false.reference.value != true.reference.value
        assert false.tags[TRUE_ANSWER] == true.reference.value
        assert false.id == f"{true.id}-noise"
        assert replace(false, id=true.id, tags=true.tags, reference=true.reference) == true


def test_noise_hangs_on_its_seed_and_more_noise_contains_less() -> None:
    cases = [case(name=f"case-{i}") for i in range(200)]
    some, more = flip_labels(cases, 0.1, 3), flip_labels(cases, 0.3, 3)
    assert flip_labels(cases, 0.1, 3) == some and flip_labels(cases, 0.1, 4) != some
    assert all(b == a for a, b in zip(some, more, strict=True) if TRUE_ANSWER in a.tags)
    letters = Counter(c.reference.value for c in more if TRUE_ANSWER in c.tags)
    assert sum(letters.values()) == 60 and set(letters) == set("ACD")
    assert min(letters.values()) > 8  # 20 expected of each


def test_a_label_can_be_wrong_and_free_text_cannot() -> None:
    label = replace(case(), reference=Reference("label", "yes", ("yes", "no")))
    assert flip_labels([label], 1.0, 0)[0].reference.value == "no"
    phrase = replace(case(), reference=Reference("phrase", "sepsis"))
    with pytest.raises(DataError, match=r"case-1\) has no other option"):
        flip_labels([phrase], 1.0, 0)
    assert flip_labels([phrase], 0.0, 0) == [phrase]


# --- mixtures ------------------------------------------------------------------------------------


def test_a_case_in_many_orders_keeps_its_answer_and_loses_its_letter() -> None:
    asked = [case("B", tags={"rationale": "rest (B).", "style": "note"}), case("C", name="case-2")]
    found = in_orders(asked, 40)
    assert found[:2] == asked and in_orders(asked, 1) == asked
    assert len({c.id for c in found}) == len(found) == 80
    first = found[::2]
    assert {c.reference.gold_text for c in first} == {asked[0].reference.gold_text}
    assert {c.reference.value for c in first} == set("ABCD")
    assert len({c.reference.options for c in first}) > 12
    assert all("rationale" not in c.tags and c.tags["style"] == "note" for c in first[1:])


def test_a_mixture_holds_each_set_in_order_and_no_case_twice() -> None:
    one, two = questions(1, 2), [case(name="other")]
    assert unite([one, two], ["one", "two"]) == [*one, *two]
    with pytest.raises(DataError, match="case case-1 is both in one and in two") as refused:
        unite([one, [one[1]]], ["one", "two"])
    assert "seeds" in refused.value.fix
