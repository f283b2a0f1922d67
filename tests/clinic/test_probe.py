"""The probe of a base model: its questions have the answers it expects, and it counts rightly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medrl.clinic import probe
from medrl.clinic.knowledge import clinic
from medrl.clinic.styles import KINDS
from medrl.evaluation.statistics import wilson


def test_each_skill_is_asked_often_enough_and_the_same_each_time() -> None:
    questions = probe.hop_questions(6, seed=1)
    assert {len(pairs) for pairs in questions.values()} == {6}
    assert len(questions) == 1 + len(KINDS[1:]) + 1
    assert questions == probe.hop_questions(6, seed=1) != probe.hop_questions(6, seed=2)


def test_findings_lead_to_a_condition_that_they_do_not_name() -> None:
    names = {condition.name for condition in clinic().conditions.values()}
    for text, wanted in probe.hop_questions(20, seed=0)["findings to condition"]:
        # A history may name another disease or a vaccine, never the answer as the answer is given.
        assert wanted.strip(" .") in names and wanted not in text and text.endswith(" This is")


def test_the_letter_asked_for_is_that_of_the_option_named() -> None:
    for text, letter in probe.hop_questions(30, seed=0)["text to option letter"]:
        *lines, asked = text.split("\n")
        (line,) = (line for line in lines if line[0] == letter)
        option = asked.strip().removesuffix("(").strip()
        assert line == f"{letter}. {option}"
        assert [other[3:] for other in lines].count(option) == 1


def test_a_skill_is_the_share_of_right_continuations() -> None:
    answers = [" gout.", " gout. And more", "gout.", " flu."]
    policy: Any = SimpleNamespace(encode=lambda text: [0], decode=lambda ids: answers[ids[0]])

    def sample(prompts: list[list[int]], *_: object) -> list[list[Any]]:
        return [[SimpleNamespace(token_ids=[i])] for i in range(len(prompts))]

    sampler: Any = SimpleNamespace(sample=sample)
    pairs = [("This is", " gout.")] * 4
    row = probe.skill(policy, sampler, pairs)
    interval = wilson(2, 4)
    assert row == {"n": 4, "accuracy": 0.5, "low": interval.low, "high": interval.high}


def test_the_table_is_printed_and_kept_beside_the_model(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "SamplingParams", lambda room, warmth: _params(min(room, 4), warmth))
    folder = tiny("qwen2")
    try:
        probe.main(str(folder), n=2)
        table = json.loads((folder / "probe.json").read_text())
    finally:
        (folder / "probe.json").unlink()
    assert set(table) == {"skills", "exams"} and len(table["exams"]) == 2 * 4
    sampled = table["exams"]["test-ood, free, sampled"]
    assert sampled["n"] == 1 * probe.SAMPLES
    assert 0 <= sampled["pass@1"] <= sampled["pass@8"] <= 1
    assert table["exams"]["test-id, forced think, greedy"]["n"] == 2
    assert "findings to condition" in capsys.readouterr().out


_params = probe.SamplingParams
