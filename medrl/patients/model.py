"""Who plays a patient: a local causal language model, greedily."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medrl.errors import JudgeError
from medrl.judges.model import chat_prompt, special_texts
from medrl.judges.reply import Message
from medrl.judges.spec import JudgeSpec
from medrl.judges.together import Together
from medrl.learning.policy import Policy
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler


class ModelSpeaker:
    """Asks a model in this process; see :class:`medrl.patients.played.Speaker`.

    Questions that come while others are answered wait and are answered together, in a thread of
    their own.

    Args:
        spec: of kind ``model``.
        policy: the loaded model. It is never trained.
    """

    def __init__(self, spec: JudgeSpec, policy: Policy) -> None:
        self.spec, self.policy = spec, policy
        self.specials: Sequence[str] = special_texts(policy)
        self._sampler = TorchSampler(policy.model, policy.stop_ids, policy.decode)
        self._together = Together(self.write)

    async def say(self, asked: Sequence[Message]) -> str:
        """See :class:`medrl.patients.played.Speaker`."""
        return await self._together.ask(asked)

    def write(self, asked: Sequence[Sequence[Message]]) -> list[str]:
        """Replies to several conversations at once.

        Raises:
            JudgeError: a conversation does not fit the model.
        """
        policy, limit = self.policy, self.spec.max_new_tokens
        prompts = [chat_prompt(policy, messages) for messages in asked]
        longest = max(map(len, prompts)) + limit
        if longest > policy.context:
            raise JudgeError(
                f"the patient's model {self.spec.model} has a context of {policy.context} tokens, "
                f"and record, conversation and reply take {longest}",
                "use a model with a longer context, or lower max_new_tokens of the patient",
            )
        params = SamplingParams(limit, temperature=0.0)
        with policy.arithmetic():
            sampled = self._sampler.sample(prompts, 1, params, torch.Generator(policy.device))
        return [policy.decode(answers[0].token_ids) for answers in sampled]
