"""GPQA (Rein et al. 2023, arXiv:2311.12022), its medical part by our rule.

Published as CSV (``gpqa_main.csv``, ``gpqa_diamond.csv``, ``gpqa_extended.csv``) and on the hub,
where it asks for consent, with the columns ``Question``, ``Correct Answer``, ``Incorrect Answer 1``
to ``3``, ``High-level domain`` and ``Subdomain``. The authors ask that no question be shown on the
open web.

Two things are ours. *Medical* is the domain Biology, that is the subdomains Molecular Biology and
Genetics: 78 of the 448 questions of the main file, 19 of the diamond's 198. And the order of the
options, which the files leave open: by a hash of seed, question and option, so that it is the same
in every file and on every machine, and does not tell the answer.
"""

from __future__ import annotations

import hashlib

from medrl.cases import rows
from medrl.cases.case import LETTERS, Case
from medrl.cases.rows import Place, Row
from medrl.cases.sources.source import Hub, Protocol, Source, all_of

SEED = 0
"""Of the order of options; another one is another set."""

MEDICAL = "Biology"
_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def parse(row: Row, place: Place) -> Case | None:
    """A row of the CSV files or of the hub; ``None`` outside the domain."""
    if rows.text(row, "High-level domain") != MEDICAL:
        return None
    question, right = rows.text(row, "Question"), rows.text(row, "Correct Answer")
    options = [right, *(rows.text(row, column) for column in _WRONG)]
    options.sort(key=lambda option: _draw(question, option))
    identity = rows.optional_id(row, "Record ID")
    return rows.option_case(
        place,
        id=f"gpqa-{identity}" if identity else "",
        question=question,
        options=options,
        gold=LETTERS[options.index(right)],
        tags={"subdomain": rows.optional_text(row, "Subdomain")},
    )


def _draw(question: str, option: str) -> str:
    return hashlib.sha256(f"{SEED}\0{question}\0{option}".encode()).hexdigest()


SOURCE = Source(
    name="gpqa_medical",
    about="GPQA, domain Biology (our rule for medical), 4 options",
    licence="CC BY 4.0 (idavidrein/gpqa)",
    protocol=Protocol("test", 78, "4", "few: 95 % is +-11 points; the subset is ours", 2023),
    parse=parse,
    fields=frozenset(
        {"Question", "Correct Answer", *_WRONG, "High-level domain", "Subdomain", "Record ID"}
        | {"split"}
    ),
    files={"test": ("gpqa_main",)},
    hub=Hub("Idavidrein/gpqa", {"test": "train"}, ("gpqa_main",)),
    prepare=all_of("test"),
)
