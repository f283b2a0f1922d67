"""Every published format is read, with the gold option that its publishers meant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medrl.cases import SOURCES, load_cases
from medrl.cases.sources import form_of
from medrl.errors import DataError

MEDQA: dict[str, Any] = {
    "question": "A man has polyuria and a glucose of 400 mg/dL. Which hormone is lacking?",
    "answer": "Insulin",
    "options": {"A": "Glucagon", "B": "Insulin", "C": "Cortisol", "D": "Leptin"},
    "meta_info": "step1",
    "answer_idx": "B",
    "metamap_phrases": ["man", "polyuria"],
}
MCQA: dict[str, Any] = {
    "question": "Bone of the thigh?",
    **{"opa": "Femur", "opb": "Tibia", "opc": "Fibula", "opd": "Talus"},
    "exp": "The thigh has one bone.",
    "subject_name": "Anatomy",
    "topic_name": None,
    "choice_type": "single",
}


def test_medqa_original_folder(write: Any, tmp_path: Path) -> None:
    for word, answer in (("train", "B"), ("dev", "B"), ("test", "B")):
        write(f"US/4_options/phrases_no_exclude_{word}.jsonl", [{**MEDQA, "answer_idx": answer}])
    loaded = load_cases("medqa", tmp_path, split="dev")
    (case,) = loaded.cases
    assert case.reference.gold_text == "Insulin"
    assert case.id == "medqa-validation-00001"
    assert case.tags == {"meta_info": "step1"}
    assert case.source.file.endswith("phrases_no_exclude_dev.jsonl") and case.source.row == 1
    assert loaded.unread == ("metamap_phrases",)


def test_medqa_four_and_five_options_are_kept_apart(write: Any) -> None:
    five = {**MEDQA, "options": {**MEDQA["options"], "E": "Renin"}}
    path = write("train.jsonl", [five])
    assert len(load_cases("medqa_5options", path).cases[0].reference.options) == 5
    with pytest.raises(DataError, match="load it as 'medqa_5options'"):
        load_cases("medqa", path)
    with pytest.raises(DataError, match="load it as 'medqa'"):
        load_cases("medqa_5options", write("four.jsonl", [MEDQA]))


def test_medqa_compact_carries_both_forms(write: Any) -> None:
    options_5 = {
        "A": "Renin",
        **{
            k: v for k, v in zip("BCDE", ["Glucagon", "Insulin", "Cortisol", "Leptin"], strict=True)
        },
    }
    row = {**MEDQA, "id": "x1", "split": "dev", "options_5": options_5, "answer_idx_5": "C"}
    path = write("compact.jsonl", [row])
    four = load_cases("medqa", path, split="validation").cases[0]
    five = load_cases("medqa_5options", path).cases[0]
    assert four.id == five.id == "x1"
    assert four.reference.value == "B" and five.reference.value == "C"
    assert four.reference.gold_text == five.reference.gold_text == "Insulin"


@pytest.mark.parametrize(("base", "name"), [(1, "dev.json"), (0, "validation.jsonl")])
def test_medmcqa_base_is_read_off_the_file(write: Any, base: int, name: str) -> None:
    rows = [{**MCQA, "id": f"q{i}", "cop": i + base} for i in (1, 2, 0, 3, 1)]
    rows = [{**row, "id": f"q{n}"} for n, row in enumerate(rows)]
    cases = load_cases("medmcqa", write(name, rows)).cases
    assert [case.reference.value for case in cases] == ["B", "C", "A", "D", "B"]
    assert cases[0].id == "medmcqa-q0"
    assert cases[0].tags == {"subject": "Anatomy", "choice_type": "single"}


def test_medmcqa_without_evidence_or_with_both_bases_is_refused(write: Any) -> None:
    with pytest.raises(DataError, match="open whether options count from 0 or 1"):
        load_cases("medmcqa", write("a.json", [{**MCQA, "id": str(c), "cop": c} for c in (1, 2)]))
    with pytest.raises(DataError, match=r"b\.jsonl:3: 'cop' is 0, but earlier"):
        rows = [{**MCQA, "id": str(c), "cop": c} for c in (1, 4, 0)]
        load_cases("medmcqa", write("b.jsonl", rows))


def test_medmcqa_unlabelled_row_is_named(write: Any) -> None:
    rows = [{**MCQA, "id": "a", "cop": 4}, {**MCQA, "id": "b", "cop": -1}, {**MCQA, "id": "c"}]
    loaded = load_cases("medmcqa", write("dev.jsonl", rows), max_bad_share=1)
    assert [r.provenance.row for r in loaded.rejected] == [2, 3]
    assert "outside the four options" in loaded.rejected[0].reason
    assert "'cop' is missing" in loaded.rejected[1].reason


def test_mmlu_needs_its_six_subjects(write: Any, tmp_path: Path) -> None:
    subjects = [
        *("anatomy", "clinical_knowledge", "college_biology", "college_medicine"),
        *("medical_genetics", "professional_medicine"),
    ]
    for subject in subjects[:-1]:
        write(f"data/test/{subject}_test.csv", f'"In {subject}, which?",one,two,"3, 4",five,C\n')
    write("data/test/astronomy_test.csv", "no,a,b,c,d,A\n")
    with pytest.raises(DataError, match="no file 'professional_medicine_test'"):
        load_cases("mmlu_medical", tmp_path, split="test")
    write("data/test/professional_medicine_test.csv", '"Two\nlines?",1,2,3,4,D\nNext?,1,2,3,4,A\n')
    cases = load_cases("mmlu_medical", tmp_path, split="test").cases
    assert [case.tags["subject"] for case in cases] == [*subjects, subjects[-1]]
    assert cases[0].reference.gold_text == "3, 4"
    assert cases[0].id == "mmlu_medical-anatomy-test-00001"
    assert [case.source.row for case in cases[-2:]] == [1, 3]


def _pro(number: int, category: str, options: list[str], position: int) -> dict[str, Any]:
    return {
        "question_id": number,
        "question": "Which?",
        "options": options,
        "answer": "ABCDEFGHIJ"[position],
        "answer_index": position,
        "cot_content": "",
        "category": category,
        "src": "ori_mmlu-anatomy",
    }


def test_mmlu_pro_keeps_health_and_drops_padding(tmp_path: Path) -> None:
    rows = [
        _pro(1, "law", ["x", "y"], 0),
        _pro(2, "health", [str(i) for i in range(10)], 9),
        _pro(3, "health", ["a", "N/A", "b", "c", "N/A"], 2),
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-00000-of-00001.parquet")
    loaded = load_cases("mmlu_pro_health", tmp_path, split="test")
    ten, four = loaded.cases
    assert loaded.skipped == 1 and loaded.unread == ("cot_content",)
    assert ten.reference.value == "J" and ten.id == "mmlu_pro-2"
    assert four.reference.options == ("a", "b", "c") and four.reference.value == "B"


def test_mmlu_pro_refuses_a_gold_that_contradicts_itself(write: Any) -> None:
    row = {**_pro(1, "health", ["x", "y"], 0), "answer": "B"}
    with pytest.raises(DataError, match=r"'answer' \(B\) and 'answer_index' \(0\) disagree"):
        load_cases("mmlu_pro_health", write("test.jsonl", [row]))


ORI = {
    "111": {"QUESTION": "Does it work?", "CONTEXTS": ["We tried.", "It did."], "YEAR": "2001",
            "LONG_ANSWER": "It works.", "final_decision": "yes"},
    "222": {"QUESTION": "Is it safe?", "CONTEXTS": ["Unknown."], "final_decision": "maybe"},
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 1])
def test_pubmedqa_original_with_official_split(write: Any, tmp_path: Path, indent: Any) -> None:
    path = write("data/ori_pqal.json", json.dumps(ORI, indent=indent))
    assert len(load_cases("pubmedqa", path).cases) == 2
    with pytest.raises(DataError, match="which split it is"):
        load_cases("pubmedqa", path, split="test")
    write("data/test_ground_truth.json", json.dumps({"222": "maybe"}))
    (train,) = load_cases("pubmedqa", path, split="train").cases
    (test,) = load_cases("pubmedqa", tmp_path, split="test").cases
    assert (train.id, test.id) == ("pubmedqa-111", "pubmedqa-222")
    assert train.context == "We tried.\nIt did." and train.reference.gold_text == "yes"
    assert test.reference.options == ("yes", "no", "maybe") and test.reference.value == "C"


def test_pubmedqa_without_context_is_another_set(write: Any) -> None:
    path = write("ori_pqal.json", json.dumps(ORI))
    cases = load_cases("pubmedqa_no_context", path).cases
    assert [case.context for case in cases] == ["", ""]
    assert cases[0].id == "pubmedqa_no_context-111" and cases[0].source.dataset != "pubmedqa"


OWN = {"question": "Which vitamin prevents scurvy?", "options": ["A", "C", "D"]}


@pytest.mark.parametrize(
    ("row", "letter"),
    [
        ({"options": {"A": "retinol", "B": "ascorbate"}, "answer": "B"}, "B"),
        ({"options": {"B": "ascorbate", "A": "retinol"}, "answer": "ascorbate"}, "B"),
        ({"options": ["retinol", "ascorbate"], "answer": "A"}, "A"),
        ({"options": ["A", "C", "D"], "answer": "D"}, "C"),
        ({"options": ["A", "C", "D"], "answer_idx": "B"}, "B"),
    ],
)
def test_own_rows(write: Any, row: dict[str, Any], letter: str) -> None:
    extra = {"id": 7, "context": "A sailor.", "tags": {"hop": "1"}}
    (case,) = load_cases("jsonl", write("own.jsonl", [{**OWN, **extra, **row}])).cases
    assert (case.id, case.context, case.tags["hop"]) == ("7", "A sailor.", "1")
    assert case.reference.value == letter


def test_own_answer_with_two_readings_is_refused(write: Any) -> None:
    with pytest.raises(DataError, match="may mean B or C"):
        load_cases("jsonl", write("own.jsonl", [{**OWN, "answer": "C"}]))


def test_own_parquet_with_option_structs(tmp_path: Path) -> None:
    rows = [
        {**OWN, "options": {"A": "x", "B": "y"}, "answer": "B"},
        {**OWN, "options": {"A": "x", "B": "y", "C": "z"}, "answer": "C"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    cases = load_cases("jsonl", tmp_path / "own.parquet").cases
    assert [case.reference.letters for case in cases] == ["AB", "ABC"]


def test_hub_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r'pip install "medrl\[hub\]"'):
        load_cases("medqa", split="train")


def test_hub_rows_and_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str]] = []
    rows: dict[str, list[dict[str, Any]]] = {
        "openlifescienceai/medmcqa": [{**MCQA, "id": "a", "cop": 1}, {**MCQA, "id": "b", "cop": 2}],
        "cais/mmlu": [{"question": "Which?", "choices": ["x", "y"], "answer": 1}],
        "qiaojin/PubMedQA": [
            {"pubid": 5, "question": "Is it?", "context": {"contexts": ["Yes it is."]},
             "final_decision": "no"},
        ],
    }  # fmt: skip

    def load_dataset(repo: str, config: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((repo, config, split))
        return [{**row, "subject": config} for row in rows[repo]]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    medmcqa = load_cases("medmcqa", split="dev").cases
    assert [case.reference.value for case in medmcqa] == ["B", "C"]
    assert str(medmcqa[1].source) == "hub:openlifescienceai/medmcqa/validation:2"
    mmlu = load_cases("mmlu_medical", split="test").cases
    assert mmlu[0].id == "mmlu_medical-anatomy-test-00001"
    assert [case.reference.value for case in mmlu] == ["B"] * 6
    (pubmed,) = load_cases("pubmedqa").cases
    assert pubmed.id == "pubmedqa-5" and pubmed.context == "Yes it is."
    assert asked[0] == ("openlifescienceai/medmcqa", None, "validation")
    assert ("cais/mmlu", "anatomy", "test") in asked and len(asked) == 8
    with pytest.raises(DataError, match="no split named for medqa"):
        load_cases("medqa")


def test_hub_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match="hub:GBaker/MedQA-USMLE-4-options: no route") as caught:
        load_cases("medqa", split="test")
    assert "\n" not in caught.value.message
    with pytest.raises(DataError, match="cannot be fetched"):
        load_cases("medqa_5options", split="test")


def test_registry_is_described() -> None:
    assert set(SOURCES) >= {"medqa", "medmcqa", "mmlu_medical", "mmlu_pro_health", "pubmedqa"}
    for name, source in SOURCES.items():
        assert name == source.name and source.about and source.licence and source.protocol.note
        if source.name != "jsonl":
            assert source.protocol.size >= 78 and 2018 <= source.protocol.since < 2026


EXAMS: dict[str, Any] = {
    "version": "1.0",
    "language": "en",
    "exams": {
        "1": {
            "name": "Cuaderno_2016_1_B",
            "year": "2016",
            "category": "biology",
            "data": [
                {"qid": "1", "qtext": "Postsynaptic potentials:", "ra": "2", "image": "",
                 "answers": [{"aid": 1, "atext": "are all or nothing"},
                             {"aid": 2, "atext": "can be added"}]},
                {"qid": "2", "qtext": "What is shown?", "ra": "1", "image": "./images/1.png",
                 "answers": [{"aid": 1, "atext": "a heart"}, {"aid": 2, "atext": "a lung"}]},
            ],
        },
        "2": {
            "name": "Cuaderno_2016_1_M",
            "year": "2016",
            "category": "medicine",
            "data": [
                {"qid": "1", "qtext": "Which is a vein?", "ra": "9", "image": "",
                 "answers": [{"aid": 1, "atext": "cava"}, {"aid": 2, "atext": "aorta"}]},
            ],
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
def test_headqa_original_unfolds_its_exams(write: Any, tmp_path: Path, indent: Any) -> None:
    write("HEAD_EN/dev_HEAD_EN.json", json.dumps(EXAMS, indent=indent))
    loaded = load_cases("headqa_en", tmp_path, split="dev", max_bad_share=0.5)
    (case,) = loaded.cases
    assert case.id == "headqa-Cuaderno_2016_1_B-1" and case.reference.gold_text == "can be added"
    assert case.tags == {"category": "biology", "year": "2016"}
    assert loaded.skipped == 1  # the one with an image
    (bad,) = loaded.rejected
    assert bad.provenance.row == 3 and "'ra' is '9', but the answers are 1, 2" in bad.reason
    assert loaded.unread == ()


def test_headqa_hub_rows(write: Any) -> None:
    [question] = [EXAMS["exams"]["1"]["data"][0]]
    row = {**question, "qid": 1, "ra": 2, "image": None, "name": "N", "year": "2016"}
    (case,) = load_cases("headqa_en", write("test.jsonl", [row])).cases
    assert (case.id, case.reference.value) == ("headqa-N-1", "B")
    with pytest.raises(DataError, match="comes an exam without"):
        load_cases("headqa_en", write("broken.json", json.dumps({"exams": {"1": {}}, "v": 1})))


def _expert(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"Text-{number}",
        "question": "Which finding fits?\nAnswer Choices: (A) fever (B) cough",
        "options": {"A": "fever", "B": "cough"},
        "label": "B",
        "medical_task": "Diagnosis",
        "body_system": "Respiratory",
        "question_type": "Reasoning",
    } | changes


def test_medxpertqa_in_all_its_shapes(write: Any, tmp_path: Path) -> None:
    listed = [{"letter": "B", "content": "cough"}, {"letter": "A", "content": "fever"}]
    rows = [
        _expert(0),
        _expert(1, options=listed, label=["B"]),
        _expert(2, id="MM-1", images=["x.png"]),
        _expert(3, label=["A", "B"]),
    ]
    loaded = load_cases("medxpertqa_text", write("test.jsonl", rows), max_bad_share=0.5)
    one, two = loaded.cases
    assert one.question == two.question == "Which finding fits?"
    assert one.reference == two.reference and one.reference.gold_text == "cough"
    assert one.id == "medxpertqa-Text-0" and one.tags["medical_task"] == "Diagnosis"
    assert loaded.skipped == 1 and "names 2 options" in loaded.rejected[0].reason
    pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / "test-00000.parquet")
    (three,) = load_cases("medxpertqa_text", tmp_path / "test-00000.parquet").cases
    assert three.reference == one.reference


GPQA = "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,"
GPQA += "Incorrect Answer 3,High-level domain,Subdomain,Explanation\n"


def test_gpqa_keeps_biology_and_hides_the_right_option(write: Any, tmp_path: Path) -> None:
    questions = [f'r{i},"Which gene, {i}?",right,one,two,"three, or more",' for i in range(200)]
    body = "".join(f"{q}Biology,Genetics,because\n" for q in questions)
    write("dataset/gpqa_main.csv", f"{GPQA}{body}r9999,Which quark?,a,b,c,d,Physics,Quantum,x\n")
    loaded = load_cases("gpqa_medical", tmp_path, split="test")
    assert len(loaded.cases) == 200 and loaded.skipped == 1 and loaded.unread == ("Explanation",)
    golds = [case.reference.value for case in loaded.cases]
    assert all(case.reference.gold_text == "right" for case in loaded.cases)
    # Each of four places 50 times, give or take: 20 is five standard deviations away.
    assert all(20 < golds.count(letter) < 80 for letter in "ABCD")
    again = "".join(f"{q}Biology,Genetics,because\n" for q in reversed(questions))
    other = load_cases("gpqa_medical", write("gpqa_diamond.csv", f"{GPQA}{again}")).cases
    assert {c.id: c.reference for c in other} == {c.id: c.reference for c in loaded.cases}
    assert loaded.cases[0].id == "gpqa-r0" and loaded.cases[0].tags == {"subdomain": "Genetics"}


def test_forms_name_tasks_of_the_harness_only_where_it_has_them() -> None:
    published = {"medqa": "medqa_4options", "medmcqa": "medmcqa", "pubmedqa": "pubmedqa"}
    published |= {"mmlu_medical": "mmlu_{subject}", "headqa_en": "headqa_en"}
    for name in SOURCES:
        task = form_of(name).task
        assert task == published.get(name, f"medrl_{name}")
        for continuation in ("letter", "text"):
            form = form_of(name, continuation)
            assert form.continuation == continuation
            assert form == form_of(name) or form.task == f"medrl_{name}_{continuation}s"
