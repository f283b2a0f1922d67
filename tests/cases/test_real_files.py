"""Real question sets: how many load, what is set aside, what they have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from medrl.cases import LoadedCases, find_contamination, load_cases
from medrl.grading import Grader
from medrl.grading.proof import prove

COUNTS = [
    ("headqa_en", "headqa_en", 5212, 7),
    ("medmcqa_dev_half", "medmcqa", 2138, 12),
    ("medqa_tw_en", "jsonl", 2091, 0),
    ("medqa_us_dev", "medqa", 1272, 0),
    ("medqa_us_dev", "medqa_5options", 1272, 0),
    ("medqa_us_test_half", "medqa", 641, 0),
    ("medqa_us_test_half", "medqa_5options", 641, 0),
    ("medxpertqa_text_half", "medxpertqa_text", 770, 1),
    ("mmlu_med_half", "mmlu_medical", 469, 0),
    ("mmlu_pro_health_half", "mmlu_pro_health", 340, 0),
    ("openstax_mcq", "jsonl", 586, 0),
    ("pubmedqa_labeled_train", "pubmedqa", 500, 0),
    ("pubmedqa_labeled_train", "pubmedqa_no_context", 500, 0),
]


def load(folder: Path, file: str, name: str) -> LoadedCases:
    path = folder / f"{file}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the shared data lack {path.name}")
    return load_cases(name, path)


@pytest.mark.parametrize(("file", "name", "good", "bad"), COUNTS)
def test_counts(real_mcq: Path, file: str, name: str, good: int, bad: int) -> None:
    loaded = load(real_mcq, file, name)
    assert (len(loaded.cases), len(loaded.rejected)) == (good, bad)
    assert loaded.skipped == 0
    assert all("are equal" in rejected.reason for rejected in loaded.rejected)


IMAGES = [
    ("cxr/vqa.jsonl.gz", "jsonl", None, 55, 110, (512, 512)),
    ("bccd/vqa.jsonl.gz", "jsonl", None, 720, 171, (640, 480)),
    ("openstax_figures_vqa.jsonl.gz", "openstax_figures", None, 348, 0, (336, 154)),
    ("pneumoniamnist.parquet", "pneumoniamnist", "train", 1500, 524, (28, 28)),
    ("pneumoniamnist.parquet", "pneumoniamnist", "validation", 524, 1500, (28, 28)),
]


@pytest.mark.parametrize(("file", "name", "split", "good", "skipped", "size"), IMAGES)
def test_questions_about_pictures(
    real_images: Path,
    file: str,
    name: str,
    split: str | None,
    good: int,
    skipped: int,
    size: tuple[int, int],
) -> None:
    loaded = load_cases(name, real_images / file, split, prove=lambda case: prove(case, Grader()))
    assert (len(loaded.cases), len(loaded.rejected), loaded.skipped) == (good, 0, skipped)
    assert loaded.cases[0].images[0].open().size == size
    assert all(len(case.images) == 1 for case in loaded.cases)
    for case in loaded.cases[:: max(1, good // 40)]:
        assert case.images[0].open().mode == "RGB" and case.images[0].fingerprint


def test_splits_inside_a_file(real_mcq: Path) -> None:
    path = real_mcq / "medqa_tw_en.jsonl.gz"
    loaded = load_cases("jsonl", path, split="test")
    assert (len(loaded.cases), loaded.skipped) == (682, 1409)


def test_mmlu_pro_repeats_mmlu(real_mcq: Path) -> None:
    mmlu = load(real_mcq, "mmlu_med_half", "mmlu_medical").cases
    pro = load(real_mcq, "mmlu_pro_health_half", "mmlu_pro_health").cases
    report = find_contamination(pro, mmlu)
    assert len(report.flagged) > 150
    assert report.overlaps[0].exact


def test_medqa_halves_are_clean(real_mcq: Path) -> None:
    dev = load(real_mcq, "medqa_us_dev", "medqa").cases
    test = load(real_mcq, "medqa_us_test_half", "medqa").cases
    report = find_contamination(test, dev)
    assert len(report.flagged) <= 2 and not any(overlap.exact for overlap in report.overlaps)
