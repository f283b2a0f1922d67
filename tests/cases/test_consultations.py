"""Patients who are to be asked: what they know, what they say first, what experts did with them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medrl.cases import Case, load_cases
from medrl.cases.record import Fact, Record, Turn
from medrl.cases.text import normalise
from medrl.errors import DataError
from medrl.grading import Grader, prove

ASKED = {"doctor_question": ["How long?", "Any fever?"], "patient_response": ["Two days.", "No."]}
TRUTH = {"diagnosis": "It is gastritis.", "recommendation": "Eat bland food."}
TEST: dict[str, Any] = {
    "self_report": "My stomach hurts. (Female, 20 years old)",
    "dialogue": [ASKED, {"doctor_question": ["Do rest."]}, {"patient_response": ["Thanks."]}],
    **TRUTH,
    "enhanced_description": "She has had pain for two days and no fever.",
    "category": "Digestive System Diseases",
}
PROMPT = (
    "<|im_start|>user\nListen carefully to the patient's description, ask questions.\n"
    "Patient's description: My stomach hurts.\nIt is worse at night.\n\n\n"
    "Decide next action:\nAlways output: <think> ...<|im_end|>\n<|im_start|>assistant\n<think>"
)
FIRST = "<think>How long?</think>\n<answer>Question: How long has this been so?</answer>"
LAST = "<think>Enough.</think>\n<answer>Diagnosis: gastritis\nRecommendation: rest</answer>\n"


def known(**more: Any) -> dict[str, Any]:
    return {"ground_truth": TRUTH, "patient_information": [ASKED], **more}


def say(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def turns_of_one(complaint: str) -> list[dict[str, Any]]:
    """The published rows of one consultation, one per turn of the doctor."""
    system = say("system", "You are an experienced doctor.")
    opening = [system, say("user", f"Patient's description: {complaint}\nDecide next action:\n...")]
    prompts = [opening, [*opening, say("assistant", f"{FIRST}\n"), say("user", "Since Monday.")]]
    return [
        {"data_source": "sft", "prompt": prompt, "response": response, "reward_model": known()}
        for prompt, response in zip(prompts, (FIRST, LAST), strict=True)
    ]


def test_mtmeddialog_test_set(write: Any, tmp_path: Path) -> None:
    write("data/MTMedDialog_test.json", json.dumps([TEST, {**TEST, "recommendation": ""}]))
    first, second = load_cases("mtmeddialog", tmp_path, split="test").cases
    assert first.id == "mtmeddialog-test-00001"
    assert first.question == "My stomach hurts. (Female, 20 years old)"
    assert first.reference.kind == "phrase" and first.reference.value == "It is gastritis."
    assert first.record == Record(
        (Fact("How long? Any fever?", "Two days. No."),),
        "She has had pain for two days and no fever.",
        "Eat bland food.",
    )
    assert first.tags == {"category": "Digestive System Diseases"} and not first.transcript
    assert second.record and second.record.recommendation == ""


def test_mtmeddialog_for_reinforcement_learning(tmp_path: Path) -> None:
    rows = [
        {
            "data_source": "medical_consultation",
            "prompt": [say("user", PROMPT)],
            "reward_model": known(enhanced_description="Pain for two days."),
            "extra_info": {"index": 3},
        },
        {"prompt": [say("user", PROMPT)], "reward_model": known(enhanced_description=None)},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "MTMedDialog_RL.parquet")
    loaded = load_cases("mtmeddialog", tmp_path, split="train")
    assert [case.question for case in loaded.cases] == [
        "My stomach hurts.\nIt is worse at night."
    ] * 2
    described = [case.record.description for case in loaded.cases if case.record]
    assert described == ["Pain for two days.", ""]
    assert loaded.cases[0].record and loaded.cases[0].record.recommendation == "Eat bland food."
    assert loaded.unread == ("data_source", "extra_info")


def test_mtmeddialog_turns_are_put_back_together(tmp_path: Path) -> None:
    one, other = turns_of_one("It itches."), turns_of_one("It aches.")
    cut = turns_of_one("It burns.")[:1]  # the row of its last turn is in the other file
    path = tmp_path / "MTMedDialog_sft_train.parquet"
    pq.write_table(pa.Table.from_pylist([one[1], other[0], *cut, one[0], other[1]]), path)
    loaded = load_cases("mtmeddialog", path, split="train")
    assert [case.question for case in loaded.cases] == ["It itches.", "It burns.", "It aches."]
    assert [case.tags["ends"] for case in loaded.cases] == ["diagnosis", "question", "diagnosis"]
    assert loaded.cases[0].transcript == (
        Turn("policy", f"{FIRST}\n"),
        Turn("environment", "Since Monday."),
        Turn("policy", LAST),
    )
    assert loaded.cases[1].transcript == (Turn("policy", FIRST),)
    assert loaded.skipped == 2 and not loaded.rejected
    assert list(loaded.unasked) == ["an earlier turn of a consultation that another row has whole"]


JOINED: dict[str, Any] = {
    "id": "c-1",
    "description": "It itches.",
    "facts": [
        {"doctor_question": "How long?", "patient_response": "A week."},
        {"doctor_question": "Anything else?", "patient_response": ""},
    ],
    **TRUTH,
    "trajectory": [
        say("user", "It itches."),
        say("assistant", FIRST),
        say("user", "A week."),
        say("assistant", LAST),
    ],
    "ends_with_diagnosis": True,
    "system_prompt": 0,
}


def test_mtmeddialog_consultation_by_consultation(write: Any) -> None:
    (case,) = load_cases("mtmeddialog", write("own.jsonl", [JOINED])).cases
    assert case.id == "c-1" and case.question == "It itches."
    assert case.record == Record((Fact("How long?", "A week."),), "", "Eat bland food.")
    assert [turn.speaker for turn in case.transcript] == ["policy", "environment", "policy"]
    assert case.transcript[-1].text == LAST  # blanks at its end included


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"description": ""}, "field 'description' is empty"),
        ({"diagnosis": None}, "field 'diagnosis' is missing"),
        ({"facts": None}, "field 'facts' is missing"),
        ({"facts": {}}, "field 'facts' is an object, not a list of objects"),
        ({"facts": ["How long?"]}, "field 'facts' is text, not an object"),
        ({"facts": [{"doctor_question": 3}]}, "'doctor_question' in field 'facts' is neither"),
        ({"facts": []}, "no facts and no description"),
        ({"trajectory": []}, "'trajectory' does not begin with the patient and end with the doc"),
        ({"trajectory": JOINED["trajectory"][:3]}, "does not begin with the patient and end with"),
        ({"trajectory": JOINED["trajectory"][1:]}, "message 1 of 'trajectory' is by the assistant"),
        (
            {"trajectory": [*JOINED["trajectory"], say("assistant", LAST)]},
            "message 5 of 'trajectory' is by the assistant again",
        ),
        ({"trajectory": [say("doctor", "Hm.")]}, "message 1 of 'trajectory' has no role"),
        ({"trajectory": [say("user", " ")]}, "message 1 of 'trajectory' has no role"),
        ({"reward_model": "x"}, "field 'reward_model' is text, not an object"),
        ({"reward_model": {}, "prompt": [say("user", "x")]}, "field 'ground_truth' is missing"),
        ({"reward_model": {}, "prompt": [], "response": " "}, "field 'response' is empty"),
    ],
)
def test_mtmeddialog_names_what_is_wrong(write: Any, change: dict[str, Any], reason: str) -> None:
    path = write("own.jsonl", [JOINED, {**JOINED, "id": "c-2", **change}])
    (bad,) = load_cases("mtmeddialog", path, max_bad_share=0.5).rejected
    assert bad.provenance.row == 2 and reason in bad.reason


STATION: dict[str, Any] = {
    "Objective_for_Doctor": "Assess the patient with myasthenia.",
    "Patient_Actor": {
        "Demographics": "35-year-old female",
        "History": "For a month she has seen double.",
        "Symptoms": {"Primary_Symptom": "Double vision.", "Secondary_Symptoms": ["Weak", "Tired"]},
        "Past_Medical_History": None,
        "Family_History": {"Mother": "lupus", "Alive": True},
        "Review_of_Systems": "Denies chest pain.",
    },
    "Physical_Examination_Findings": {
        "Vital_Signs": {"Temperature": "36.6 C", "Heart_Rate": 72},
        "Appearance": "Tired",
    },
    "Test_Results": {
        "Blood_Work": {"CBC": {"WBC": "normal"}, "LDH": "high"},
        "Imaging": {"Chest_CT": {"Findings": "No thymoma", "Comments": ""}, "MRI": {}},
        "Monospot": "",
    },
    "Correct_Diagnosis": "Myasthenia gravis",
}


@pytest.mark.parametrize("key", ["OSCE_Examination", "osce"])
def test_agentclinic(write: Any, tmp_path: Path, key: str) -> None:
    write("agentclinic_medqa_extended.jsonl", [{key: STATION}])
    (case,) = load_cases("agentclinic", tmp_path, split="test").cases
    assert case.question == "Double vision (35-year-old female)"
    assert case.reference.kind == "phrase" and case.reference.value == "Myasthenia gravis"
    assert case.record and [(fact.question, fact.answer) for fact in case.record.facts] == [
        ("How old are you?", "35-year-old female"),
        ("What happened, and since when?", "For a month she has seen double."),
        ("What about your family history?", "mother: lupus; alive: yes"),
        ("Have you noticed anything else, anywhere in your body?", "Denies chest pain."),
        ("Do you have any other symptoms?", "Weak; Tired"),
        ("What do you find on vital signs?", "temperature: 36.6 C; heart rate: 72"),
        ("What do you find on appearance?", "Tired"),
        ("What is the result of blood work?", "CBC: WBC: normal; LDH: high"),
        ("What is the result of imaging, chest CT?", "findings: No thymoma"),
    ]


def test_agentclinic_does_not_give_the_diagnosis_away(write: Any) -> None:
    said = {"Primary_Symptom": "Worse myasthenia gravis", "Secondary_Symptoms": []}
    patient = {**STATION["Patient_Actor"], "Symptoms": said}
    path = write("a.jsonl", [{"osce": STATION}, {"osce": {**STATION, "Patient_Actor": patient}}])
    loaded = load_cases("agentclinic", path)
    assert len(loaded.cases) == 1 and dict(loaded.unasked) == {
        "the patient's first words name the diagnosis": 1
    }


@pytest.mark.parametrize("field", ["Patient_Actor", "Test_Results", "Correct_Diagnosis"])
def test_agentclinic_names_what_is_missing(write: Any, field: str) -> None:
    station = {name: value for name, value in STATION.items() if name != field}
    path = write("a.jsonl", [{"osce": STATION}, {"osce": station}])
    (bad,) = load_cases("agentclinic", path, max_bad_share=0.5).rejected
    assert str(bad).endswith(f"a.jsonl:2 field '{field}' is missing")


MEDIQ: dict[str, Any] = {
    "id": 0,
    "question": "Which drug was given?",
    "context": ["A man complains of fever", "A culture shows diplococci."],
    "context_len": 2,
    "options": {"A": "Gentamicin", "B": "Ciprofloxacin", "C": "Ceftriaxone", "D": "Trimethoprim"},
    "answer": "a cephalosporin",
    "answer_idx": "C",
    "facts": ["1. Patient is a man.", "- He has a fever.", "12. It is 39.5 C."],
    "patient": {"gender": "Male", "age": "21", "gpt_specialty": "Urology"},
}


def test_mediq(write: Any, tmp_path: Path) -> None:
    write("data/all_dev_good.jsonl", [MEDIQ, {**MEDIQ, "id": 1, "context": [], "facts": []}])
    loaded = load_cases("mediq", tmp_path, split="dev")
    (case,) = loaded.cases
    assert case.id == "mediq-0" and case.tags == {"specialty": "Urology"}
    assert case.question == "A man complains of fever.\nWhich drug was given?"
    assert case.reference.gold_text == "Ceftriaxone" and len(case.reference.options) == 4
    facts = ("Patient is a man.", "He has a fever.", "It is 39.5 C.")
    told = "A man complains of fever. A culture shows diplococci."
    assert case.record == Record(tuple(Fact(fact, fact) for fact in facts), told)
    assert dict(loaded.unasked) == {"it tells of no patient who could be asked": 1}
    assert loaded.unread == ("context_len",)


def test_icraft_md_is_for_testing(write: Any) -> None:
    row = {**MEDIQ, "patient": {"age": "22 years", "gender": "male"}}
    (case,) = load_cases("icraft_md", write("all_craft_md.jsonl", [row]), split="test").cases
    assert case.id == "icraft_md-0" and not case.tags and case.source.dataset == "icraft_md"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"context": "A man."}, "field 'context' is text, not a list of texts"),
        ({"facts": ["1. A man.", 2]}, "field 'facts' is of type int, not text"),
        ({"answer_idx": "E"}, "gold 'E' is outside the options A to D"),
        ({"patient": None}, "field 'patient' is missing"),
    ],
)
def test_mediq_names_what_is_wrong(write: Any, change: dict[str, Any], reason: str) -> None:
    path = write("dev.jsonl", [MEDIQ, {**MEDIQ, "id": 1, **change}])
    (bad,) = load_cases("mediq", path, max_bad_share=0.5).rejected
    assert bad.provenance.row == 2 and reason in bad.reason


def real(folder: Path, name: str, file: str) -> list[Case]:
    loaded = load_cases(name, folder / file)
    assert not loaded.rejected
    assert not any(prove(case, Grader()) for case in loaded.cases[::20])
    assert all(case.record is not None for case in loaded.cases)
    assert set(loaded.unasked) <= {"it tells of no patient who could be asked"}
    return loaded.cases


def facts_of(cases: list[Case]) -> list[tuple[Fact, ...]]:
    return [case.record.facts for case in cases if case.record]


def test_real_consultations(real_consult: Path) -> None:
    """735 of the 993 that the published turns make; in one of them the doctor speaks twice."""
    path = real_consult / "mtmeddialog_cases.jsonl.gz"
    loaded = load_cases("mtmeddialog", path, prove=lambda case: prove(case, Grader()))
    assert len(loaded.cases) == 734 and not loaded.skipped
    (bad,) = loaded.rejected
    assert str(bad).endswith(":624 message 9 of 'trajectory' is by the assistant again")
    facts = facts_of(loaded.cases)
    assert sum(map(len, facts)) == 3425 and min(map(len, facts)) == 2 and max(map(len, facts)) == 13
    policy = [t for c in loaded.cases for t in c.transcript if t.speaker == "policy"]
    assert len(policy) == 4143 and all("</answer>" in turn.text for turn in policy)
    ends = [case.tags["ends"] for case in loaded.cases]
    assert ends.count("diagnosis") == 731 and ends.count("question") == 3
    # What the patient says in a transcript is what is true of the patient.
    answers = {normalise(f.answer) for known in facts for f in known}
    replies = [t for c in loaded.cases for t in c.transcript if t.speaker == "environment"]
    assert sum(normalise(turn.text) in answers for turn in replies) > 0.98 * len(replies)


def test_real_consultations_cut_into_turns_and_put_together(
    real_consult: Path, tmp_path: Path
) -> None:
    """One row per turn as published, in any order, gives the same consultations again."""
    whole = load_cases("mtmeddialog", real_consult / "mtmeddialog_cases.jsonl.gz").cases
    rows = [row for case in whole for row in _one_row_per_turn(case)]
    random.Random(0).shuffle(rows)
    path = tmp_path / "MTMedDialog_sft_train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    loaded = load_cases("mtmeddialog", path)
    assert len(rows) == 4143 and loaded.skipped == 4143 - 734 and not loaded.rejected
    for made, case in zip(
        sorted(loaded.cases, key=lambda case: case.question),
        sorted(whole, key=lambda case: case.question),
        strict=True,
    ):
        assert (made.question, made.transcript) == (case.question, case.transcript)
        assert (made.record, made.reference) == (case.record, case.reference)


def _one_row_per_turn(case: Case) -> Iterator[dict[str, Any]]:
    assert case.record is not None
    facts = [
        {"doctor_question": [fact.question], "patient_response": [fact.answer]}
        for fact in case.record.facts
    ]
    truth = {"diagnosis": case.reference.value, "recommendation": case.record.recommendation}
    prompt = [say("system", "You are a doctor."), say("user", case.question)]
    for turn in case.transcript:
        if turn.speaker == "policy":
            known = {"ground_truth": truth, "patient_information": facts}
            yield {"prompt": list(prompt), "response": turn.text, "reward_model": known}
        role = "assistant" if turn.speaker == "policy" else "user"
        prompt.append(say(role, turn.text))


def test_runs_of_an_agent_have_no_facts(real_consult: Path) -> None:
    with pytest.raises(DataError, match="field 'self_report' is missing"):
        load_cases("mtmeddialog", real_consult / "mtmeddialog_test_runs.jsonl.gz")


def test_real_stations(real_consult: Path) -> None:
    cases = real(real_consult, "agentclinic", "agentclinic_medqa.jsonl.gz")
    assert len(cases) == 98 and sum(map(len, facts_of(cases))) == 1075
    assert not any(normalise(case.reference.value) in normalise(case.question) for case in cases)


@pytest.mark.parametrize(
    ("name", "file", "count", "facts"),
    [("mediq", "mediq_medqa_dev", 1269, 14217), ("icraft_md", "icraft_md", 61, 895)],
)
def test_real_questions(real_consult: Path, name: str, file: str, count: int, facts: int) -> None:
    cases = real(real_consult, name, f"{file}.jsonl.gz")
    assert len(cases) == count and sum(map(len, facts_of(cases))) == facts
    assert all(len(case.reference.options) == 4 for case in cases)
