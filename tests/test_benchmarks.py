"""The benchmarks run, and compare like with like. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TOY = ("--hidden", "32", "--layers", "1", "--repeat", "1")
PROMPTS, GROUP = 2, 2
FRAME = {"qwen2_vl": 2, "idefics3": 3, "llava": 0}
"""Tokens that a family puts around a picture."""


def run(script: str, out: Path, *options: str) -> dict[str, Any]:
    """What a script writes at a toy size."""
    command = [sys.executable, str(BENCHMARKS / script), "--out", str(out), *TOY, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert out.with_suffix(".md").read_text(encoding="utf-8").startswith("# ")
    result: dict[str, Any] = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert result["about"]["command"].startswith(f"python benchmarks/{script} ")
    assert result["about"]["machine"]["torch"]
    return result


def positive(spread: dict[str, float]) -> bool:
    return 0 < spread["lowest"] <= spread["median"] <= spread["highest"]


def both_did_the_same(row: dict[str, Any]) -> None:
    medrl, trl = row["sides"]["medrl"], row["sides"]["trl"]
    assert all(positive(ratio) for ratio in row["ratios"].values())
    assert medrl["prompts_per_step"] == trl["prompts_per_step"] == PROMPTS
    assert medrl["answers_per_step"] == trl["answers_per_step"] == PROMPTS * GROUP
    assert medrl["answer_tokens"] == trl["answer_tokens"]
    assert medrl["longest_answers"] == trl["longest_answers"]
    assert set(medrl["seconds"]) == set(trl["seconds"])


def against_trl(out: Path, *options: str) -> dict[str, Any]:
    sizes = ("--prompts", str(PROMPTS), "--group", str(GROUP))
    return run("against_trl.py", out, *sizes, *options)


def test_talking_writes_as_much_both_ways(tmp_path: Path) -> None:
    sizes = ("--conversations", "8", "--prompt", "10", "--turn", "3", "--reply", "4")
    result = run("talking.py", tmp_path / "talking", *sizes, "--turns", "2")
    (row,) = result["rows"]
    assert row["written_tokens"] == 8 * 2 * 3 and positive(row["ratio"])
    assert {name: len(side["seconds"]) for name, side in row["sides"].items()} == {
        "kept": 1, "reread": 1
    }  # fmt: skip


@pytest.mark.slow  # memory is measured in processes of their own
def test_against_trl_with_answers_of_one_length(tmp_path: Path) -> None:
    result = against_trl(tmp_path / "fixed", "--shape", "12,6")
    (row,) = result["rows"]
    both_did_the_same(row)
    assert set(row["ratios"]) == {"step", "sampling", "learning", "memory"}
    assert row["sides"]["medrl"]["answer_tokens"] == [PROMPTS * GROUP * 6]
    assert all(side["peak_memory_bytes"] > 0 for side in row["sides"].values())


def test_against_trl_with_ragged_answers_a_reference_and_pairs(tmp_path: Path) -> None:
    options = ("--ragged", "12,6", "--beta", "0.04", "--dpo", "12,6", "--no-memory")
    ragged, pairs = against_trl(tmp_path / "ragged", *options)["rows"]
    both_did_the_same(ragged)
    assert set(ragged["ratios"]) == {"step", "sampling", "learning"}
    assert ragged["row"]["beta"] == 0.04
    both_did_the_same(pairs)
    assert set(pairs["ratios"]) == {"step", "learning"}
    assert pairs["sides"]["trl"]["answer_tokens"] == [PROMPTS * 2 * 6]


def test_against_trl_with_pictures(tmp_path: Path) -> None:
    asked = [option for family in FRAME for option in ("--see", f"{family},3")]
    options = ("--shape", "12,6", "--no-memory", "--computing")
    rows = against_trl(tmp_path / "pictures", *asked, *options)["rows"]
    assert [row["row"]["family"] for row in rows] == list(FRAME)
    for row, frame in zip(rows, FRAME.values(), strict=True):
        both_did_the_same(row)
        assert set(row["ratios"]) == {"step", "sampling", "learning"}
        assert row["sides"]["trl"]["answer_tokens"] == [PROMPTS * GROUP * 6]
        assert row["same_work"]["prompt_tokens"] == frame + 3 * 3 + 12
        apart = row["same_work"]["gradient"]  # the script refuses what is not small
        assert 0 < apart["all"] < 1e-3 and 0 < apart["eyes"] < 1e-3


def test_sides_that_do_not_the_same_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import grpo_sides
    from against_trl import Row, Settings, make_job
    from bench_model import ModelSize
    from same_work import same_work

    row = Row("fixed", 12, 6, 2, family="llava", side=3)
    job = make_job(row, Settings(ModelSize.of(32, 1, 60), 2, False, 0), tmp_path, 1)
    assert isinstance(job, grpo_sides.Job)
    told = grpo_sides.grpo_config(job, torch.device("cpu"))
    told.scale_rewards = "none"
    monkeypatch.setattr(grpo_sides, "grpo_config", lambda *_: told)
    with pytest.raises(ValueError, match="gradients on the same answers differ"):
        same_work(job)


def test_decoder_writes_what_generate_writes(tmp_path: Path) -> None:
    options = ("--prompt", "12", "--group", "2", "--answer", "6", "--prompts", str(PROMPTS))
    (row,) = run("decoder.py", tmp_path / "decoder", *options)["rows"]
    medrl, generate = row["sides"]["medrl"], row["sides"]["generate"]
    assert positive(row["ratio"])
    assert medrl["answers"] == generate["answers"] == PROMPTS * 2
    assert medrl["answer_tokens"] == generate["answer_tokens"]


def test_cost_curves_count_tokens_and_arithmetic(tmp_path: Path) -> None:
    options = ("--base", "12,6,2,2", "--prompt", "12", "--answer", "6", "--group", "1")
    more = ("--group", "2", "--batch", "2", "--matrix", "64", "--seconds", "0")
    result = run("cost_curves.py", tmp_path / "curves", *options, *more)
    pair, alone = sorted(result["rows"], key=lambda row: -row["group"])
    for row in (pair, alone):
        assert all(positive(ratio) for ratio in row["ratios"].values())
        assert row["answers"] == 2 * row["group"]
        assert all(share > 0 for share in row["share_of_machine"].values())
    # Two prompts of 12, two answers each of which all but the last token is read.
    assert pair["computed_tokens"] == {"plain": 68, "packed": 68, "shared": 44}
    assert pair["limit"] == pytest.approx(68 / 44)
    assert alone["limit"] == 1
    assert pair["flops"]["shared"] < pair["flops"]["packed"] == pair["flops"]["plain"]
    assert (tmp_path / "curves.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_formula_counts_what_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from bench_learner import TOKEN_BUDGET, make_learner, make_policy
    from bench_model import ModelSize, save_model
    from cost_curves import MODES, Point, computed_tokens, flops, given_groups

    size, point = ModelSize.of(32, 2, 20), Point(prompt=7, answer=4, group=3, batch=2)
    policy = make_policy(save_model(tmp_path, size, None))
    groups = given_groups(point, size, 0)
    seen = 8 + 9 + 10  # by an answer's tokens: three of them are read, behind a prompt of seven
    pairs = {"plain": 6 * (28 + seen), "packed": 6 * (28 + seen), "shared": 2 * 28 + 6 * seen}
    for mode in MODES:
        learner = make_learner(policy, 2, 3, 4, layout=mode)
        with FlopCounterMode(display=False) as counter:
            learner.update(groups, 0)
        counts = counter.get_flop_counts()["Global"]
        products = sum(n for op, n in counts.items() if "mm" in str(op))
        attention = 12 * size.layers * size.hidden * pairs[mode]
        tokens = computed_tokens(groups, mode, policy, TOKEN_BUDGET)
        assert flops(point, size, mode, tokens) == products + attention
