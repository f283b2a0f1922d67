"""Samplers on vLLM, for GPUs: ``pip install "medrl[gpu]"``, vLLM 0.16 or newer.

``VLLMSampler`` runs the engine in this process, beside the learner; ``VLLMServerSampler`` talks to
``vllm serve``. Prompts go in and answers come out as token ids: nothing is tokenised twice.

Written against documentation and sources of vLLM's main branch (2026, up to 0.32), above all
docs/training/layerwise.md: since 0.16 ``reload_weights`` takes weights from memory or a folder.
(``load_weights`` on a running model, older and often used, silently corrupts mixtures of experts.)

What differs from ``TorchSampler``:

- vLLM computes with other kernels, so ``exact`` is False.
- vLLM has no entropies to give: they are an empty tuple, which means "not known".
- With ``top_k`` or ``top_p``, log-probs are those of the truncated distribution, the one really
  drawn from. vLLM can give them before temperature or after truncation, not in between.
- The same seeds give the same answers only as far as vLLM computes the same numbers whatever else
  is in its batch; its own setting for that is ``VLLM_BATCH_INVARIANT=1``.
"""

from __future__ import annotations

import math
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from medrl.errors import SamplingError
from medrl.learning.policy import Policy
from medrl.model import causal_lm
from medrl.prompt import Media
from medrl.sampling.address import is_this_machine
from medrl.sampling.sampler import Completion, SamplingParams, StopReason, TokenIds

SEEDS = 2**52
"""Seeds are drawn below this: JSON carries such integers exactly, and the seeds ``seed + i`` that
vLLM gives the answers of one prompt stay apart from those of the others."""
COLDEST = 0.01
"""vLLM raises temperatures between 0 and this to this; log-probs would then be of another one."""
SERVE = (
    "VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --host 127.0.0.1 --logprobs-mode processed_logprobs"
)
"""The command of a server that can be trained with."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer as the engine gave it; ``finish`` is vLLM's ``finish_reason``."""

    token_ids: Sequence[int]
    log_probs: Sequence[float]
    finish: str | None


class _VLLMSampler(ABC):
    """What both forms share: what is asked for, and what is made of the answers."""

    exact = False

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._weights_are_the_policys = False

    def sample(
        self,
        prompts: Sequence[TokenIds],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
        media: Sequence[Media | None] = (),
    ) -> list[list[Completion]]:
        """See :class:`medrl.sampling.sampler.Sampler`. Entropies are empty: not known.

        Raises:
            SamplingError: prompts with images, which this sampler does not send yet.
            SamplingError: the engine cannot be reached, or gave an answer that cannot be trained
                on (log-probs that are no numbers, another reason to stop, another prompt read).
        """
        if not prompts or not answers_per_prompt:
            return [[] for _ in prompts]
        if any(one is not None and one.inputs for one in media):
            raise SamplingError("vLLM is not sent images yet", "set sampler: {engine: torch}")
        if 0 < params.temperature < COLDEST:
            raise SamplingError(
                f"vLLM cannot sample at temperature {params.temperature:g}",
                f"0 is greedy; else take {COLDEST} or more",
            )
        if not self._weights_are_the_policys:
            self.refresh()  # an engine starts with the weights of its own folder
        seeds = torch.randint(SEEDS, (len(prompts),), generator=generator, device=generator.device)
        # vLLM refuses several greedy answers to one prompt: they would all be the same.
        asked = answers_per_prompt if params.temperature else 1
        groups = self._ask(prompts, [self._request(params, asked, s) for s in seeds.tolist()])
        _check_numbers(groups)
        done = [[self._completion(answer, params) for answer in group] for group in groups]
        if [len(group) for group in done] != [asked] * len(prompts):
            raise SamplingError(f"vLLM gave another number of answers than {asked}")
        return [group * (answers_per_prompt // asked) for group in done]

    @abstractmethod
    def refresh(self) -> None:
        """Take over the policy's current weights and forget what was cached with the old ones."""

    @abstractmethod
    def _ask(
        self, prompts: Sequence[TokenIds], requests: Sequence[dict[str, Any]]
    ) -> list[list[_Answer]]:
        """The answers to each prompt, asked for with its own request."""

    def _request(self, params: SamplingParams, answers: int, seed: int) -> dict[str, Any]:
        """Sampling parameters by their names in vLLM, the same in Python and over HTTP.

        Everything that changes the distribution is said: what is left open, a server takes from
        the model's ``generation_config.json`` (there are models with a repetition penalty in it).
        """
        return {
            "n": answers,
            "seed": seed,
            "max_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_k": params.top_k,
            "top_p": params.top_p,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop": list(params.stop),
            "stop_token_ids": list(self.policy.stop_ids),
            "ignore_eos": True,  # the policy's stop ids and no others end an answer
            "skip_special_tokens": False,  # stop strings are looked for in the whole text
            "spaces_between_special_tokens": False,
            "logprobs": 0,  # of the sampled token, and of no others besides
        }

    def _completion(self, answer: _Answer, params: SamplingParams) -> Completion:
        length = len(answer.token_ids)
        if length and answer.token_ids[-1] in self.policy.stop_ids:
            stop = StopReason.END
        elif answer.finish == "stop" and params.stop:
            stop = StopReason.TEXT
        elif answer.finish == "length" and length == params.max_new_tokens:
            stop = StopReason.LENGTH
        else:
            limit = params.max_new_tokens
            raise SamplingError(
                f"vLLM ended an answer at {length} of {limit} tokens, reason {answer.finish!r}",
                "raise its --max-model-len; serve with --generation-config vllm",
            )
        if len(answer.log_probs) != length:
            raise SamplingError(f"vLLM gave {len(answer.log_probs)} log-probs to {length} tokens")
        return Completion(tuple(answer.token_ids), tuple(answer.log_probs), (), stop)


class VLLMSampler(_VLLMSampler):
    """vLLM inside this process, beside the learner on one GPU.

    Args:
        policy: the policy; ``refresh`` hands its weights over in memory.
        folder: model folder or hub id to build the engine from.
        gpu_memory_utilization: share of the GPU's memory for weights and cache of the engine; the
            learner needs the rest.
        engine: further arguments of ``vllm.LLM``.

    Raises:
        SamplingError: vLLM is not installed.
    """

    def __init__(
        self, policy: Policy, folder: str, gpu_memory_utilization: float = 0.4, **engine: Any
    ) -> None:
        super().__init__(policy)
        # The engine in this very process: it can read the learner's tensors, and its scheduling
        # is deterministic. (It also seeds the global generators, which medrl never uses.)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            import vllm
        except ImportError as error:
            fix = 'pip install "medrl[gpu]"'
            raise SamplingError(f"vLLM cannot be imported: {error}", fix) from error
        self._vllm = vllm
        self._llm = vllm.LLM(
            model=folder,
            dtype=str(policy.dtype).removeprefix("torch."),
            logprobs_mode="processed_logprobs",  # of the distribution that is sampled from
            gpu_memory_utilization=gpu_memory_utilization,
            **engine,
        )

    def refresh(self) -> None:
        """Hand the policy's weights, adapters merged one by one, to the engine."""
        try:
            self._llm.collective_rpc(
                "reload_weights", kwargs={"weights_iterator": merged_weights(self.policy.model)}
            )
        except TypeError as error:
            raise SamplingError(
                f"vLLM cannot take over weights from memory: {error}",
                'pip install "vllm>=0.16", and one GPU; for several GPUs use a server',
            ) from error
        _check_reset(self._llm.reset_prefix_cache())
        self._weights_are_the_policys = True

    def _ask(
        self, prompts: Sequence[TokenIds], requests: Sequence[dict[str, Any]]
    ) -> list[list[_Answer]]:
        with torch.autocast(self.policy.device.type, enabled=False):  # it has arithmetic of its own
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                [self._vllm.SamplingParams(**r, detokenize=bool(r["stop"])) for r in requests],
                use_tqdm=False,
            )
        return [[_from_output(output) for output in request.outputs] for request in outputs]


class VLLMServerSampler(_VLLMSampler):
    """A running ``vllm serve``, over HTTP.

    ``SERVE`` says how to start it. Without ``--host`` vLLM listens on every interface, and in the
    development mode, which weight updates need, whoever reaches the port can run code in it.

    Args:
        policy: the policy; ``refresh`` hands its weights over as files.
        url: where the server listens, without ``/v1``.
        weights_folder: a folder that the server sees under the same path; each ``refresh`` writes
            the weights there and removes them when they are loaded.
        allow_remote: prompts may leave this machine. Patients' text must not do so by accident.
        api_key: what the server was started with as ``--api-key``.
        timeout_s: seconds to wait for the answers to one prompt, and for new weights to load.
        concurrency: prompts asked at the same time.

    Raises:
        SamplingError: another machine's address without ``allow_remote``.
    """

    def __init__(
        self,
        policy: Policy,
        url: str,
        weights_folder: Path,
        allow_remote: bool = False,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        concurrency: int = 64,
    ) -> None:
        super().__init__(policy)
        if not (allow_remote or is_this_machine(url)):
            raise SamplingError(
                f"{url} is not this machine: prompts would leave it",
                "serve on http://127.0.0.1:8000, or say allow_remote=True",
            )
        self.url, self.weights_folder, self.concurrency = url, weights_folder, concurrency
        self._log_probs_checked = False
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            # ``retries`` are of connecting only: no prompt is sent twice. Connections are not kept,
            # as the server closes them while the learner learns. No proxy from the environment and
            # no redirect (httpx follows none) takes a prompt elsewhere.
            transport=httpx.HTTPTransport(
                retries=2, limits=httpx.Limits(max_keepalive_connections=0)
            ),
            trust_env=False,
        )

    def refresh(self) -> None:
        """Write the policy's weights, adapters merged, and let the server load them."""
        self.weights_folder.mkdir(parents=True, exist_ok=True)
        # A new folder each time: the server may still have the last one's files mapped.
        with tempfile.TemporaryDirectory(prefix="weights-", dir=self.weights_folder) as folder:
            model, dtype = self.policy.model, self.policy.dtype
            weights = {name: weight.to("cpu", dtype) for name, weight in merged_weights(model)}
            causal_lm(model).save_pretrained(folder, state_dict=weights)
            where = {"weights_path": str(Path(folder).resolve())}
            self._post("/collective_rpc", {"method": "reload_weights", "kwargs": where})
        _check_reset(self._post("/reset_prefix_cache").get("success"))
        self._weights_are_the_policys = True

    def _ask(
        self, prompts: Sequence[TokenIds], requests: Sequence[dict[str, Any]]
    ) -> list[list[_Answer]]:
        if not self._log_probs_checked:
            self._check_log_probs(prompts[0])
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._complete, prompts, requests))

    def _complete(self, prompt: TokenIds, request: dict[str, Any]) -> list[_Answer]:
        """One prompt's answers through the completions endpoint."""
        body = {**request, "prompt": list(prompt), "return_token_ids": True}
        choices = self._post("/v1/completions", body).get("choices", ())
        for choice in choices:
            if choice.get("token_ids") is None or choice.get("prompt_token_ids") != list(prompt):
                raise SamplingError(
                    f"the server at {self.url} did not answer the token ids it was sent",
                    'pip install "vllm>=0.16" where it runs, and no gateway in front of it',
                )
        return [_from_choice(choice) for choice in sorted(choices, key=lambda c: c["index"])]

    def _check_log_probs(self, prompt: TokenIds) -> None:
        """Ask for one token with only one candidate: its probability is 1, its log-prob 0.

        A server of another ``--logprobs-mode`` says so nowhere else.
        """
        one = self._request(SamplingParams(1, temperature=2.0, top_k=1), answers=1, seed=0)
        [answer] = self._complete(prompt, one)
        _check_numbers([[answer]])
        if abs(answer.log_probs[0]) > 1e-3:
            raise SamplingError(
                f"the server at {self.url} gives log-probs of what it does not sample from",
                f"start it with: {SERVE}",
            )
        self._log_probs_checked = True

    def _post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The server's answer as JSON, ``{}`` if it is empty."""
        try:
            response = self._client.post(path, json=body)
            response.raise_for_status()
            return dict(response.json()) if response.content else {}
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            fix = f"start one with: {SERVE}"
            raise SamplingError(f"no server at {self.url}: {error}", fix) from error
        except httpx.TimeoutException as error:
            fix = "raise timeout_s or lower concurrency"
            raise SamplingError(f"{self.url}{path}: no answer in time", fix) from error
        except httpx.HTTPStatusError as error:
            fixes = {
                404: f"weight updates need the development mode: {SERVE}",
                500: "see the server's log; log-probs that are not numbers end like this too",
            }
            status, text = error.response.status_code, error.response.text[:300]
            raise SamplingError(
                f"{self.url}{path}: HTTP {status}: {text}", fixes.get(status, "")
            ) from error
        except (httpx.TransportError, ValueError) as error:
            raise SamplingError(f"{self.url}{path}: {error}", "is this a vLLM server?") from error


@torch.no_grad()
def merged_weights(model: PreTrainedModel | PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights by the name they have in the base model, layer by layer; LoRA adapters are merged.

    Only the weight at hand is copied, and only if it is adapted. A tied weight comes once.
    """
    lm = causal_lm(model)
    for name, parameter in lm.named_parameters():
        if "lora_" in name:
            continue
        weight = parameter.detach()
        if name.endswith(".base_layer.weight"):
            layer = lm.get_submodule(name.removesuffix(".base_layer.weight"))
            for adapter in layer.active_adapters:
                weight = weight + layer.get_delta_weight(adapter)
        yield name.replace(".base_layer.", "."), weight


def _from_output(output: Any) -> _Answer:
    """From ``vllm.CompletionOutput``: one dict {token id: Logprob} per token."""
    steps = zip(output.token_ids, output.logprobs, strict=True)
    log_probs = [step[token].logprob for token, step in steps]
    return _Answer(output.token_ids, log_probs, output.finish_reason)


def _from_choice(choice: dict[str, Any]) -> _Answer:
    """From one choice of a completion; JSON's null stands for what is not a number."""
    log_probs = [math.nan if x is None else x for x in choice["logprobs"]["token_logprobs"]]
    return _Answer(choice["token_ids"], log_probs, choice["finish_reason"])


def _check_numbers(groups: Sequence[Sequence[_Answer]]) -> None:
    answers = list(chain.from_iterable(groups))
    bad = [sum(not math.isfinite(x) for x in answer.log_probs) for answer in answers]
    if any(bad):
        raise SamplingError(
            f"vLLM gave {sum(bad)} log-probs that are not numbers, in "
            f"{sum(map(bool, bad))} of {len(answers)} answers",
            "its weights or arithmetic overflowed: see the last steps' loss; bfloat16 or float32",
        )


def _check_reset(success: bool | None) -> None:
    """``None`` is from versions that do not tell."""
    if success is False:
        raise SamplingError(
            "vLLM could not forget what it cached with the old weights",
            "let nobody else use this engine, or switch its prefix caching off",
        )
