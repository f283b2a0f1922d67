"""Published sets of questions about pictures: small files in their own formats."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medrl.cases import Case, load_cases
from medrl.errors import DataError
from medrl.grading import Grader
from medrl.grading.proof import prove

YES_NO = ("yes", "no")


def encoded(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 2), shade).save(stream, "PNG")
    return stream.getvalue()


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(shade))


def pack(path: Path, **shades: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, shade in shades.items():
            archive.writestr(f"figures/{name}.jpg", encoded(shade))


def shade(case: Case, which: int = 0) -> int:
    return int(np.asarray(case.images[which].open())[0, 0, 0])


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def proved(cases: list[Case]) -> bool:
    """Can the grader read each one's own answer?"""
    return all(prove(case, Grader()) is None for case in cases)


RAD: dict[str, Any] = {
    "qid": 1,
    "phrase_type": "freeform",
    "qid_linked_id": "03f451ca-de62-4617-9679-e836026a7642",
    "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1dd0e",
    "image_name": "synpic54610.jpg",
    "image_organ": "HEAD",
    "evaluation": "not evaluated",
    "question": "Are regions of the brain infarcted?",
    "question_rephrase": "NULL",
    "question_relation": "NULL",
    "question_frame": "NULL",
    "question_type": "PRES",
    "answer": "Yes",
    "answer_type": "CLOSED",
}


def test_vqa_rad_original(write: Any, tmp_path: Path) -> None:
    rows = [
        RAD,
        {**RAD, "qid": 2, "answer": "left", "phrase_type": "test_para", "answer_type": "CLOSED "},
        {**RAD, "qid": "3", "answer": 5, "phrase_type": "test_freeform", "answer_type": "OPEN"},
    ]
    write("VQA_RAD Dataset Public.json", json.dumps(rows))
    picture(tmp_path / "VQA_RAD Image Folder/synpic54610.jpg", 7)
    train = load_cases("vqa_rad", tmp_path, split="train")
    (case,) = train.cases
    assert case.id == "vqa_rad-1" and shade(case) == 7
    assert (case.reference.kind, case.reference.options) == ("option", YES_NO)
    assert case.reference.gold_text == "yes"
    assert case.tags == {"form": "closed", "organ": "HEAD", "task": "PRES",
                         "phrase_type": "freeform", "split": "train"}  # fmt: skip
    assert train.unread == ("evaluation", "image_case_url", "qid_linked_id", "question_frame",
                            "question_relation", "question_rephrase")  # fmt: skip
    side, number = load_cases("vqa_rad", tmp_path, split="test").cases
    assert (side.reference.kind, side.reference.value, side.tags["form"]) == (
        "phrase", "left", "closed")  # fmt: skip
    assert (number.reference.value, number.tags["form"]) == ("5", "open")
    assert proved([case, side, number])


def test_vqa_rad_bad_rows_are_named(write: Any, tmp_path: Path) -> None:
    picture(tmp_path / "images/synpic54610.jpg")
    rows = [
        RAD,
        {**RAD, "qid": 2, "answer_type": "MAYBE"},
        {**RAD, "qid": 3, "image_name": "x.jpg"},
    ]
    path = write("trainset.json", json.dumps(rows))
    loaded = load_cases("vqa_rad", path, max_bad_share=1)
    assert len(loaded.cases) == 1
    first, second = map(str, loaded.rejected)
    assert first == f"{path}:2 field 'answer_type' is 'MAYBE', not CLOSED or OPEN"
    assert second.startswith(f"{path}:3 picture 'x.jpg' is not in {tmp_path}, ")


def triple(question: str, answer: str, shade: int) -> dict[str, Any]:
    return {
        "image": {"bytes": encoded(shade), "path": None},
        "question": question,
        "answer": answer,
    }


def test_path_vqa_in_its_parts(tmp_path: Path) -> None:
    names = [f"data/train-0000{i}-of-00002-9c08bd{i}.parquet" for i in range(2)]
    parquet(tmp_path / names[0], [triple("Is it a cell?", "no", 1), triple("What?", "liver", 1)])
    parquet(tmp_path / names[1], [triple("Is it a vein?", "Yes", 2)])
    one, two, three = load_cases("path_vqa", tmp_path, split="train").cases
    assert [c.id for c in (one, two, three)] == [
        "path_vqa-train-00000-00001", "path_vqa-train-00000-00002", "path_vqa-train-00001-00001",
    ]  # fmt: skip
    assert str(three.source) == f"{tmp_path / names[1]}:1" and shade(three) == 2
    assert [c.reference.kind for c in (one, two, three)] == ["option", "phrase", "option"]
    assert [c.reference.gold_text for c in (one, two, three)] == ["no", "liver", "yes"]
    assert [c.tags["form"] for c in (one, two, three)] == ["closed", "open", "closed"]
    assert one.images[0].data is two.images[0].data  # one picture for all its questions
    assert proved([one, two, three])
    (tmp_path / names[0]).unlink()
    parquet(tmp_path / "data/train-00002-of-00003.parquet", [triple("Why?", "so", 2)])
    with pytest.raises(DataError, match="2 files could be train of path_vqa"):
        load_cases("path_vqa", tmp_path, split="train")
    (tmp_path / names[1]).unlink()
    parquet(tmp_path / "data/train-00000-of-00003.parquet", [triple("Why?", "so", 2)])
    with pytest.raises(DataError, match="comes in 3 parts; 00001 is missing"):
        load_cases("path_vqa", tmp_path, split="train")


def test_pickles_are_not_read(write: Any) -> None:
    with pytest.raises(DataError, match="a pickle can run any program"):
        load_cases("path_vqa", write("train_vqa.pkl", "x"))


def test_hub_keeps_pictures_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    broken = triple("Is it?", "no", 0) | {"image": {"bytes": b"broken", "path": "b.jpg"}}
    table = datasets.Dataset.from_list([triple("Is it?", "yes", 4), broken])
    table = table.cast_column("image", datasets.Image())
    monkeypatch.setattr(datasets, "load_dataset", lambda repo, config, split: table)
    for name in ("vqa_rad", "path_vqa"):
        good, bad = load_cases(name, split="test").cases
        assert shade(good) == 4 and good.id == f"{name}-test-00001"
        with pytest.raises(
            DataError, match=r"b\.jpg in hub:flaviagiammarino/.*/test:2: not a pict"
        ):
            bad.images[0].open()


def test_hub_files_and_archives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Any
) -> None:
    asked = []

    def download(repo: str, file: str, repo_type: str) -> str:
        asked.append((repo, file, repo_type))
        if "validation" in file:
            raise OSError("no route\nto host")
        return str(tmp_path / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    write("test.json", json.dumps([slake(1)]))
    with zipfile.ZipFile(tmp_path / "imgs.zip", "w") as archive:
        archive.writestr("imgs/xmlab102/source.jpg", encoded(3))
    (case,) = load_cases("slake", split="test").cases
    assert shade(case) == 3 and str(case.source) == "hub:BoKelvin/SLAKE/test.json:1"
    assert asked == [
        ("BoKelvin/SLAKE", "imgs.zip", "dataset"),
        ("BoKelvin/SLAKE", "test.json", "dataset"),
    ]
    with pytest.raises(DataError, match=r"hub:BoKelvin/SLAKE/validation\.json: no route") as caught:
        load_cases("slake", split="validation")
    assert "\n" not in caught.value.message


def slake(qid: int, **changes: Any) -> dict[str, Any]:
    return {
        "img_id": 102,
        "img_name": "xmlab102/source.jpg",
        "question": "What diseases are included in the picture?",
        "answer": "Lung Cancer",
        "q_lang": "en",
        "location": "Lung",
        "modality": "CT",
        "answer_type": "OPEN",
        "base_type": "vqa",
        "triple": ["vhead", "_", "_"],
        "qid": qid,
        "content_type": "Abnormality",
    } | changes


@pytest.mark.parametrize("name", ["validate", "validation"])
def test_slake_keeps_english(write: Any, tmp_path: Path, name: str) -> None:
    rows = [
        slake(11941),
        slake(11942, question="Is the lung healthy?", answer="No", answer_type="CLOSED"),
        slake(11944, question="Which is the biggest, lung or heart?", answer="Lung",
              answer_type="CLOSED"),
        slake(1, q_lang="zh", answer="不健康"),
    ]  # fmt: skip
    write(f"{name}.json", json.dumps(rows))
    picture(tmp_path / "imgs/xmlab102/source.jpg", 5)
    picture(tmp_path / "imgs/xmlab102/mask.png", 6)
    write("imgs/xmlab102/question.json", json.dumps(rows))
    loaded = load_cases("slake", tmp_path, split="validation")
    cancer, healthy, biggest = loaded.cases
    assert loaded.skipped == 1 and loaded.unread == ("img_id", "triple")
    assert cancer.id == "slake-11941" and shade(cancer) == 5
    assert cancer.tags == {"form": "open", "modality": "CT", "organ": "Lung",
                           "task": "Abnormality", "base_type": "vqa"}  # fmt: skip
    assert healthy.reference.gold_text == "no" and healthy.reference.options == YES_NO
    assert (biggest.reference.kind, biggest.tags["form"]) == ("phrase", "closed")
    assert proved(loaded.cases)


PMC = "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n"
PMC_ROW = (
    "PMC1064097_F1.jpg,What is the uptake pattern in the breast? ,{},"
    '" A:Diffuse, with foci ", B:Focal uptake pattern , C:No uptake pattern, D:D: none,{}\n'
)


def test_pmc_vqa_first_version(write: Any, tmp_path: Path) -> None:
    write("test.csv", PMC + PMC_ROW.format("x", "A"))
    body = [
        PMC_ROW.format(" B:Focal uptake pattern ", "B"),
        PMC_ROW.format("No uptake pattern", "B"),
    ]
    write("test_clean.csv", PMC + "".join(body))
    pack(tmp_path / "images.zip", PMC1064097_F1=9)
    loaded = load_cases("pmc_vqa", tmp_path / "test_clean.csv", max_bad_share=1)
    (case,) = loaded.cases
    assert case.id == "pmc_vqa-test_clean-00002" and shade(case) == 9
    assert case.question == "What is the uptake pattern in the breast?"
    assert case.reference.options == (
        "Diffuse, with foci", "Focal uptake pattern", "No uptake pattern", "D: none")  # fmt: skip
    assert case.reference.value == "B" and case.tags == {"form": "closed"}
    assert "gold letter B and gold text 'No uptake pattern' disagree" in loaded.rejected[0].reason
    with pytest.raises(DataError, match="1 of 2 rows are bad"):
        load_cases("pmc_vqa", tmp_path, split="test")


def test_pmc_vqa_second_version(write: Any, tmp_path: Path) -> None:
    head = "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split\n"
    row = "0,PMC1_Fig1_2.jpg,It is B.,Which?,A: one,B: two,C: three,D: four,C,test\n"
    write("test_2.csv", head + row)
    pack(tmp_path / "images_2.zip", PMC1_Fig1_2=8)
    loaded = load_cases("pmc_vqa_2", tmp_path, split="test")
    (case,) = loaded.cases
    assert case.reference.gold_text == "three" and case.context == "" and shade(case) == 8
    assert case.id == "pmc_vqa_2-test_2-00002" and loaded.unread == ("Caption", "index")


OMNI: dict[str, Any] = {
    "dataset": "ACRIMA",
    "question_id": "ACRIMA_0000",
    "question_type": "Modality Recognition",
    "question": "What imaging technique was employed to obtain this picture?",
    "gt_answer": "Fundus imaging",
    "image_path": "Images/ACRIMA/Im553_g_ACRIMA.png",
    "option_A": "PET scan",
    "option_B": "CT scan",
    "option_C": "Blood test",
    "option_D": "Fundus imaging.",
    "modality_type": "Fundus Photography",
}


def test_omnimedvqa_reads_all_open_sets(write: Any, tmp_path: Path) -> None:
    picture(tmp_path / "Images/ACRIMA/Im553_g_ACRIMA.png", 6)
    folder = "QA_information/Open-access"
    write(f"{folder}/ACRIMA.json", json.dumps([OMNI]))
    two = {key: value for key, value in OMNI.items() if key not in ("option_C", "option_D")}
    two |= {"question_id": "Chest_0", "gt_answer": "CT scan", "modality": two.pop("modality_type")}
    write(f"{folder}/Chest CT Scan.json", json.dumps([two, {**two, "gt_answer": "MR"}]))
    write("QA_information/Restricted-access/AIDA.json", json.dumps([OMNI]))
    loaded = load_cases("omnimedvqa", tmp_path, split="test", max_bad_share=0.5)
    four, pair = loaded.cases
    assert four.id == "omnimedvqa-ACRIMA_0000" and shade(four) == shade(pair) == 6
    assert four.reference.value == "D" and pair.reference.options == ("PET scan", "CT scan")
    assert four.tags == {"form": "closed", "modality": "Fundus Photography",
                         "task": "Modality Recognition", "dataset": "ACRIMA"}  # fmt: skip
    assert pair.tags["modality"] == "Fundus Photography" and loaded.unread == ()
    (bad,) = loaded.rejected
    assert str(bad.provenance).endswith("Chest CT Scan.json:2") and "'MR' is none" in bad.reason
    (alone,) = load_cases("omnimedvqa", tmp_path / folder / "ACRIMA.json", split="test").cases
    assert alone.id == four.id


def test_medxpertqa_mm_shows_its_pictures_in_order(write: Any, tmp_path: Path) -> None:
    row = {
        "id": "MM-26",
        "question": "What is it?\nAnswer Choices: (A) a (B) b",
        "options": dict(zip("ABCDE", "vwxyz", strict=True)),
        "label": "C",
        "images": ["MM-26-b.jpg", "MM-26-a.jpg"],
        "medical_task": "Diagnosis",
        "body_system": "Lymphatic",
        "question_type": "Reasoning",
    }
    write("MM/test.jsonl", [row, {**row, "id": "Text-1", "images": []}])
    write("Text/test.jsonl", [{**row, "id": "Text-2", "images": []}])
    pack(tmp_path / "images.zip", **{"MM-26-a": 1, "MM-26-b": 2})
    loaded = load_cases("medxpertqa_mm", tmp_path, split="test")
    (case,) = loaded.cases
    assert loaded.skipped == 1 and loaded.unread == ()
    assert [shade(case, i) for i in (0, 1)] == [2, 1]
    assert case.id == "medxpertqa-MM-26" and case.question == "What is it?"
    assert case.reference.gold_text == "x" and case.tags["body_system"] == "Lymphatic"
    assert case.tags["form"] == "closed"


def test_pneumoniamnist_as_published(tmp_path: Path) -> None:
    images = np.arange(5 * 28 * 28, dtype=np.uint64).reshape(5, 28, 28).astype(np.uint8)
    labels = np.array([[1], [0], [1], [0], [1]])
    path = tmp_path / "pneumoniamnist.npz"
    np.savez(path, train_images=images[:2], train_labels=labels[:2], val_images=images[2:3],
             val_labels=labels[2:3], test_images=images[3:], test_labels=labels[3:])  # fmt: skip
    both = [case for split in ("train", "test") for case in load_cases(
        "pneumoniamnist", tmp_path, split=split).cases]  # fmt: skip
    assert [case.reference.gold_text for case in both] == ["yes", "no", "no", "yes"]
    assert [case.source.row for case in both] == [1, 2, 4, 5]
    assert both[2].id == "pneumoniamnist-test-00004" and both[2].reference.options == YES_NO
    assert np.array_equal(np.asarray(both[2].images[0].open())[..., 1], images[3])
    (val,) = load_cases("pneumoniamnist", path, split="validation").cases
    assert val.tags["split"] == "validation" and proved([*both, val])


def test_pneumoniamnist_rows_and_faults(tmp_path: Path) -> None:
    row = {"id": "a", "split": "val", "image_png": encoded(3), "label": 1}
    parquet(
        tmp_path / "p.parquet",
        [row, {**row, "id": "b", "label": 2}, {**row, "id": "c", "split": ""}],
    )
    loaded = load_cases("pneumoniamnist", tmp_path / "p.parquet", max_bad_share=1)
    assert [case.id for case in loaded.cases] == ["a"] and shade(loaded.cases[0]) == 3
    two, none = (rejected.reason for rejected in loaded.rejected)
    assert two == "field 'label' is 2, neither 0 nor 1" and none == "field 'split' is empty"
    np.savez(tmp_path / "other.npz", x=[1])
    with pytest.raises(DataError, match="no arrays train_images"):
        load_cases("pneumoniamnist", tmp_path / "other.npz")
    np.savez(tmp_path / "short.npz", train_images=np.zeros((2, 2, 2), np.uint8), train_labels=[[1]])
    with pytest.raises(DataError, match="not MedMNIST's form"):
        load_cases("pneumoniamnist", tmp_path / "short.npz")
    np.savez(tmp_path / "objects.npz", train_images=np.array([{}]), train_labels=[[1]])
    with pytest.raises(DataError, match="not MedMNIST's form"):
        load_cases("pneumoniamnist", tmp_path / "objects.npz")


def test_openstax_joins_its_figures(write: Any, tmp_path: Path) -> None:
    row = {"question": "Which title?", "options": ["heart", "lung"], "answer_idx": "B"}
    rows = [{**row, "id": "q1", "figure_id": "f2"}, {**row, "id": "q2", "figure_id": "f3"}]
    path = write("openstax_figures_vqa.jsonl", rows)
    with pytest.raises(DataError, match=r"openstax_figures\.parquet: no such file"):
        load_cases("openstax_figures", tmp_path, split="test")
    figures = [{"id": f"f{i}", "image_jpg": encoded(i), "kind": "photo", "book": "Anatomy",
                "chapter": "Heart", "credit": "CDC"} for i in (1, 2)]  # fmt: skip
    parquet(tmp_path / "openstax_figures.parquet", figures)
    loaded = load_cases("openstax_figures", path, max_bad_share=1)
    (case,) = loaded.cases
    assert shade(case) == 2 and case.reference.gold_text == "lung" and case.tags["credit"] == "CDC"
    assert loaded.rejected[0].reason == "figure 'f3' is not in openstax_figures.parquet"


# --- the user's own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reference"),
    [
        ({"type": "mcq", "options": ["PA", "AP"], "answer": "B"}, ("option", "B")),
        ({"type": "closed", "answer": "No"}, ("option", "B")),
        ({"type": "count", "answer": 12}, ("number", "12")),
        ({"type": "open", "answer": "left lung"}, ("phrase", "left lung")),
        ({"kind": "phrase", "answer": "left lung"}, ("phrase", "left lung")),
        ({"kind": "number", "answer": "3.5", "unit": "cm", "tolerance": 0.1}, ("number", "3.5")),
        ({"kind": "label", "options": ["PA", "AP"], "answer": "AP"}, ("label", "AP")),
        ({"type": "vignette", "options": ["PA", "AP"], "answer": "A"}, ("option", "A")),
    ],
)
def test_own_rows_of_every_kind(write: Any, row: dict[str, Any], reference: Any) -> None:
    (case,) = load_cases("jsonl", write("own.jsonl", [{"question": "What?", **row}])).cases
    assert (case.reference.kind, case.reference.value) == reference
    assert proved([case])
    if "unit" in row:
        assert (case.reference.unit, case.reference.tolerance) == ("cm", 0.1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"kind": "box", "answer": "1"}, "kind 'box' is not one of option, label, number, phrase"),
        ({"kind": ["option"], "answer": "1"}, "is not one of option"),
        ({"type": "closed", "answer": "perhaps"}, "'perhaps' is neither yes nor no"),
        ({"type": "count", "answer": "1.5"}, "'1.5' is not a whole number"),
        ({"kind": "number", "answer": "many"}, "is not a number"),
        ({"kind": "number", "answer": "inf"}, "is infinite"),
        ({"kind": "number", "answer": "1", "tolerance": 2}, "not in [0, 1)"),
        ({"kind": "label", "options": ["a", "b"], "answer": "c"}, "'c' is not one of a, b"),
        ({"kind": "label", "answer": "c"}, "'options' is missing"),
        ({"kind": "phrase"}, "'answer' is missing"),
    ],
)
def test_own_rows_that_contradict_themselves(write: Any, row: dict[str, Any], reason: str) -> None:
    good = {"question": "What?", "kind": "phrase", "answer": "it"}
    path = write("own.jsonl", [good, {"question": "What?", **row}])
    (rejected,) = load_cases("jsonl", path, max_bad_share=1).rejected
    assert reason in rejected.reason


def test_boxes_are_left_out_and_counted(write: Any) -> None:
    box = {"question": "Where?", "type": "grounding", "answer": "[0, 39, 225, 434]"}
    good = {"question": "What?", "type": "open", "answer": "it"}
    loaded = load_cases("jsonl", write("own.jsonl", [box, good, box]))
    assert len(loaded.cases) == 1 and loaded.rejected == [] and loaded.skipped == 2
    assert "2 of these: type 'grounding' asks for a box" in loaded.summary()
    with pytest.raises(DataError, match="none of 2 rows"):
        load_cases("jsonl", write("boxes.jsonl", [box, box]))
