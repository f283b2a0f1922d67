"""AgentClinic (Schmidgall et al. 2024, arXiv:2405.07960): stations of an OSCE, made of MedQA.

Rows of ``agentclinic_medqa.jsonl`` (107), ``agentclinic_medqa_extended.jsonl`` (214, these among
them) and ``agentclinic_mimiciv.jsonl`` are objects ``OSCE_Examination``: ``Patient_Actor``,
``Physical_Examination_Findings``, ``Test_Results`` and ``Correct_Diagnosis``. The compact form has
the same object as ``osce``. The files of the NEJM have other fields and are not read.

The question is the primary symptom with who the patient is, as in ``Double vision (35-year-old
female)``. What else the patient knows are facts under a question of ours; examinations and tests
are facts under their own names, one per object that holds a finding. A patient whose first words
would name the diagnosis is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medrl.cases import rows
from medrl.cases.case import Case, Reference
from medrl.cases.record import Fact, Record
from medrl.cases.rows import BadRow, OutsideSet, Place, Row
from medrl.cases.sources.source import Protocol, Source, all_of
from medrl.cases.text import normalise

QUESTIONS = {
    "Demographics": "How old are you?",
    "History": "What happened, and since when?",
    "Secondary_Symptoms": "Do you have any other symptoms?",
    "Past_Medical_History": "Have you had any illnesses or operations before?",
    "Current_Medications": "Do you take any medications?",
    "Social_History": "Do you smoke, drink or take drugs, and how do you live?",
    "Review_of_Systems": "Have you noticed anything else, anywhere in your body?",
}
"""How we let a doctor ask for what a patient knows. Other fields are asked for by their names."""


def parse(row: Row, place: Place) -> Case:
    """A station."""
    station = rows.mapping(row, "osce" if "osce" in row else "OSCE_Examination")
    diagnosis = rows.text(station, "Correct_Diagnosis")
    patient = dict(rows.mapping(station, "Patient_Actor"))
    symptoms = dict(rows.mapping(patient, "Symptoms"))
    complaint = rows.text(symptoms, "Primary_Symptom")
    if f" {normalise(diagnosis)} " in f" {normalise(complaint)} ":
        raise OutsideSet("the patient's first words name the diagnosis")
    del patient["Symptoms"], symptoms["Primary_Symptom"]
    facts = (
        *_of_patient({**patient, **symptoms}),
        *_found(rows.mapping(station, "Physical_Examination_Findings"), "What do you find on"),
        *_found(rows.mapping(station, "Test_Results"), "What is the result of"),
    )
    return rows.new_case(
        place,
        id=rows.optional_id(row, "id"),
        question=f"{complaint.rstrip('.')} ({rows.text(patient, 'Demographics')})",
        reference=Reference("phrase", diagnosis),
        record=Record(facts),
    )


def _of_patient(known: Row) -> Iterator[Fact]:
    for name, value in known.items():
        if told := _told(value):
            yield Fact(QUESTIONS.get(name) or f"What about your {_words(name)}?", told)


def _found(findings: Row, ask: str, path: str = "") -> Iterator[Fact]:
    """A fact for every object with a finding of its own; objects that only hold others are
    named in the question of these."""
    lone = {name: value for name, value in findings.items() if not isinstance(value, Mapping)}
    if path and lone:
        if told := _told(findings):
            yield Fact(f"{ask} {path}?", told)
        return
    for name, value in findings.items():
        below = f"{path}, {_words(name)}" if path else _words(name)
        if isinstance(value, Mapping):
            yield from _found(value, ask, below)
        elif told := _told(value):
            yield Fact(f"{ask} {below}?", told)


def _told(value: object) -> str:
    """A value of any depth in words, names before what they hold; empty if it says nothing."""
    if isinstance(value, Mapping):
        parts = [f"{_words(name)}: {told}" for name, part in value.items() if (told := _told(part))]
        return "; ".join(parts)
    if isinstance(value, list):
        return "; ".join(filter(None, map(_told, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value).strip()
    raise BadRow(f"a finding is {rows.kind_of(value)}")


def _words(name: str) -> str:
    """``vital signs`` for ``Vital_Signs``; ``MRI`` stays."""
    words = name.replace("_", " ").split()
    return " ".join(word.lower() if word[1:].islower() else word for word in words)


SOURCE = Source(
    name="agentclinic",
    about="AgentClinic, patients with findings of examinations and tests, and a diagnosis",
    licence="MIT (SamuelSchmidgall/AgentClinic)",
    protocol=Protocol(
        "test", 214, "none",
        "made of MedQA; a judge says whether the diagnosis is the same, after 20 turns at most",
        2024,
    ),
    parse=parse,
    fields=frozenset({"id", "split", "osce", "OSCE_Examination"}),
    files={"test": ("agentclinic_medqa_extended",)},
    prepare=all_of("test"),
)  # fmt: skip
