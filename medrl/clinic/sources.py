"""Every set of cases that the clinic makes up as it is needed, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from medrl.calculators.notes import CALCULATION_SETS, calculation_set
from medrl.cases.case import Case
from medrl.chains.cases import chain_cases
from medrl.clinic.arithmetic import problems
from medrl.clinic.consultations import CONSULTATION_SETS, consultation_cases
from medrl.clinic.ehr import ehr_cases
from medrl.clinic.exams import EXAM_SETS, exam
from medrl.clinic.phantoms.cases import PHANTOM_SETS, phantom_cases
from medrl.clinic.preferences import candidates, pairs
from medrl.clinic.trials import trial_cases
from medrl.clinic.two_hops import search_cases

Make = Callable[[int, int, int], list[Case]]
"""Size, seed and clinic seed; the same, the same cases."""


def _first(source: Callable[..., Iterator[Case]], name: str) -> Make:
    """The first so many cases of an endless source."""
    return lambda size, seed, clinic_seed: list(islice(source(name, seed), size))


def _calculations(name: str) -> Make:
    return lambda size, seed, clinic_seed: calculation_set(name, size, seed)


def _verified(exam_set: str) -> Make:
    return lambda size, seed, clinic_seed: list(
        islice(candidates(exam_set, seed, clinic_seed), size)
    )


CLINIC_SETS: dict[str, Make] = {
    **{name: partial(exam, name) for name in EXAM_SETS},
    **{name: _calculations(name) for name in CALCULATION_SETS},
    "chains-train": partial(chain_cases, "train"),
    "chains-test": partial(chain_cases, "test"),
    "search-train": partial(search_cases, "train"),
    "search-test": partial(search_cases, "test"),
    "trials-train": partial(trial_cases, "train"),
    "trials-test": partial(trial_cases, "test"),
    "ehr-train": partial(ehr_cases, "train"),
    "ehr-test": partial(ehr_cases, "test"),
    "general-train": _first(problems, "train"),
    "general-test": _first(problems, "test"),
    "pairs-train": _first(pairs, "train"),
    "pairs-test": _first(pairs, "test"),
    "verify-train": _verified("train"),
    "verify-test": _verified("test-id"),
    **{name: partial(phantom_cases, name) for name in PHANTOM_SETS},
    **{name: partial(consultation_cases, name) for name in CONSULTATION_SETS},
}
