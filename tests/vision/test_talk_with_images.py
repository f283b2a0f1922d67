"""Conversations about pictures: the pictures are in the first prompt and are read once."""

from __future__ import annotations

import pytest

from medrl.sampling.sampler import SamplingParams
from medrl.sampling.talk import KeptTalk, RereadTalk
from medrl.sampling.torch_sampler import TorchSampler
from tests.sampling.test_talk import held, ids_of
from tests.tiny_vision import SEEING, noise
from tests.vision.conftest import LoadSeeing


@pytest.mark.parametrize("kind", SEEING)
def test_kept_turns_are_those_of_reading_again(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    prompts = [
        policy.prompt("What helps?", [noise(0)]),
        policy.prompt("Which?", [noise(1, 40, 24)]),
    ]
    args = TorchSampler(policy.model, policy.stop_ids), prompts, 2, SamplingParams(4, 0.0), 0
    assert ids_of(held(KeptTalk(*args), 4)) == ids_of(held(RereadTalk(*args), 4))
