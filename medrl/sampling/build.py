"""The sampler that a recipe asks for."""

from __future__ import annotations

import os
from pathlib import Path

from medrl.learning.policy import Policy
from medrl.model import causal_lm
from medrl.sampling.sampler import Sampler
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import SamplerSpec

API_KEY = "MEDRL_VLLM_API_KEY"
"""Environment variable with the key of a vLLM server."""


def build_sampler(spec: SamplerSpec, policy: Policy) -> Sampler:
    """A sampler for the policy. vLLM is only looked for if it is asked for.

    Raises:
        SamplingError: vLLM is not installed.
    """
    if spec.engine == "torch":
        return TorchSampler(policy.model, policy.stop_ids, policy.decode, spec.max_rows)
    from medrl.sampling.vllm_sampler import VLLMSampler, VLLMServerSampler

    if spec.engine == "vllm":
        folder = str(causal_lm(policy.model).name_or_path)
        return VLLMSampler(policy, folder, spec.gpu_memory_utilization)
    assert spec.url is not None and spec.weights_folder is not None  # the schema saw to it
    return VLLMServerSampler(
        policy,
        spec.url,
        Path(spec.weights_folder),
        spec.allow_remote,
        api_key=os.environ.get(API_KEY) or None,
    )
