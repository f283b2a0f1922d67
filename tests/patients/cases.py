"""Consultations for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.cases.loading import load_cases
from medrl.cases.record import Fact, Record

FACTS = (
    Fact("Any dysuria?", "Yes, burning when I pee."),
    Fact("Any fever?", "Yes, feeling hot and shivery."),
    Fact("Any flank pain?", "No, not pain in my side."),
    Fact("Any smoking?", "No, not smoking cigarettes."),
)
CASE = Case(
    id="c-1",
    question="My trouble is shaking with cold. (30-year-old woman)",
    reference=Reference("phrase", "acute pyelonephritis"),
    source=Provenance("test"),
    record=Record(FACTS, "30-year-old woman with burning when I pee.", "oral ciprofloxacin."),
)


def consultation(
    *facts: tuple[str, str], diagnosis: str = "acute pyelonephritis", report: str = CASE.question
) -> Case:
    """A case with these questions and answers as its record."""
    record = Record(tuple(Fact(*pair) for pair in facts), "", "rest and fluids.")
    reference = Reference("phrase", diagnosis)
    return Case("c-2", report, reference, Provenance("test"), record=record)


def mtmeddialog(folder: Path) -> list[Case]:
    """The real consultations of MTMedDialog; the test is skipped where they are not there."""
    file = folder / "consult" / "mtmeddialog_cases.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    return load_cases("mtmeddialog", file).cases
