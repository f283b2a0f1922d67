"""A stand-in for vLLM, which needs a GPU.

It samples for real, from a tiny model, through the interface that vLLM documents, in process
(``FakeLLM``) and over HTTP (``FakeServer``). It is strict where vLLM is: greedy answers one at a
time, nothing forgotten until the cache is reset, own defaults for what a request leaves open. It
starts with weights of its own, so that no answer is right before it was given the policy's.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast


@dataclass(kw_only=True)
class FakeSamplingParams:
    """The fields of ``vllm.SamplingParams`` that medrl may use, and their refusals."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False
    max_tokens: int = 16
    logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True

    def __post_init__(self) -> None:
        assert self.n >= 1 and self.max_tokens >= 1 and 0 <= self.temperature <= 2
        assert 0 < self.top_p <= 1 and self.top_k >= 0
        assert self.n == 1 or self.temperature > 0, "n must be 1 when using greedy sampling"
        assert self.detokenize or not self.stop, "stop strings need detokenize"
        penalties = self.presence_penalty, self.frequency_penalty, self.repetition_penalty
        assert (*penalties, self.min_p) == (0, 0, 1, 0), "the stand-in has no penalties"


class Engine:
    """Samples from a tiny model as vLLM says it does; requests one by one, no batch."""

    def __init__(self, folder: str, logprobs_mode: str = "raw_logprobs") -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1234)  # other weights than the folder's
            self.model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        self.model.eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.logprobs_mode = logprobs_mode
        self.cached: dict[tuple[int, ...], torch.Tensor] = {}
        self.requests: list[FakeSamplingParams] = []
        self.max_model_len = 10**6
        self.busy = False

    def reload_weights(self, weights_iterator: Any = None, weights_path: str | None = None) -> None:
        if weights_path is not None:
            weights_iterator = load_file(Path(weights_path) / "model.safetensors").items()
        own = dict(self.model.named_parameters())
        loaded = {name: own[name].data.copy_(weight) for name, weight in weights_iterator}
        assert loaded.keys() == own.keys()

    def reset_prefix_cache(self) -> bool:
        if not self.busy:
            self.cached.clear()
        return not self.busy

    def generate(self, prompt: list[int], params: FakeSamplingParams) -> list[SimpleNamespace]:
        """The ``outputs`` of one request; answer i is drawn with seed + i."""
        assert params.seed is not None and params.logprobs == 0
        self.requests.append(params)
        return [self._answer(i, prompt, params, params.seed + i) for i in range(params.n)]

    @torch.no_grad()
    def _logits(self, ids: tuple[int, ...]) -> torch.Tensor:
        if ids not in self.cached:
            self.cached[ids] = self.model(input_ids=torch.tensor([ids])).logits[0, -1].float()
        return self.cached[ids]

    def _answer(
        self, index: int, prompt: list[int], params: FakeSamplingParams, seed: int
    ) -> SimpleNamespace:
        generator, ids, logprobs = torch.Generator().manual_seed(seed), [], []
        finish: tuple[str, Any] | None = None
        while finish is None:
            logits_V = self._logits((*prompt, *ids))
            processed_V = torch.log_softmax(_processed(logits_V, params), -1)
            if params.temperature == 0:
                token = int(processed_V.argmax())
            else:
                token = int(torch.multinomial(processed_V.exp(), 1, generator=generator))
            raw = self.logprobs_mode == "raw_logprobs"
            shown_V = torch.log_softmax(logits_V, -1) if raw else processed_V
            ids.append(token)
            logprobs.append({token: SimpleNamespace(logprob=float(shown_V[token]))})
            finish = self._finish(prompt, ids, params)
        return SimpleNamespace(
            index=index,
            token_ids=ids,
            logprobs=logprobs,
            finish_reason=finish[0],
            stop_reason=finish[1],
        )

    def _finish(
        self, prompt: list[int], ids: list[int], params: FakeSamplingParams
    ) -> tuple[str, Any] | None:
        if ids[-1] == self.tokenizer.eos_token_id and not params.ignore_eos:
            return "stop", None
        if ids[-1] in params.stop_token_ids:
            return "stop", ids[-1]
        text = self.tokenizer.decode(ids, skip_special_tokens=params.skip_special_tokens)
        for string in params.stop:
            if string in text:
                return "stop", string
        if len(ids) == params.max_tokens or len(prompt) + len(ids) == self.max_model_len:
            return "length", None
        return None


def _processed(logits_V: torch.Tensor, params: FakeSamplingParams) -> torch.Tensor:
    """Temperature, then top_k, then top_p; none of them in greedy sampling."""
    if params.temperature == 0:
        return logits_V
    logits_V = logits_V / params.temperature
    sorted_V, order_V = logits_V.sort(descending=True)
    probs_V = torch.softmax(sorted_V, -1)
    if params.top_k:
        probs_V[params.top_k :] = 0
        probs_V /= probs_V.sum()
    kept = (probs_V > 0) & (probs_V.cumsum(0) - probs_V < params.top_p)
    return torch.full_like(logits_V, -math.inf).scatter(0, order_V[kept], sorted_V[kept])


class FakeLLM:
    """``vllm.LLM``."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        logprobs_mode: str = "raw_logprobs",
        gpu_memory_utilization: float = 0.9,
    ) -> None:
        assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0" and dtype == "float32"
        self.engine = Engine(model, logprobs_mode)

    def collective_rpc(self, method: str, kwargs: dict[str, Any]) -> list[None]:
        return [getattr(self.engine, method)(**kwargs)]

    def reset_prefix_cache(self) -> bool:
        return self.engine.reset_prefix_cache()

    def generate(
        self,
        prompts: list[dict[str, list[int]]],
        sampling_params: list[FakeSamplingParams],
        *,
        use_tqdm: bool = True,
    ) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(outputs=self.engine.generate(prompt["prompt_token_ids"], params))
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]


GENERATION_CONFIG = {"top_k": 20, "repetition_penalty": 1.05, "temperature": 0.7}
"""What a server takes for granted, from the file of that name beside the model."""


class FakeServer(ThreadingHTTPServer):
    """``vllm serve``: completions, and the endpoints of the development mode."""

    def __init__(self, folder: str, logprobs_mode: str = "processed_logprobs") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine, self.lock = Engine(folder, logprobs_mode), threading.Lock()
        self.development_mode, self.reads_other_prompt = True, False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The response to a request; None: no such endpoint."""
        if path == "/v1/completions":
            return {"choices": self._choices(body)}
        if self.development_mode and path == "/collective_rpc":
            return {"results": [getattr(self.engine, body["method"])(**body["kwargs"])]}
        if self.development_mode and path == "/reset_prefix_cache":
            return {"success": self.engine.reset_prefix_cache()}
        return None

    def _choices(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        prompt = body["prompt"][1:] if self.reads_other_prompt else body["prompt"]
        names = {field.name for field in fields(FakeSamplingParams)} - {"detokenize"}
        wanted = {name: value for name, value in body.items() if name in names}
        outputs = self.engine.generate(prompt, FakeSamplingParams(**(GENERATION_CONFIG | wanted)))
        return [
            {
                "index": output.index,
                "logprobs": {
                    "token_logprobs": [
                        max(step[token].logprob, -9999.0)
                        for token, step in zip(output.token_ids, output.logprobs, strict=True)
                    ]
                },
                "finish_reason": output.finish_reason,
                "stop_reason": output.stop_reason,
                "token_ids": output.token_ids if body.get("return_token_ids") else None,
                "prompt_token_ids": prompt if body.get("return_token_ids") else None,
            }
            for output in reversed(outputs)
        ]


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            with self.server.lock:
                answer = self.server.answer(self.path, json.loads(text or "{}"))
            status, reply = (404, "Not Found") if answer is None else (200, answer)
            data = json.dumps(reply, allow_nan=False).encode()
        except Exception as error:
            status, data = 500, repr(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
