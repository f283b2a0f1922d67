"""The stand-in for vLLM, in process and as a server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.sampling.fake_vllm import FakeLLM, FakeSamplingParams, FakeServer


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = FakeLLM, FakeSamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """``serve(folder)``: a server on this machine, stopped after the test."""
    servers: list[FakeServer] = []

    def start(*args: Any) -> FakeServer:
        servers.append(FakeServer(*args))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
