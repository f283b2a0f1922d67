"""Samplers on vLLM, held to the contract with a stand-in for the engine (``fake_vllm.py``).

That vLLM itself keeps to its documentation only the last test can tell; without vLLM, which needs a
GPU, it is skipped.
"""

from __future__ import annotations

import importlib.util
import math
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from medrl.errors import SamplingError
from medrl.learning.policy import Policy, load_policy, save_model
from medrl.sampling import vllm_sampler
from medrl.sampling.sampler import Sampler, SamplingParams, StopReason
from medrl.sampling.vllm_sampler import VLLMSampler, VLLMServerSampler, merged_weights
from medrl.schema import ModelSpec
from tests.sampling.contract import TEXTS, SamplerContract, next_token_probs, seeded
from tests.sampling.fake_vllm import Engine, FakeSamplingParams, FakeServer


def folder_of(policy: Policy) -> str:
    return str(policy.model.config._name_or_path)


class TestVLLMSampler(SamplerContract):
    entropies_known = False

    @pytest.fixture(autouse=True)
    def _installed(self, fake_vllm: None) -> None:
        pass

    def make(self, policy: Policy) -> Sampler:
        return VLLMSampler(policy, folder_of(policy))


class TestVLLMServerSampler(SamplerContract):
    entropies_known = False

    @pytest.fixture(autouse=True)
    def _places(self, serve: Callable[..., FakeServer], tmp_path: Path) -> None:
        self.serve, self.folder = serve, tmp_path

    def make(self, policy: Policy) -> Sampler:
        return VLLMServerSampler(policy, self.serve(folder_of(policy)).url, self.folder)


@pytest.fixture
def policy(tiny: Callable[[str], Path]) -> Policy:
    """With adapters, which an engine must get merged."""
    return load_policy(ModelSpec(path=str(tiny("llama")), lora_rank=2))


Pair = tuple[VLLMSampler | VLLMServerSampler, Engine]


@pytest.fixture(params=["in process", "server"])
def pair(
    request: pytest.FixtureRequest,
    policy: Policy,
    fake_vllm: None,
    serve: Callable[..., FakeServer],
    tmp_path: Path,
) -> Pair:
    """A sampler and the engine behind it."""
    if request.param == "in process":
        sampler = VLLMSampler(policy, folder_of(policy))
        return sampler, sampler._llm.engine
    server = serve(folder_of(policy))
    return VLLMServerSampler(policy, server.url, tmp_path), server.engine


def train(policy: Policy, step: float = 0.2) -> None:
    """Change what training would change."""
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.add_(torch.randn(parameter.shape, generator=seeded(3)) * step)


def test_refresh_takes_over_the_weights_of_now(pair: Pair, policy: Policy) -> None:
    (sampler, _), prompt = pair, policy.encode(TEXTS[0])

    def first_token() -> tuple[float, float]:
        [[answer]] = sampler.sample([prompt], 1, SamplingParams(1), seeded())
        return answer.log_probs[0], float(next_token_probs(policy, prompt)[answer.token_ids].log())

    before, learners = first_token()
    assert before == pytest.approx(learners, abs=1e-5)
    train(policy)
    assert first_token()[0] == before != pytest.approx(first_token()[1], abs=1e-2)
    sampler.refresh()
    after, learners = first_token()
    assert after == pytest.approx(learners, abs=1e-5)


@pytest.mark.parametrize(("architecture", "rank"), [("gpt2", 2), ("qwen2", 2), ("llama", 0)])
def test_merged_weights_are_those_of_the_saved_model(
    tiny: Callable[[str], Path], tmp_path: Path, architecture: str, rank: int
) -> None:
    policy = load_policy(ModelSpec(path=str(tiny(architecture)), lora_rank=rank))
    train(policy)
    save_model(policy, tmp_path)
    saved, merged = load_file(tmp_path / "model.safetensors"), dict(merged_weights(policy.model))
    assert saved.keys() == merged.keys()
    for name, weight in saved.items():
        torch.testing.assert_close(merged[name], weight)


def test_no_weights_are_left_lying_about(
    policy: Policy, serve: Callable[..., FakeServer], tmp_path: Path
) -> None:
    VLLMServerSampler(policy, serve(folder_of(policy)).url, tmp_path / "new").refresh()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_stop_string_ends_an_answer_and_is_part_of_it(pair: Pair, policy: Policy) -> None:
    (sampler, _), prompt = pair, policy.encode(TEXTS[1])
    [[whole]] = sampler.sample([prompt], 1, SamplingParams(12, 0.0), seeded())
    wanted = policy.decode(whole.token_ids[3:5])
    params = SamplingParams(12, 0.0, stop=("never written", wanted))
    [[answer]] = sampler.sample([prompt], 1, params, seeded())
    assert answer.stop is StopReason.TEXT
    assert answer.token_ids == whole.token_ids[: len(answer.token_ids)]
    assert wanted in policy.decode(answer.token_ids)
    assert wanted not in policy.decode(answer.token_ids[:-1])


def test_truncation_reaches_the_engine(pair: Pair, policy: Policy) -> None:
    (sampler, _), prompt = pair, policy.encode(TEXTS[1])
    likely = next_token_probs(policy, prompt).topk(3).indices.tolist()
    [answers] = sampler.sample([prompt], 40, SamplingParams(1, 1.0, top_k=3), seeded())
    assert {answer.token_ids[0] for answer in answers} == set(likely)
    [answers] = sampler.sample([prompt], 9, SamplingParams(1, 1.0, top_p=1e-6), seeded())
    assert {answer.token_ids[0] for answer in answers} == {likely[0]}


def test_the_same_prompt_twice_gets_other_answers(pair: Pair, policy: Policy) -> None:
    (sampler, engine), prompt = pair, policy.encode(TEXTS[0])
    first, second = sampler.sample([prompt, prompt], 3, SamplingParams(8), seeded())
    assert not {a.token_ids for a in first} & {a.token_ids for a in second}
    seeds = [request.seed for request in engine.requests[-2:]]
    assert seeds[0] != seeds[1]


def test_both_forms_ask_for_the_same(
    policy: Policy, fake_vllm: None, serve: Callable[..., FakeServer], tmp_path: Path
) -> None:
    prompts, params = [policy.encode(text) for text in TEXTS], SamplingParams(6, 0.9)
    inside = VLLMSampler(policy, folder_of(policy))
    outside = VLLMServerSampler(policy, serve(folder_of(policy)).url, tmp_path)
    answers = inside.sample(prompts, 5, params, seeded())
    assert answers == outside.sample(prompts, 5, params, seeded())


def test_only_the_policys_stop_ids_end_an_answer(pair: Pair, policy: Policy) -> None:
    (sampler, _), [end] = pair, policy.stop_ids
    sampler.policy = replace(policy, stop_ids=(7,))
    [answers] = sampler.sample([policy.encode(TEXTS[0])], 60, SamplingParams(9, 2.0), seeded())
    assert any(end in answer.token_ids[:-1] for answer in answers)


def test_log_probs_that_are_not_numbers_are_counted(
    pair: Pair, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler, engine = pair
    honest = engine.generate

    def broken(prompt: list[int], params: FakeSamplingParams) -> list[SimpleNamespace]:
        outputs = honest(prompt, params)
        for step in outputs[0].logprobs[0].values():
            step.logprob = math.nan
        return outputs

    monkeypatch.setattr(engine, "generate", broken)
    expected = "not numbers" if isinstance(sampler, VLLMServerSampler) else "2 log-probs.* 2 of 6"
    with pytest.raises(SamplingError, match=expected):
        sampler.sample([policy.encode(text) for text in TEXTS[:2]], 3, SamplingParams(2), seeded())
    choice = {"logprobs": {"token_logprobs": [None]}, "token_ids": [1], "finish_reason": "length"}
    with pytest.raises(SamplingError, match="1 log-probs"):
        vllm_sampler._check_numbers([[vllm_sampler._from_choice(choice)]])


def test_an_answer_cut_by_another_limit_is_refused(pair: Pair, policy: Policy) -> None:
    (sampler, engine), prompt = pair, policy.encode(TEXTS[0])
    engine.max_model_len = len(prompt) + 2
    with pytest.raises(SamplingError, match=r"at 2 of 5 tokens, reason 'length'"):
        sampler.sample([prompt], 1, SamplingParams(5, 0.0), seeded())


def test_old_keys_that_cannot_be_forgotten_are_an_error(pair: Pair) -> None:
    sampler, engine = pair
    engine.busy = True
    with pytest.raises(SamplingError, match="forget"):
        sampler.refresh()


def test_temperatures_that_vllm_would_change_are_refused(pair: Pair) -> None:
    with pytest.raises(SamplingError, match=r"temperature 0\.001"):
        pair[0].sample([[1]], 1, SamplingParams(1, 0.001), seeded())


def test_without_vllm_the_error_names_the_command(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(SamplingError, match=r'pip install "medrl\[gpu\]"'):
        VLLMSampler(policy, "anywhere")


def test_an_old_vllm_is_named(
    policy: Policy, fake_vllm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "reload_weights", lambda self: None)
    with pytest.raises(SamplingError, match=r"vllm>=0\.16"):
        VLLMSampler(policy, folder_of(policy)).refresh()


REMOTE = (
    "http://10.0.0.7:8000",
    "http://0.0.0.0:8000",
    "http://gpu-box:8000",
    "http://127.0.0.1.example.org",
    "http://localhost@example.org",
)


def test_prompts_do_not_leave_the_machine_unasked(policy: Policy, tmp_path: Path) -> None:
    for url in REMOTE:
        with pytest.raises(SamplingError, match=r"not this machine.*leave"):
            VLLMServerSampler(policy, url, tmp_path)
        VLLMServerSampler(policy, url, tmp_path, allow_remote=True)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        VLLMServerSampler(policy, f"http://{host}:8000", tmp_path)


def test_no_server_is_one_clear_error(policy: Policy, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    sampler = VLLMServerSampler(policy, url, tmp_path)
    with pytest.raises(SamplingError, match=f"no server at {url}") as caught:
        sampler.sample([[1]], 1, SamplingParams(1), seeded())
    assert vllm_sampler.SERVE in caught.value.fix


def test_servers_that_cannot_be_trained_with_are_found_out(
    policy: Policy, serve: Callable[..., FakeServer], tmp_path: Path
) -> None:
    def refusal(server: FakeServer) -> str:
        sampler = VLLMServerSampler(policy, server.url, tmp_path)
        with pytest.raises(SamplingError) as caught:
            sampler.sample([policy.encode(TEXTS[0])], 1, SamplingParams(1), seeded())
        return str(caught.value)

    untempered, closed, other = (serve(folder_of(policy)) for _ in range(3))
    untempered.engine.logprobs_mode = "raw_logprobs"
    assert "--logprobs-mode processed_logprobs" in refusal(untempered)
    closed.development_mode = False
    assert "VLLM_SERVER_DEV_MODE=1" in refusal(closed)
    other.reads_other_prompt = True
    assert "token ids it was sent" in refusal(other)


class _RealEngine(SamplerContract):
    """The contract, held by one engine for all its tests (building one takes a minute)."""

    entropies_known = False
    tolerance = 1e-2

    def __init__(self, sampler: VLLMSampler) -> None:
        self.sampler = sampler

    def make(self, policy: Policy) -> Sampler:
        self.sampler.policy = policy
        return self.sampler


@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed (it needs a GPU): only its stand-in was held to the contract",
)
def test_the_real_engine_keeps_the_contract() -> None:
    policy = load_policy(ModelSpec(path="clinic:text-base"), torch.device("cpu"))
    contract = _RealEngine(
        VLLMSampler(policy, folder_of(policy), gpu_memory_utilization=0.3, enforce_eager=True)
    )
    prompts = [policy.encode_prompt(text) for text in TEXTS]
    contract.test_the_same_generator_state_gives_the_same_answers(policy, prompts)
    contract.test_log_probs_are_the_learners(policy, prompts, 1.0)
    contract.test_log_probs_are_the_learners(policy, prompts, 0.6)
    contract.test_entropies_are_those_of_the_distributions_drawn_from(policy)
    contract.test_stop_tokens_end_an_answer_and_are_part_of_it(policy)
    contract.test_tokens_come_as_often_as_they_are_likely(policy)
    train(policy, 0.01)
    contract.sampler.refresh()
    contract.test_log_probs_are_the_learners(policy, prompts, 1.0)
    params = SamplingParams(20, 1.0, stop=("e",))
    [answers] = contract.make(policy).sample([prompts[1]], 20, params, seeded())
    texts = [policy.decode(answer.token_ids) for answer in answers]
    assert ["e" in text for text in texts] == [a.stop is StopReason.TEXT for a in answers]
