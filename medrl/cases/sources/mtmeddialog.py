"""MTMedDialog (DoctorAgent-RL 2025, arXiv:2505.19630): consultations, translated from Chinese.

Four kinds of rows, told apart by their fields:

- ``MTMedDialog_test.json``: ``self_report``, ``dialogue``, ``diagnosis``, ``recommendation``,
  ``enhanced_description`` and ``category``.
- ``MTMedDialog_RL.parquet``: ``reward_model`` with ``ground_truth`` (``diagnosis``,
  ``recommendation``), ``patient_information`` and ``enhanced_description``; ``prompt`` holds
  messages, the first with the self-report between "Patient's description:" and "Decide next
  action:".
- ``MTMedDialog_sft_train.parquet`` and ``_val``: as before, with one turn of an expert as
  ``response`` and the turns before it in ``prompt``. A consultation is read from the row of its
  last turn; the rows of its earlier turns are left out and counted. The two files share
  consultations, so one file alone breaks some off (tag ``ends``: diagnosis or question).
- one row per consultation: ``description`` (the self-report), ``facts``, ``diagnosis``,
  ``recommendation`` and ``trajectory``, messages of ``user`` and ``assistant``.

``dialogue``, ``patient_information`` and ``facts`` are lists of ``doctor_question`` and
``patient_response``, each a text or a list of texts. A pair that lacks either is no fact.

The enhanced description stays as it is. A model wrote it that knew diagnosis and advice and was
told to support them, so it may name both: whoever lets a patient read it must watch what the
patient says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Literal

from medrl.cases import rows
from medrl.cases.case import Case, Reference
from medrl.cases.record import Fact, Record, Turn
from medrl.cases.rows import BadRow, Origin, OutsideSet, Place, RawRow, Row
from medrl.cases.sources.source import Protocol, Source

Message = tuple[str, str]
"""Role and content."""

EARLIER = "_earlier"
"""Field of a row whose turn is inside another row."""

_COMPLAINT = re.compile(r"Patient's description:\s*(.*?)\s*(?:Decide next action:|\Z)", re.DOTALL)
_SPEAKERS: Mapping[str, Literal["policy", "environment"]] = {
    "user": "environment",
    "assistant": "policy",
}
"""By role, in the order of a consultation."""


def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Say of rows for reinforcement learning that they are for training, and mark turns that a
    later row of the file repeats."""
    read = list(stream)
    inside = {
        _key(said[: k + 1])
        for raw in read
        if (said := _said(raw.values))
        for k in range(len(said) - 1)
    }
    for raw in read:
        values = dict(raw.values)
        said = _said(values)
        if said and _key(said) in inside:
            values[EARLIER] = True
        if "reward_model" in values and "response" not in values:
            values.setdefault("split", "train")
        yield RawRow(raw.number, values, raw.problem)


def _said(row: Row) -> list[Message]:
    """All messages of a row for imitation, its response last; empty for other and bad rows."""
    try:
        return [*_messages(row, "prompt"), ("assistant", rows.text(row, "response"))]
    except BadRow:
        return []


def _key(said: Sequence[Message]) -> tuple[Message, ...]:
    """Blanks at the ends may differ between a response and its repetition."""
    return tuple((role, content.strip()) for role, content in said)


def parse(row: Row, place: Place) -> Case:
    """A consultation, or the last turn of one."""
    if row.get(EARLIER):
        raise OutsideSet("an earlier turn of a consultation that another row has whole")
    if "reward_model" in row:
        return _parse_published(row, place)
    if "trajectory" in row:
        return _case(
            row,
            place,
            complaint=rows.text(row, "description"),
            facts=_facts(row, "facts"),
            transcript=_transcript(_messages(row, "trajectory"), "trajectory"),
        )
    return _case(
        row,
        place,
        complaint=rows.text(row, "self_report"),
        facts=_facts(row, "dialogue"),
        description=rows.optional_text(row, "enhanced_description"),
    )


def _parse_published(row: Row, place: Place) -> Case:
    """A row of one of the Parquet files."""
    known = rows.mapping(row, "reward_model")
    messages = _messages(row, "prompt")
    if "response" in row:
        rows.text(row, "response")
        messages.append(("assistant", row["response"]))  # as it is written, blanks and all
    transcript = _transcript(messages, "prompt")
    complaint = _COMPLAINT.search(messages[0][1])
    return _case(
        rows.mapping(known, "ground_truth"),
        place,
        complaint=complaint[1] if complaint else messages[0][1].strip(),
        facts=_facts(known, "patient_information"),
        description=rows.optional_text(known, "enhanced_description"),
        transcript=transcript,
    )


def _case(
    truth: Row,
    place: Place,
    *,
    complaint: str,
    facts: tuple[Fact, ...],
    description: str = "",
    transcript: tuple[Turn, ...] = (),
) -> Case:
    if not complaint:
        raise BadRow("the patient's first message is empty")
    if not facts and not description:
        raise BadRow("no facts and no description: there is nothing to ask this patient")
    tags = rows.labels(truth, ("category",))
    if transcript:
        tags["ends"] = "diagnosis" if "Diagnosis" in transcript[-1].text else "question"
    return rows.new_case(
        place,
        id=rows.optional_id(truth, "id"),
        question=complaint,
        reference=Reference("phrase", rows.text(truth, "diagnosis")),
        tags=tags,
        record=Record(facts, description, rows.optional_text(truth, "recommendation")),
        transcript=transcript,
    )


def _facts(row: Row, field: str) -> tuple[Fact, ...]:
    """The pairs of a question and an answer."""
    pairs = [
        Fact(_words(pair, "doctor_question", field), _words(pair, "patient_response", field))
        for pair in rows.mappings(row, field)
    ]
    return tuple(fact for fact in pairs if fact.question and fact.answer)


def _words(pair: Row, key: str, field: str) -> str:
    """A text, or several joined by blanks; empty where there is none."""
    value = pair.get(key)
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise BadRow(f"'{key}' in field '{field}' is neither text nor a list of texts")
    return " ".join(text.strip() for text in texts).strip()


def _messages(row: Row, field: str) -> list[Message]:
    """What patient and doctor say, as it is written; a system message is left out."""
    said = [message for message in rows.mappings(row, field) if message.get("role") != "system"]
    messages = []
    for number, message in enumerate(said, 1):
        role, content = message.get("role"), message.get("content")
        if role not in _SPEAKERS or not isinstance(content, str) or not content.strip():
            raise BadRow(f"message {number} of '{field}' has no role user or assistant, or no text")
        messages.append((str(role), content))
    return messages


def _transcript(messages: Sequence[Message], field: str) -> tuple[Turn, ...]:
    """The turns behind the complaint. The patient begins; whoever replies, the doctor ends."""
    in_turn = zip(messages, cycle(_SPEAKERS), strict=False)
    for number, ((role, _), expected) in enumerate(in_turn, 1):
        if role != expected:
            raise BadRow(f"message {number} of '{field}' is by the {role} again")
    turns = tuple(Turn(_SPEAKERS[role], content) for role, content in messages[1:])
    if not messages or (turns and turns[-1].speaker != "policy"):
        raise BadRow(f"field '{field}' does not begin with the patient and end with the doctor")
    return turns


SOURCE = Source(
    name="mtmeddialog",
    about="MTMedDialog, patients to be asked, with a diagnosis; experts' consultations",
    licence="Apache-2.0 (JarvisUSTC/DoctorAgent-RL); made of IMCS21, CHIP-MDCFNPC and MedDG",
    protocol=Protocol(
        "test", 2082, "none",
        "a judge scores diagnosis and advice 0 to 5 each, times 20; say which judge",
        2025,
    ),
    parse=parse,
    fields=frozenset(
        {"self_report", "dialogue", "diagnosis", "recommendation", "enhanced_description"}
        | {"category", "reward_model", "prompt", "response", "description", "facts", "trajectory"}
        | {"id", "split", EARLIER}
    ),
    files={"train": ("MTMedDialog_RL",), "test": ("MTMedDialog_test",)},
    prepare=prepare,
)  # fmt: skip
