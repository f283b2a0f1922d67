"""A judge that is a local causal language model.

Asked for probabilities, it writes nothing: the probability of each label as the reply is read off,
and the value is that of the labels weighed by their probabilities, renormalised over the labels.
With labels worth 1 and 0 this is P(1) / (P(0) + P(1)), the soft reward of "Crossing the Reward
Bridge". Asked for text, it writes a reply that is read as strictly as an endpoint's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from jinja2 import TemplateError

from medrl.errors import JudgeError
from medrl.judges.judge import Counting, Counts, Failure, Judgement, Question
from medrl.judges.reply import Message, ask_for_json, ask_for_label, read_reply
from medrl.judges.rubrics import Rubric
from medrl.judges.spec import JudgeSpec
from medrl.learning.batching import micro_batches
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, lay_out
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.policy import Policy
from medrl.sampling.sampler import SamplingParams, StopReason
from medrl.sampling.torch_sampler import TorchSampler

Prompt = tuple[int, ...]

REPLY = "Reply:"
"""Where a model without a chat template begins to reply."""


class ModelJudge(Counting):
    """Asks a model in this process, many questions at a time; equal prompts are computed once.

    Args:
        spec: of kind ``model``.
        policy: the loaded judge. It is never trained.
    """

    def __init__(self, spec: JudgeSpec, policy: Policy) -> None:
        super().__init__()
        self.spec, self.policy = spec, policy
        self._specials = special_texts(policy)
        self._sampler = TorchSampler(policy.model, policy.stop_ids, policy.decode)

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """See :class:`medrl.judges.judge.Judge`.

        Raises:
            JudgeError: the tokenizer cannot tell the labels of a rubric apart.
        """
        started = time.monotonic()
        weigh = self.spec.mode == "probability"
        found, counts = self._weigh(questions) if weigh else self._write(questions)
        return self._count(found, counts + Counts(seconds=time.monotonic() - started))

    def _weigh(self, questions: Sequence[Question]) -> tuple[list[Judgement], Counts]:
        """By the probabilities of the labels."""
        policy = self.policy
        prompts = [chat_prompt(policy, ask_for_label(q, self._specials)) for q in questions]
        labels = [self._label_ids(question.rubric) for question in questions]
        unique: dict[tuple[Prompt, str], int] = {}
        members: list[Member] = []
        for question, prompt, ids in zip(questions, prompts, labels, strict=True):
            key = prompt, question.rubric.name
            if key not in unique and self._fits(prompt, max(map(len, ids)) - 1):
                unique[key] = len(members)
                members += [_member(prompt, label, len(members)) for label in ids]
        log_probs = self._log_probs(members)
        judgements = []
        for question, prompt in zip(questions, prompts, strict=True):
            start = unique.get((prompt, question.rubric.name))
            if start is None:
                judgements.append(self._too_long(prompt))
            else:
                found = log_probs[start : start + len(question.rubric.labels)]
                judgements.append(weighed(question.rubric, found, self.spec.least_mass))
        fitting = sum(j.failure is not Failure.TOO_LONG for j in judgements)
        tokens = sum(len(prompt) for prompt, _ in unique)
        return judgements, Counts(cached=fitting - len(unique), prompt_tokens=tokens)

    def _log_probs(self, members: Sequence[Member]) -> list[float]:
        """Log-probability of each member's label as the beginning of the reply."""
        policy, found = self.policy, [0.0] * len(members)
        with policy.arithmetic(), torch.inference_mode():
            for rows in micro_batches(members, "shared", self.spec.token_budget):
                part = [members[row] for row in rows]
                layout = lay_out(part, "shared", policy.pad_id, policy.device)
                log_probs_BA = answer_log_probs(policy.model, layout, temperature=1.0)
                for row, value in zip(rows, log_probs_BA.double().sum(1).tolist(), strict=True):
                    found[row] = value
        return found

    def _write(self, questions: Sequence[Question]) -> tuple[list[Judgement], Counts]:
        """By a reply, written greedily."""
        policy, limit = self.policy, self.spec.max_new_tokens
        asked = [ask_for_json(question, self._specials) for question in questions]
        prompts = [chat_prompt(policy, a.messages) for a in asked]
        unique = [p for p in dict.fromkeys(prompts) if self._fits(p, limit)]
        params = SamplingParams(limit, temperature=0.0)
        with policy.arithmetic():
            sampled = self._sampler.sample(unique, 1, params, torch.Generator(policy.device))
        replies = {prompt: answers[0] for prompt, answers in zip(unique, sampled, strict=True)}
        judgements = []
        for question, sent, prompt in zip(questions, asked, prompts, strict=True):
            reply = replies.get(prompt)
            if reply is None:
                judgements.append(self._too_long(prompt))
            elif reply.stop is StopReason.LENGTH:
                why = f"the reply has more than {limit} tokens"
                judgements.append(Judgement.failed(Failure.CUT, why))
            else:
                text = policy.decode(reply.token_ids)
                judgements.append(read_reply(text, question.rubric, sent.token))
        fitting = sum(prompt in replies for prompt in prompts)
        return judgements, Counts(
            cached=fitting - len(unique),
            prompt_tokens=sum(map(len, unique)),
            completion_tokens=sum(len(reply.token_ids) for reply in replies.values()),
        )

    def _label_ids(self, rubric: Rubric) -> list[list[int]]:
        """Tokens of each label as a reply begins with it."""
        encode = self.policy.encode
        before = "" if self.policy.tokenizer.chat_template else REPLY
        blank = " " if before else ""
        ids = [encode(before + blank + label)[len(encode(before)) :] for label in rubric.labels]
        for i, one in enumerate(ids):
            if any(i != j and other[: len(one)] == one for j, other in enumerate(ids)):
                label = list(rubric.labels)[i]
                raise JudgeError(
                    f"rubric {rubric.name}: another label begins like {label!r}, so their "
                    "probabilities cannot be told apart",
                    "choose labels that begin differently, or set mode: text",
                )
        return ids

    def _fits(self, prompt: Prompt, more: int) -> bool:
        total = len(prompt) + more
        return total <= self.policy.context and total <= self.spec.token_budget

    def _too_long(self, prompt: Prompt) -> Judgement:
        return Judgement.failed(
            Failure.TOO_LONG,
            f"the question has {len(prompt)} tokens, which with its reply exceeds the judge's "
            f"context of {self.policy.context} or its token_budget of {self.spec.token_budget}",
        )


def weighed(rubric: Rubric, log_probs: Sequence[float], least_mass: float) -> Judgement:
    """Value of the labels weighed by their probabilities, these renormalised to sum to 1.

    Args:
        log_probs: natural log-probability of each label, in the order of the rubric.
        least_mass: less probability of all labels together is a failure.
    """
    if not all(math.isfinite(x) or x == -math.inf for x in log_probs):
        return Judgement.failed(Failure.NOT_FINITE, "the judge's log-probabilities are no numbers")
    mass = math.fsum(math.exp(x) for x in log_probs)
    top = max(log_probs)
    if mass < least_mass or top == -math.inf:
        return Judgement.failed(
            Failure.UNSURE, f"the labels have a probability of {mass:.2g} together"
        )
    weights = [math.exp(x - top) for x in log_probs]
    values = list(rubric.labels.values())
    value = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)
    label = list(rubric.labels)[log_probs.index(top)]
    share = 1 / math.fsum(weights)
    clipped = min(max(value, rubric.low), rubric.high)  # of a mean: rounding only
    return Judgement(clipped, f"{label!r} with a probability of {share:.2f}", label=label)


def _member(prompt: Prompt, label: Sequence[int], group: int) -> Member:
    origins = [Origin.TEMPLATE] * len(prompt) + [Origin.POLICY] * len(label)
    return Member([*prompt, *label], origins, [0.0] * len(origins), group, len(prompt))


def chat_prompt(policy: Policy, messages: Sequence[Message], cue: str = REPLY) -> Prompt:
    """Tokens of a conversation as the model's chat template writes it, up to where it replies; of a
    model without one the plain text, which ends in ``cue``."""
    if not policy.tokenizer.chat_template:
        return tuple(policy.encode_prompt(f"{_in_one(messages)}\n\n{cue}"))
    render: Any = policy.tokenizer.apply_chat_template
    # Models that can think before they reply are to reply; templates ignore what they do not know.
    how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    try:
        text: str = render(list(messages), **how)
    except TemplateError:  # some models know no system message
        text = render([{"role": "user", "content": _in_one(messages)}], **how)
    return tuple(policy.encode_prompt(text))


def _in_one(messages: Sequence[Message]) -> str:
    return "\n\n".join(message["content"] for message in messages)


def special_texts(policy: Policy) -> tuple[str, ...]:
    """Texts that the tokenizer turns into control tokens wherever they stand."""
    added = policy.tokenizer.added_tokens_decoder.values()
    texts = {str(token) for token in added if token.special} | set(
        policy.tokenizer.all_special_tokens
    )
    return tuple(sorted(text for text in texts if len(text) > 1))
