"""The axes along which data is varied: how long, how well labelled, how even its answers, from how
many sets, in how many orders of options.

AlphaMed asks which data make reinforcement learning work. Quantity is ``size``; difficulty is in
``difficulty.py``; how many clues a patient of the clinic shows is in ``medrl.clinic.exams``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medrl.cases.case import Case
from medrl.cases.shuffle import shuffle_options
from medrl.errors import DataError

TRUE_ANSWER = "answer before noise"
"""Tag of a case whose right answer was replaced: what it was."""


def words(case: Case) -> int:
    """Length of a question with its context, options left out. In words, not in a model's tokens,
    so that every model is given the same cases."""
    return len(f"{case.context} {case.question}".split())


def length_band(cases: Sequence[Case], lo: float, hi: float) -> list[Case]:
    """The cases from share ``lo`` to ``hi`` of the set when it is ordered by length.

    Of equally long cases the earlier comes first, so bands that meet split a set exactly.

    Args:
        lo, hi: shares in [0, 1]; (0.5, 1) is the longer half.

    Returns:
        Cases in their old order.

    Raises:
        DataError: the band is empty.
    """
    ranked = sorted(range(len(cases)), key=lambda i: words(cases[i]))
    first, last = round(lo * len(cases)), round(hi * len(cases))
    if first >= last:
        raise DataError(
            f"no case lies between the shares {lo:g} and {hi:g} of {len(cases)} cases by length",
            "widen length.lo and length.hi",
        )
    return [cases[i] for i in sorted(ranked[first:last])]


def balance(cases: Sequence[Case], size: int | None = None) -> list[Case]:
    """As many cases with each right answer (the letter, of multiple choice): the first of each, so
    that whoever always says the same is right once in k times.

    Args:
        size: most cases in all; none: as many as the rarest answer allows.

    Returns:
        Cases in their old order.

    Raises:
        DataError: a case is no multiple choice, or ``size`` has no room for all answers.
    """
    for case in cases:
        if case.reference.kind not in ("option", "label"):
            raise DataError(
                f"{case.source} (case {case.id}) has answers without number to balance",
                "use balanced with multiple choice only",
            )
    counts = Counter(case.reference.value for case in cases)
    most = min(counts.values(), default=0)
    if size is not None:
        most = min(most, size // len(counts))
    if not most:
        raise DataError(
            f"{size} cases cannot be balanced over the answers {', '.join(sorted(counts))}",
            f"use a size of {len(counts)} or more",
        )
    taken: Counter[str] = Counter()
    kept = []
    for case in cases:
        taken[case.reference.value] += 1
        if taken[case.reference.value] <= most:
            kept.append(case)
    return kept


def flip_labels(cases: Sequence[Case], share: float, seed: int) -> list[Case]:
    """Replace the right answer of ``round(share * n)`` of n cases by a wrong option.

    What was right is kept in a tag. With one seed, the cases flipped at a smaller share are flipped
    at a larger one too.

    Args:
        share: in [0, 1].

    Raises:
        DataError: a case to flip has no options.
    """
    order = list(range(len(cases)))
    random.Random(f"noise:{seed}").shuffle(order)
    flipped = set(order[: round(share * len(cases))])
    return [_flipped(case, seed) if i in flipped else case for i, case in enumerate(cases)]


def _flipped(case: Case, seed: int) -> Case:
    reference = case.reference
    choices = reference.letters if reference.kind == "option" else reference.options
    wrong = [choice for choice in choices if choice != reference.value]
    if reference.kind not in ("option", "label") or not wrong:
        raise DataError(
            f"{case.source} (case {case.id}) has no other option that noise could make right",
            "use noise with multiple choice only",
        )
    value = random.Random(f"noise:{seed}:{case.id}").choice(wrong)
    # Another id: what a model got right of the true case does not count for this one.
    return replace(
        case,
        id=f"{case.id}-noise",
        reference=replace(reference, value=value),
        tags={**case.tags, TRUE_ANSWER: reference.value},
    )


def in_orders(cases: Sequence[Case], orders: int) -> list[Case]:
    """Each case ``orders`` times, first as it is, then with its options in other orders.

    Whoever trains on few cases learns their letters otherwise. Copies lose their rationale, which
    may name the old letter.
    """
    return [case if k == 0 else _in_order(case, k) for k in range(orders) for case in cases]


def _in_order(case: Case, order: int) -> Case:
    tags = {name: value for name, value in case.tags.items() if name != "rationale"}
    return replace(shuffle_options(case, order), id=f"{case.id}-order-{order}", tags=tags)


def unite(sets: Sequence[Sequence[Case]], names: Sequence[str]) -> list[Case]:
    """One list of several sets, in order.

    Args:
        names: of the sets, for the error.

    Raises:
        DataError: two sets share a case.
    """
    first_in: dict[str, str] = {}
    for name, cases in zip(names, sets, strict=True):
        for case in cases:
            if case.id in first_in:
                raise DataError(
                    f"case {case.id} is both in {first_in[case.id]} and in {name}",
                    "drop one of the two sets, or give clinic sets different seeds",
                )
        first_in |= {case.id: name for case in cases}
    return [case for cases in sets for case in cases]
