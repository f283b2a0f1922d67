"""The sampler a recipe asks for, and a run on each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medrl.errors import SamplingError
from medrl.learning import gathering
from medrl.learning.policy import load_policy
from medrl.learning.preparation import load_examiner
from medrl.learning.session import run_recipe
from medrl.sampling.build import API_KEY, build_sampler
from medrl.sampling.torch_sampler import TorchSampler
from medrl.sampling.vllm_sampler import VLLMSampler, VLLMServerSampler
from medrl.schema import ModelSpec, Recipe, SamplerSpec
from tests.learning.conftest import paid_by_tokens, tiny_recipe
from tests.learning.test_exact_resume import silent
from tests.sampling.fake_vllm import Engine, FakeLLM, FakeServer


@pytest.fixture
def recipe(tiny: Callable[[str], Path]) -> Callable[[dict[str, Any]], Recipe]:
    """Two steps of GRPO with the given sampler."""

    def make(sampler: dict[str, Any]) -> Recipe:
        stage = {"objective": "grpo", "steps": 2}
        return tiny_recipe(tiny("qwen2"), stage, sampler=sampler)

    return make


def test_medrls_own_sampler_is_the_usual_one(
    recipe: Callable[[dict[str, Any]], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    sampler = load_examiner(recipe({})).sampler
    assert isinstance(sampler, TorchSampler) and sampler.max_rows == 256
    sampler = load_examiner(recipe({"max_rows": 3})).sampler
    assert isinstance(sampler, TorchSampler) and sampler.max_rows == 3


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_an_engine_is_built_from_the_policys_folder(
    tiny: Callable[[str], Path], fake_vllm: None, monkeypatch: pytest.MonkeyPatch, lora_rank: int
) -> None:
    built: list[dict[str, Any]] = []

    def build(**arguments: Any) -> FakeLLM:
        built.append(arguments)
        return FakeLLM(**arguments)

    monkeypatch.setattr(sys.modules["vllm"], "LLM", build)
    policy = load_policy(ModelSpec(path=str(tiny("llama")), lora_rank=lora_rank))
    spec = SamplerSpec(engine="vllm", gpu_memory_utilization=0.3)
    assert isinstance(build_sampler(spec, policy), VLLMSampler)
    [arguments] = built
    assert arguments["model"] == str(tiny("llama"))
    assert arguments["gpu_memory_utilization"] == 0.3


def test_a_server_is_asked_with_the_key_of_the_environment(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(ModelSpec(path=str(tiny("qwen2"))))
    spec = SamplerSpec(
        engine="vllm-server",
        url="http://gpu-box:8000",
        weights_folder=str(tmp_path),
        allow_remote=True,
    )
    monkeypatch.delenv(API_KEY, raising=False)
    plain = build_sampler(spec, policy)
    assert isinstance(plain, VLLMServerSampler) and "authorization" not in plain._client.headers
    assert (plain.url, plain.weights_folder) == ("http://gpu-box:8000", tmp_path)
    monkeypatch.setenv(API_KEY, "secret")
    keyed = build_sampler(spec, policy)
    assert isinstance(keyed, VLLMServerSampler)
    assert keyed._client.headers["authorization"] == "Bearer secret"
    with pytest.raises(SamplingError, match="not this machine"):  # though the schema saw to it
        build_sampler(spec.model_copy(update={"allow_remote": False}), policy)


def test_without_the_extra_one_line_names_the_command(
    recipe: Callable[[dict[str, Any]], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(SamplingError) as caught:
        run_recipe(recipe({"engine": "vllm"}), tmp_path / "run", silent())
    assert "\n" not in caught.value.message
    assert caught.value.fix == 'pip install "medrl[gpu]"'
    assert not (tmp_path / "run").exists()


def record_weights(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """What engines hold after each time they were given weights."""
    found: list[dict[str, torch.Tensor]] = []
    real = Engine.reload_weights

    def reload(engine: Engine, *args: Any, **kwargs: Any) -> None:
        real(engine, *args, **kwargs)
        found.append({n: p.detach().clone() for n, p in engine.model.named_parameters()})

    monkeypatch.setattr(Engine, "reload_weights", reload)
    return found


@pytest.mark.parametrize("engine", ["vllm", "vllm-server"])
def test_a_run_samples_from_the_weights_of_each_step(
    recipe: Callable[[dict[str, Any]], Recipe],
    tiny: Callable[[str], Path],
    serve: Callable[..., FakeServer],
    fake_vllm: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    given, run, weights = record_weights(monkeypatch), tmp_path / "run", tmp_path / "weights"
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    sampler: dict[str, Any] = {"engine": engine}
    if engine == "vllm-server":
        sampler |= {"url": serve(str(tiny("qwen2"))).url, "weights_folder": str(weights)}
    run_recipe(recipe(sampler), run, silent())

    start = load_file(tiny("qwen2") / "model.safetensors")
    after = [
        load_file(run / "checkpoints" / f"step-00000{n}" / "policy.safetensors") for n in (1, 2)
    ]
    # For the evaluation before, for both steps, and for the evaluation after training.
    for held, expected in zip(given, (start, start, *after), strict=True):
        for name, tensor in held.items():
            assert torch.equal(tensor, expected[name]), name
    assert not torch.equal(*(w["model.embed_tokens.weight"] for w in after))
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 2 and all(row["grad_norm"] > 0 for row in metrics)
    assert "entropy" not in metrics[0]
    if engine == "vllm-server":
        assert not list(weights.iterdir())
