"""Policies that see, over tiny random models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medrl.learning.policy import Policy, load_policy
from medrl.schema import ModelSpec
from tests.tiny_vision import save_seeing

LoadSeeing = Callable[..., Policy]


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny vision-language model, written once."""
    folder, made = tmp_path_factory.mktemp("seeing"), set()

    def saved(kind: str) -> Path:
        if kind not in made:
            save_seeing(kind, folder / kind)
            made.add(kind)
        return folder / kind

    return saved


@pytest.fixture(scope="session")
def load_seeing(seeing: Callable[[str], Path]) -> LoadSeeing:
    """``load_seeing("llava")`` is a fresh policy."""

    def load(kind: str, **more: object) -> Policy:
        return load_policy(ModelSpec.model_validate({"path": str(seeing(kind)), **more}))

    return load


@pytest.fixture(scope="session")
def policy_of_text(tiny: Callable[[str], Path]) -> Policy:
    """A policy that reads text only."""
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))
