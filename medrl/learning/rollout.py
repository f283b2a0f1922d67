"""From cases to groups: sample answers, grade them, reward them; or write the wanted answer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch

from medrl.cases.case import Case
from medrl.environments.prompts import render
from medrl.errors import DataError
from medrl.grading import Grader, declared_answer
from medrl.learning.groups import Episode, Group, Origin
from medrl.learning.policy import Policy
from medrl.rewards.rule import rule_reward
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, StopReason
from medrl.schema import RewardSpec


def encode_prompt(policy: Policy, case: Case, template: str, room: int) -> tuple[str, list[int]]:
    """Prompt text and ids of a case.

    Args:
        room: tokens that must stay free for the answer.

    Raises:
        DataError: the prompt is empty, or does not fit the model's context with its answer.
    """
    prompt = render(case, template)
    ids = policy.encode_prompt(prompt)
    if not ids:
        raise DataError(
            f"{case.source} (case {case.id}): the prompt is empty, so nothing predicts an answer",
            "give the case a question, or the recipe a prompt with more than the question",
        )
    if len(ids) + room > policy.context:
        raise DataError(
            f"{case.source} (case {case.id}): the prompt has {len(ids)} tokens; with {room} for "
            f"the answer it exceeds the model's context of {policy.context}",
            "lower max_new_tokens, drop the case, or use a model with a longer context",
        )
    return prompt, ids


def sample_groups(
    policy: Policy,
    sampler: Sampler,
    cases: Sequence[Case],
    template: str,
    grader: Grader,
    reward: RewardSpec,
    answers_per_prompt: int,
    params: SamplingParams,
    generator: torch.Generator,
) -> list[Group]:
    """Sample ``answers_per_prompt`` answers to each case, grade and reward each of them."""
    prompts = [encode_prompt(policy, c, template, params.max_new_tokens) for c in cases]
    with policy.arithmetic():
        sampled = sampler.sample([ids for _, ids in prompts], answers_per_prompt, params, generator)
    groups = []
    for case, (prompt, ids), completions in zip(cases, prompts, sampled, strict=True):
        episodes = tuple(
            _graded_episode(policy, case, ids, completion, grader, reward)
            for completion in completions
        )
        groups.append(Group(case, prompt, len(ids), episodes))
    return groups


def _graded_episode(
    policy: Policy,
    case: Case,
    prompt_ids: list[int],
    completion: Completion,
    grader: Grader,
    reward: RewardSpec,
) -> Episode:
    text = policy.decode(completion.token_ids)
    verdict = grader.grade(text, case.reference)
    value = rule_reward(verdict, reward)
    return Episode(
        token_ids=(*prompt_ids, *completion.token_ids),
        origins=(Origin.TEMPLATE,) * len(prompt_ids) + (Origin.POLICY,) * len(completion.token_ids),
        log_probs=(0.0,) * len(prompt_ids) + completion.log_probs,
        stop=completion.stop,
        text=text,
        verdict=verdict,
        reward=value,
        entropy=fmean(completion.entropies) if completion.entropies else None,
        terms={"rule": value},
    )


def target_groups(
    policy: Policy, cases: Sequence[Case], template: str, grader: Grader, full: bool
) -> list[Group]:
    """One group of one episode per case whose answer is declared_answer, not sampled (SFT).

    The answer is written in the grader's format.

    Args:
        full: True writes the case's rationale (tag ``rationale``) in a think block before the
            answer; False writes the answer alone.

    Raises:
        DataError: ``full`` was asked for and a case has no rationale.
    """
    groups = []
    for case in cases:
        answer = declared_answer(case.reference.value, grader.format)
        if full:
            if "rationale" not in case.tags:
                raise DataError(
                    f"{case.source} (case {case.id}) has no rationale for full SFT targets",
                    "use targets: answer, or give the rows a 'rationale' tag",
                )
            answer = f"<think>{case.tags['rationale']}</think>{answer}"
        ids = [*policy.encode(answer), policy.stop_ids[0]]
        prompt, prompt_ids = encode_prompt(policy, case, template, len(ids))
        episode = Episode(
            token_ids=(*prompt_ids, *ids),
            origins=(Origin.TEMPLATE,) * len(prompt_ids) + (Origin.POLICY,) * len(ids),
            log_probs=(0.0,) * (len(prompt_ids) + len(ids)),
            stop=StopReason.END,
            text=answer,
            verdict=grader.grade(answer, case.reference),
            reward=0.0,
        )
        groups.append(Group(case, prompt, len(prompt_ids), (episode,)))
    return groups
