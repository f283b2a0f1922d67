"""MIRAGE (Xiong et al. 2024, arXiv:2402.13178): five sets for answering with retrieved documents.

``benchmark.json`` is one object: ``mmlu``, ``medqa``, ``medmcqa``, ``pubmedqa`` and ``bioasq``,
each from an id to ``question``, ``options`` and ``answer`` (a letter). Here they are five data
sets, because MIRAGE reports each by itself and their plain mean. All but BioASQ are splits that
other loaders read as well: MMLU-Med, MedQA-US and PubMedQA* (without its abstract) the test splits,
MedMCQA the validation split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.rows import Origin, Place, RawRow, Row
from medrl.cases.sources.source import Protocol, Source
from medrl.errors import DataError

_SETS = {
    "mmlu": ("MMLU-Med, six medical subjects", 1089, "4", 2020),
    "medqa": ("MedQA-US, licensing exams", 1273, "4", 2020),
    "medmcqa": ("MedMCQA, Indian entrance exams", 4183, "4", 2022),
    "pubmedqa": ("PubMedQA*, yes/no/maybe without the abstract", 500, "3", 2019),
    "bioasq": ("BioASQ-Y/N 2019 to 2023, yes or no", 618, "2", 2023),
}


def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Unfold one set of the benchmark; its questions are numbered through.

    Raises:
        DataError: the file is not the benchmark.
    """
    wanted = origin.dataset.removeprefix("mirage_")
    for raw in stream:
        if raw.values.get("_key") not in _SETS:
            raise DataError(
                f"{origin.file}: entry {raw.number} is none of the sets {', '.join(_SETS)}",
                "give MIRAGE's benchmark.json",
            )
        if raw.values["_key"] != wanted:
            continue
        questions = [(key, value) for key, value in raw.values.items() if key != "_key"]
        for number, (key, value) in enumerate(questions, 1):
            if isinstance(value, Mapping):
                yield RawRow(number, {**value, "_key": key, "split": "test"})
            else:
                problem = f"question '{key}' is {rows.kind_of(value)}, not an object"
                yield RawRow(number, {"split": "test"}, problem)


def parse(row: Row, place: Place) -> Case:
    """A question of the set asked for."""
    key = rows.text(row, "_key")
    subject, found, _ = key.rpartition("-")
    return rows.option_case(
        place,
        id=f"{place.origin.dataset}-{key}",
        question=rows.text(row, "question"),
        options=rows.options(row.get("options")),
        gold=rows.text(row, "answer"),
        tags={"subject": subject} if found and place.origin.dataset == "mirage_mmlu" else {},
    )


SOURCES = tuple(
    Source(
        name=f"mirage_{name}",
        about=f"MIRAGE: {about}",
        licence="as the sets themselves; collected by Teddy-XiongGZ/MIRAGE",
        protocol=Protocol(
            "test", size, options, "documents are retrieved by the question alone", since
        ),
        parse=parse,
        fields=frozenset({"_key", "split", "question", "options", "answer"}),
        files={"test": ("benchmark",)},
        prepare=prepare,
    )
    for name, (about, size, options, since) in _SETS.items()
)
