"""PMC-VQA (Zhang et al. 2023, arXiv:2305.10415): figures of papers, four options, by a model.

CSV. The first version (``train.csv``, ``test.csv`` and ``test_clean.csv``, which people have
checked; figures in ``images.zip``) has ``Figure_path``, ``Question``, ``Answer`` (text), ``Choice
A`` to ``Choice D`` and ``Answer_label``. The second (``train_2.csv``, ``test_2.csv``,
``images_2.zip``, figures cut into their panels) has the letter as ``Answer`` and a ``Caption``,
which is not read: it would tell the answer. Choices repeat their letter (``B:Focal uptake
pattern``); it is taken away.
"""

from __future__ import annotations

import re

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import Place, Row
from medrl.cases.sources.source import Hub, Protocol, Source

_CHOICES = "ABCD"
_LED = re.compile(r"[A-D]\s*:\s*")


def parse(row: Row, place: Place) -> Case:
    """A row of either version."""
    options = [
        re.sub(rf"^{letter}\s*:\s*", "", rows.text(row, f"Choice {letter}")) for letter in _CHOICES
    ]
    gold, gold_text = rows.optional_text(row, "Answer_label"), rows.text(row, "Answer")
    if not gold:
        gold, gold_text = gold_text, ""
    return rows.option_case(
        place,
        id=place.case_id(place.origin.stem),  # test and test_clean are both of the test split
        question=rows.text(row, "Question"),
        options=options,
        gold=gold,
        gold_text=_LED.sub("", gold_text, count=1) if _LED.match(gold_text) else gold_text,
        images=pictures(row, "Figure_path", place),
        tags={"form": "closed", **rows.labels(row, ("split",))},
    )


_FIELDS = frozenset(
    {"Figure_path", "Question", "Answer", "Answer_label", "split"}
    | {f"Choice {letter}" for letter in _CHOICES}
)
_LICENCE = "CC BY-SA (RadGenome/PMC-VQA)"

FIRST = Source(
    name="pmc_vqa",
    about="PMC-VQA, figures of papers with a question, 4 options, first version",
    licence=_LICENCE,
    protocol=Protocol("test", 2000, "4", "test_clean; questions are a model's from captions", 2023),
    parse=parse,
    fields=_FIELDS,
    files={"train": ("train",), "test": ("test_clean",)},
    hub=Hub(
        "RadGenome/PMC-VQA",
        {"train": "train.csv", "test": "test_clean.csv"},
        archives=("images.zip",),
    ),
    pictures=("images", "figures", "images.zip"),
)

SECOND = Source(
    name="pmc_vqa_2",
    about="PMC-VQA, second version: figures cut into panels",
    licence=_LICENCE,
    protocol=Protocol("test", 33430, "4", "not checked by people", 2023),
    parse=parse,
    fields=_FIELDS,
    files={"train": ("train_2",), "test": ("test_2",)},
    hub=Hub(
        "RadGenome/PMC-VQA",
        {"train": "train_2.csv", "test": "test_2.csv"},
        archives=("images_2.zip",),
    ),
    pictures=("images_2", "figures", "images_2.zip"),
)
