"""Whole runs on a tiny model: what they leave behind, how they fail, what their settings do."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from medrl.cases.difficulty import PassRates, record_of
from medrl.cases.spec import DataSpec
from medrl.errors import DataError, MedrlError, ModelError, RecipeError, RunError, TrainingDiverged
from medrl.evaluation.dynamics import Phase, phases_of
from medrl.grading import Grader
from medrl.learning import reinforcement
from medrl.learning.evaluations import DIFFICULTY, Evaluations, Stopped
from medrl.learning.objectives.ppo import policy_loss, value_loss
from medrl.learning.policy import Policy
from medrl.learning.preparation import cases_of, fitting, prepare
from medrl.learning.progress import Display
from medrl.learning.rollout import encode_prompt, target_groups
from medrl.learning.session import Session, resume_run, run_recipe
from medrl.run import RunFolder, StopRequest, generator
from medrl.sampling.sampler import SamplingParams
from tests.learning.conftest import MakeRecipe, rl_learner, sft_learner
from tests.tiny import case


def silent() -> Display:
    return Display(Console(file=io.StringIO()), quiet=True)


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / f"{name}.jsonl").read_text().splitlines()]


# --- a run ---------------------------------------------------------------------------------------


def test_a_run_leaves_everything_a_reader_needs(
    make_recipe: MakeRecipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe({"answers_per_prompt": 2}, episodes_kept=1)
    summary = run_recipe(recipe, tmp_path / "run", silent())
    assert capfd.readouterr() == ("", "")  # quiet means quiet
    run = tmp_path / "run"
    metrics = lines(run, "metrics")
    assert [row["step"] for row in metrics] == [1, 2, 3]
    assert all(row["stage"] == "ppo" and row["episodes"] == 8 for row in metrics)
    for name in ("reward", "accuracy", "kl", "policy_loss", "value_loss", "grad_norm", "entropy"):
        assert all(math.isfinite(row[name]) for row in metrics)
    assert metrics[0]["kl"] == pytest.approx(0, abs=1e-5)  # the policy is still the reference
    assert len(lines(run, "episodes")) == 3 and len(lines(run, "timings")) == 3
    assert json.loads((run / "summary.json").read_text()) == summary
    result = summary["evaluations"]["test-id"]
    assert result["before"]["n"] == result["after"]["n"] == 3
    assert set(result["comparison"]) == {"difference", "low", "high", "p_value"}
    assert [(p["start"], p["end"]) for p in summary["phases"]] == [(1, 3)]
    assert len(json.loads((run / "answers-after-test-id.json").read_text())) == 3
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    newest = load_file(sorted((run / "checkpoints").iterdir())[-1] / "policy.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, newest[name]), name


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        run_recipe(make_recipe(seed=seed), tmp_path / name, silent())
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for file in ("metrics.jsonl", "episodes.jsonl", "evaluations.json", "model/model.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
    assert (one / "metrics.jsonl").read_bytes() != (three / "metrics.jsonl").read_bytes()


def test_progress_is_told_in_a_log(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    written = io.StringIO()
    display = Display(Console(file=written, width=160))
    run_recipe(make_recipe({"steps": 1}), tmp_path / "run", display)
    text = written.getvalue()
    assert "evaluating before training 3/3" in text and "ppo 1/1  reward" in text
    assert "evaluating after training 3/3" in text


def test_a_recipe_without_evaluation_and_penalty_runs(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe({"kl_coefficient": 0.0, "critic": "copy"}, evaluation={})
    summary = run_recipe(recipe, tmp_path / "run", silent())
    assert summary["evaluations"] == {}
    assert all(row["kl"] == 0 for row in lines(tmp_path / "run", "metrics"))


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": {"path": "no/such/model"}}, ModelError),
        ({"train": {"source": "clinic:nowhere", "size": 3}}, DataError),
        ({"train": {"source": "clinic:train"}}, RecipeError),
        ({"train": {"source": "no-such-set"}}, DataError),
        ({"prompt": "no place"}, RecipeError),
        ({"prompt": "word " * 1100 + "{question}"}, DataError),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    make_recipe: MakeRecipe, tmp_path: Path, changes: dict[str, Any], error: type[MedrlError]
) -> None:
    with pytest.raises(error):
        run_recipe(make_recipe(**changes), tmp_path / "run", silent())
    assert not (tmp_path / "run").exists()


def test_full_targets_without_rationales_are_found_before_training(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    row = {"question": "What helps?", "options": ["aspirin", "rest"], "answer": "A"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    mine = {"source": "jsonl", "path": str(tmp_path / "mine.jsonl"), "split": None}
    recipe = make_recipe({}, {"objective": "sft", "targets": "full"}, train=mine)
    with pytest.raises(DataError, match="rationale"):
        prepare(recipe)


def test_prompts_too_long_for_the_second_stage_are_found_before_the_first(
    make_recipe: MakeRecipe,
) -> None:
    with pytest.raises(DataError, match="exceeds the model's context of 1024"):
        prepare(make_recipe({"objective": "sft"}, {"max_new_tokens": 1000}))


@pytest.mark.parametrize("stage", [{"objective": "grpo"}, {"objective": "sft"}])
def test_a_budget_below_the_longest_episode_is_refused_before_any_work(
    make_recipe: MakeRecipe, stage: dict[str, Any]
) -> None:
    fits = prepare(make_recipe(stage))
    policy, cases = fits.examiner.policy, fits.train_cases
    answer = 12
    if stage["objective"] == "sft":
        targets = target_groups(policy, cases, "think-answer", Grader(), full=False)
        answer = max(e.policy_tokens for group in targets for e in group.episodes)
    needed = max(fits.prompt_lengths) + answer - 1  # the last token of an answer is not read
    with pytest.raises(RecipeError, match=f"may have {needed} tokens") as refused:
        prepare(make_recipe({}, stage | {"token_budget": needed - 1}))
    assert refused.value.message.startswith(f"stage 1 ({stage['objective']}): token_budget is")
    assert refused.value.fix == f"set token_budget to at least {needed}"
    prepare(make_recipe(stage | {"token_budget": needed}))


def test_cases_prove_themselves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"question": f"q{i}", "options": ["aspirin", "insulin", "rest"], "answer": "B"}
        for i in range(70)
    ]
    rows[0]["options"] = ["same", "same", "rest"]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    cases = cases_of(DataSpec(source="jsonl", path=str(path), split=None), Grader())
    assert len(cases) == 69
    assert "set aside" in caplog.text and "mine.jsonl:1" in caplog.text


def test_a_run_is_not_overwritten_and_not_resumed_when_done(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe({"steps": 1})
    run_recipe(recipe, tmp_path / "run", silent())
    with pytest.raises(RunError, match="already contains a run"):
        run_recipe(recipe, tmp_path / "run", silent())
    with pytest.raises(RunError, match="has already finished"):
        resume_run(recipe, tmp_path / "run", silent())


def test_an_older_run_is_only_deleted_when_the_new_one_can_begin(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run_recipe(make_recipe({"steps": 1}), run, silent())
    before = (run / "metrics.jsonl").read_bytes()
    for broken in (
        make_recipe(model={"path": "no/such/model"}),
        make_recipe(train={"source": "jsonl", "path": "no-such-file.jsonl"}),
    ):
        with pytest.raises(MedrlError):
            run_recipe(broken, run, silent(), overwrite=True)
        assert (run / "metrics.jsonl").read_bytes() == before
    run_recipe(make_recipe({"steps": 1}, seed=7), run, silent(), overwrite=True)
    assert (run / "metrics.jsonl").read_bytes() != before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_stop_is_honoured_during_evaluation(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    recipe = make_recipe({"steps": 1})
    run_recipe(recipe, tmp_path / "whole", silent())
    real = Evaluations.record

    def asked_to_stop(evaluations: Evaluations, now: str, stop: StopRequest) -> None:
        stop.requested = now == moment
        real(evaluations, now, stop)

    with monkeypatch.context() as patched:
        patched.setattr(Evaluations, "record", asked_to_stop)
        with pytest.raises(Stopped):
            run_recipe(recipe, tmp_path / "run", silent())
    resume_run(recipe, tmp_path / "run", silent())
    for file in ("metrics.jsonl", "evaluations.json", "model/model.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_loss_that_is_no_number_stops_the_run_at_the_last_good_checkpoint(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real = make_recipe(), policy_loss
    calls = []

    def poisoned(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(0)
        loss, clipped = real(*args)
        return (loss * math.nan if len(calls) == 2 else loss), clipped

    monkeypatch.setattr(reinforcement, "policy_loss", poisoned)
    with pytest.raises(TrainingDiverged) as caught:
        run_recipe(recipe, tmp_path / "broken", silent())
    message, good = caught.value.message, tmp_path / "broken" / "checkpoints" / "step-000001"
    assert "stage 0 (ppo), step 2: loss nan" in message and str(good) in message
    assert good.is_dir() and caught.value.exit_code == 4
    assert [row["step"] for row in lines(tmp_path / "broken", "metrics")] == [1]

    resume_run(recipe, tmp_path / "broken", silent())  # the poison was used up
    monkeypatch.setattr(reinforcement, "policy_loss", real)
    run_recipe(recipe, tmp_path / "whole", silent())
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "broken" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_gradient_that_is_no_number_leaves_the_weights_alone(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = rl_learner(make_recipe())
    before = {n: p.clone() for n, p in learner.tensors()["policy"].items()}
    monkeypatch.setattr(reinforcement, "value_loss", lambda *args: value_loss(*args) * math.inf)
    with pytest.raises(TrainingDiverged):
        learner.update(learner.rollout(lambda batch: [case()], 0), 0)
    for name, tensor in learner.tensors()["policy"].items():
        assert torch.equal(tensor, before[name])


# --- the difficulty filter -----------------------------------------------------------------------


def test_cases_outside_the_band_are_not_trained_on_and_the_filter_is_kept(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    band = {"answers": 4, "lo": 1, "hi": 3}
    recipe = make_recipe(difficulty=band, episodes_kept=4)
    parts = prepare(recipe)
    ids = [case.id for case in parts.train_cases]
    counts = (0, 1, 2, 3, 4, 4, 0, 0)
    with RunFolder.create(tmp_path / "run", recipe.to_yaml()) as run:
        assert recipe.difficulty is not None
        planted = record_of(parts.train_cases, PassRates(counts, 4), recipe.difficulty)
        run.write_json(DIFFICULTY, planted)  # as an earlier start of this run left it
        Session(recipe, parts, run, silent()).train(None)
        assert run.read_json(DIFFICULTY) == planted
    trained = {row["case_id"] for row in lines(tmp_path / "run", "episodes")}
    assert trained == set(ids[1:4])


def test_the_filter_counts_right_answers_of_the_model_as_it_starts(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe({"steps": 1}, difficulty={"answers": 3, "lo": 0, "hi": 3})
    told = io.StringIO()
    run_recipe(recipe, tmp_path / "run", Display(Console(file=told, width=200)))
    record = json.loads((tmp_path / "run" / DIFFICULTY).read_text())
    parts = prepare(recipe)
    rows = parts.examiner.ask(
        parts.train_cases, SamplingParams(6, 1.0), generator(0, "difficulty"), 3
    )
    counts = [sum(row.correct for row in answers) for answers in rows]
    assert record["right"] == dict(zip((c.id for c in parts.train_cases), counts, strict=True))
    assert record["levels"] == {f"L{4 - right}": counts.count(right) for right in (3, 2, 1, 0)}
    assert "8 of 8 cases kept" in told.getvalue()


def test_the_start_of_the_answers_that_tell_the_difficulty_can_be_given(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Tiny models answer nothing rightly, unless the answer is put into their mouths."""
    spec = {"answers": 2, "levels": [1, 3], "prefill": "<answer>A</answer>"}
    recipe = make_recipe({"steps": 1}, difficulty=spec)
    run_recipe(recipe, tmp_path / "run", silent())
    record = json.loads((tmp_path / "run" / DIFFICULTY).read_text())
    gold = {c.id: c.reference.value for c in prepare(recipe).train_cases}
    assert record["right"] == {id: 2 * (letter == "A") for id, letter in gold.items()}
    assert set(record["right"].values()) == {0, 2}


def test_counts_of_another_run_are_used_instead_of_asking(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"answers": 5, "levels": [2, 6]}
    first = make_recipe({"objective": "grpo"}, difficulty=spec)
    cases = prepare(first).train_cases
    rates = PassRates((4, 5, 0, 4, 3, 1, 2, 0), 5)
    assert first.difficulty is not None
    record = record_of([*cases, case(name="another")], PassRates((*rates.counts, 5), 5),
                       first.difficulty)  # fmt: skip
    counts = tmp_path / "difficulty.json"
    counts.write_text(json.dumps(record))
    monkeypatch.setattr("medrl.learning.evaluations.draw", None)  # nobody asks
    recipe = make_recipe(
        {"objective": "grpo"}, difficulty=spec | {"counts": str(counts)}, episodes_kept=4
    )
    run_recipe(recipe, tmp_path / "run", silent())
    run = tmp_path / "run"
    trained = {row["case_id"] for row in lines(run, "episodes")}
    assert trained == {cases[i].id for i in (0, 2, 3, 7)}
    kept = json.loads((run / DIFFICULTY).read_text())
    assert kept == record_of(cases, rates, first.difficulty)  # its own cases only
    for row in lines(run, "metrics"):
        assert row["groups_L2"] + row["groups_L6"] == 4 and "groups_L1" not in row
        assert row["dead_share_L2"] == 1  # a tiny model answers nothing rightly


def test_a_mixture_is_trained_on_whole_and_filtered_where_it_is_asked_for(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    rows = [{"id": f"mine-{i}", "question": f"q{i}", "options": ["x", "y"], "answer": "A"}
            for i in range(3)]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mine = {"source": "jsonl", "path": str(tmp_path / "mine.jsonl"), "split": None}
    clinic = {"source": "clinic:train", "size": 4}
    spec = {"answers": 2, "levels": [1], "sources": ["clinic:train"],
            "prefill": "<answer>A</answer>"}  # fmt: skip
    recipe = make_recipe({"steps": 4}, train=[clinic, mine], difficulty=spec, episodes_kept=4)
    cases = prepare(recipe).train_cases
    assert len(cases) == 7
    run_recipe(recipe, tmp_path / "run", silent())
    trained = {row["case_id"] for row in lines(tmp_path / "run", "episodes")}
    easy = {c.id for c in cases[:4] if c.reference.value == "A"}
    assert trained == easy | {c.id for c in cases[4:]} and easy
    assert len(json.loads((tmp_path / "run" / DIFFICULTY).read_text())["right"]) == 4


def test_a_band_that_keeps_nothing_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(difficulty={"answers": 2, "lo": 2, "hi": 2})
    with pytest.raises(DataError, match="no training case was answered rightly 2 to 2 times"):
        run_recipe(recipe, tmp_path / "run", silent())


# --- learners ------------------------------------------------------------------------------------


def test_every_step_draws_its_own_answers_and_can_be_drawn_again(make_recipe: MakeRecipe) -> None:
    learner = rl_learner(make_recipe())
    first, second = (learner.rollout(lambda batch: [case()], number) for number in (0, 1))
    assert first != second
    assert first == learner.rollout(lambda batch: [case()], 0)


def test_supervised_answers_become_likelier(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe({"objective": "sft", "learning_rate": 0.01})
    learner = sft_learner(recipe)
    cases = [case(g, name=g, question=f"case {g}") for g in "ABCD"]
    losses = [learner.update(learner.rollout(lambda batch: cases, s), s)["loss"] for s in range(12)]
    assert losses[-1] < 0.3 * losses[0]


def test_phases_are_spans_of_steps_counted_from_one() -> None:
    row = {
        "format_rate": 0.1,
        "response_tokens": 20.0,
        "think_tokens": 0.0,
        "pre_think_tokens": 0.0,
        "early_answer_rate": 0.0,
        "accuracy": 0.2,
    }
    rows = [row] * 15 + [
        row | {"format_rate": 1.0, "response_tokens": 90.0, "think_tokens": 60.0}
    ] * 40
    phases = phases_of(rows)
    assert phases[0]["phase"] == Phase.FORMAT_FAILURE and phases[0]["start"] == 1
    for earlier, later in pairwise(phases):
        assert later["start"] == earlier["end"] + 1
    assert phases[-1]["end"] == len(rows)
    assert phases_of([]) == []


def test_a_few_prompts_that_are_too_long_are_set_aside_and_named(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    long = case(name="too-long", question="fever " * policy.context)
    cases = [case(name=f"case-{i}") for i in range(99)]
    kept, lengths = fitting(policy, [*cases, long], "think-answer", 8)
    assert kept == cases
    assert lengths == [len(encode_prompt(policy, c, "think-answer", 8)) for c in cases]
    assert "too-long" in caplog.text
    with pytest.raises(DataError, match="too-long"):
        fitting(policy, [*cases[:9], long], "think-answer", 8)
