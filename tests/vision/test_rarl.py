"""The recipe rarl: adapters and nothing else are trained, and how many is said."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from medrl.clinic.phantoms.cases import phantom_cases
from medrl.environments.prompts import render
from medrl.learning import gathering
from medrl.learning.policy import Policy
from medrl.learning.preparation import load_examiner, prepare
from medrl.learning.progress import Display
from medrl.learning.session import Session
from medrl.recipe import load_recipe
from medrl.report import write_report
from medrl.run import RunFolder
from medrl.schema import EvaluationSpec, Recipe
from tests.learning.conftest import paid_by_tokens, rl_learner


@pytest.fixture
def recipe(seeing: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Two small steps of it over a tiny model that sees."""
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    return load_recipe(
        "rarl",
        overrides=[
            f"model.path={seeing('qwen2_vl')}",
            "train.size=8",
            *("steps=2", "prompts_per_step=4", "max_new_tokens=8", "learning_rate=0.05"),
            "evaluation.max_new_tokens=8",
            "evaluation.sets={test: {source: 'clinic:phantoms-test', size: 3}}",
        ],
    )


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Of every name and every bit."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def halves(policy: Policy) -> tuple[str, str]:
    """Digests of the base weights, buffers included, and of the adapters."""
    tensors = policy.model.state_dict()
    adapters = {name: t for name, t in tensors.items() if "lora_" in name}
    return digest({n: t for n, t in tensors.items() if n not in adapters}), digest(adapters)


def test_a_run_changes_adapters_alone_and_says_how_many(
    recipe: Recipe, seeing: Callable[[str], Path], tmp_path: Path
) -> None:
    parts, written = prepare(recipe), io.StringIO()
    policy = parts.examiner.policy
    base, adapters = halves(policy)
    with RunFolder.create(tmp_path / "run", recipe.to_yaml()) as run:
        summary = Session(recipe, parts, run, Display(Console(file=written, width=200))).train(None)
    after, learned = halves(policy)
    assert after == base and learned != adapters

    trained = sum(p.numel() for n, p in policy.model.named_parameters() if "lora_" in n)
    assert summary["trained_parameters"] == trained == parts.examiner.policy.sizes()[0]
    share = 100 * trained / summary["parameters"]
    assert f"{trained:,} of them trained ({share:.2f} %)" in written.getvalue()
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Parameters trained" in page and f"{trained} ({share:.1f}" in page

    # What is saved differs from the base in the attention of the part that reads text, only.
    before, saved = (
        load_file(folder / "model.safetensors")
        for folder in (seeing("qwen2_vl"), tmp_path / "run" / "model")
    )
    assert before.keys() == saved.keys()
    moved = {name for name in before if not torch.equal(before[name], saved[name])}
    assert moved and all("self_attn" in name and "visual" not in name for name in moved)
    # Rank 8: [8, in] and [out, 8] beside each weight.
    assert trained == sum(8 * sum(before[name].shape) for name in moved)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert all(0 <= row["term_reasoning"] <= row["term_reasoning_ungated"] <= 1 for row in rows)


def test_it_trains_in_many_words_and_evaluates_in_one(recipe: Recipe) -> None:
    learner, cases = rl_learner(recipe), phantom_cases("phantoms-train", 4)
    trained = {g.prompt for step in range(6) for g in learner.rollout(lambda _: cases, step)}
    asked = {render(case, "think-answer") for case in cases}
    assert len(trained) > 12 and not trained <= asked
    assert load_examiner(recipe).template == recipe.evaluation_prompt == "think-answer"
    assert recipe.model_copy(update={"evaluation": EvaluationSpec()}).evaluation_prompt == (
        "pool:diverse"
    )
