"""From cases to groups: sample answers, grade them, reward them; or write the wanted answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from medrl.cases.case import Case
from medrl.environments.pools import pick_template
from medrl.environments.prompts import render
from medrl.errors import DataError
from medrl.grading import Grader, declared_answer
from medrl.grading.verdict import Verdict
from medrl.learning.groups import Episode, Group, Origin, Twin, group_of, written_episode
from medrl.learning.policy import Policy
from medrl.prompt import Prompt
from medrl.rewards.reward import Paid, Reward
from medrl.rewards.term import Answer
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, sample


def encode_prompt(policy: Policy, case: Case, template: str, room: int, step: int = 0) -> Prompt:
    """What the policy reads of a case, its pictures first.

    Args:
        template: or a pool of them, of which one is drawn for the case and the step.
        room: tokens that must stay free for the answer.

    Raises:
        DataError: the prompt is empty, does not fit the model's context with its answer, or has a
            picture that cannot be opened.
        ModelError: pictures, and a policy that reads text only.
    """
    prompt = read_case(policy, case, render(case, pick_template(template, case.id, step)))
    if not len(prompt):
        raise DataError(
            f"{case.source} (case {case.id}): the prompt is empty, so nothing predicts an answer",
            "give the case a question, or the recipe a prompt with more than the question",
        )
    if len(prompt) + room > policy.context:
        raise DataError(
            f"{case.source} (case {case.id}): the prompt has {len(prompt)} tokens; with {room} for "
            f"the answer it exceeds the model's context of {policy.context}",
            "lower max_new_tokens, drop the case, or use a model with a longer context",
        )
    return prompt


def read_case(policy: Policy, case: Case, text: str) -> Prompt:
    """A text about a case as the policy reads it, the case's pictures first.

    Raises:
        DataError: a picture cannot be opened, or the text cannot be read; names the case.
        ModelError: pictures, and a policy that reads text only.
    """
    pictures = [picture.open() for picture in case.images]
    try:
        return policy.prompt(text, pictures)
    except DataError as error:
        raise DataError(f"{case.source} (case {case.id}): {error.message}", error.fix) from error


@dataclass(frozen=True, slots=True)
class Rollout:
    """Sampled groups, without the answers that no reward could be told for.

    Attributes:
        failures: why, one line per answer left out.
    """

    groups: list[Group]
    failures: list[str]


def sample_groups(
    policy: Policy,
    sampler: Sampler,
    cases: Sequence[Case],
    template: str,
    grader: Grader,
    reward: Reward,
    answers_per_prompt: int,
    params: SamplingParams,
    generator: torch.Generator,
    step: int = 0,
    twins: Sequence[Case] = (),
) -> Rollout:
    """Sample ``answers_per_prompt`` answers to each case, grade and reward each of them.

    Args:
        step: for which templates are drawn, where ``template`` is a pool.
        twins: each case with its pictures perturbed; they are answered too, in the same words and
            as often, for reward terms to compare with. Nobody learns from these answers.
    """

    def ask(asked: Sequence[Case]) -> tuple[list[Prompt], list[list[Completion]]]:
        prompts = [encode_prompt(policy, c, template, params.max_new_tokens, step) for c in asked]
        with policy.arithmetic():
            return prompts, sample(sampler, prompts, answers_per_prompt, params, generator)

    prompts, sampled = ask(cases)
    perturbed: list[tuple[Verdict, ...]] = [()] * len(cases)
    if twins:
        perturbed = [
            tuple(grader.grade(policy.decode(c.token_ids), twin.reference) for c in completions)
            for twin, completions in zip(twins, ask(twins)[1], strict=True)
        ]
    answers: list[Answer] = []
    for number, (case, prompt, completions) in enumerate(zip(cases, prompts, sampled, strict=True)):
        for completion in completions:
            text, ids = policy.decode(completion.token_ids), completion.token_ids
            verdict = grader.grade(text, case.reference)
            answers.append(Answer(case, prompt, text, ids, verdict, number, perturbed[number]))
    completions = [completion for row in sampled for completion in row]
    groups: list[Group] = []
    paid = list(zip(answers, completions, reward.pay(answers), strict=True))
    for number, case in enumerate(cases):
        episodes = tuple(
            _episode(answer, completion, pay)
            for answer, completion, pay in paid
            if answer.group == number and pay.value is not None
        )
        if episodes:
            twin = Twin(twins[number], perturbed[number]) if twins else None
            groups.append(group_of(case, prompts[number], episodes, twin))
    return Rollout(groups, [pay.failure for _, _, pay in paid if pay.value is None])


def _episode(answer: Answer, completion: Completion, paid: Paid) -> Episode:
    assert paid.value is not None
    before, written = len(answer.prompt), len(completion.token_ids)
    return Episode(
        token_ids=(*answer.prompt.token_ids, *completion.token_ids),
        origins=(Origin.TEMPLATE,) * before + (Origin.POLICY,) * written,
        log_probs=(0.0,) * before + completion.log_probs,
        stop=completion.stop,
        text=answer.text,
        verdict=answer.verdict,
        reward=paid.value,
        entropy=fmean(completion.entropies) if completion.entropies else None,
        terms=paid.terms,
    )


def target_groups(
    policy: Policy,
    cases: Sequence[Case],
    template: str,
    grader: Grader,
    full: bool,
    step: int = 0,
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
        prompt = encode_prompt(policy, case, template, len(ids), step)
        verdict = grader.grade(answer, case.reference)
        groups.append(group_of(case, prompt, [written_episode(prompt, ids, answer, verdict)]))
    return groups
