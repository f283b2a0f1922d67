"""Whether both sides of a GRPO step do the same work: one step on the very same answers.

TRL writes and learns from answers to the first questions of a job; medrl, its weights as TRL's were
before, learns from these answers and their rewards. Both must have read the same prompts, token by
token, and must hand the same gradient to their optimisers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import torch
from bench_model import case
from grpo_sides import Job, MedrlSide, TRLSide
from transformers import TrainerCallback

from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.groups import Episode, Group, group_of, written_episode
from medrl.learning.layout import lay_out, members_of
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.policy import Policy
from medrl.learning.rollout import encode_prompt

TOLERANCE = 1e-3
"""Share of a gradient's length that rounding may change."""
UNCLIPPED = 1e9
"""No gradient is so long; clipped ones would all have the same length."""
EYES = ("visual", "vision", "connector", "projector")
"""In the names of parameters that nothing but pictures goes through."""

Gradient = dict[str, torch.Tensor]
"""By the name of the parameter."""


def same_work(job: Job) -> dict[str, Any]:
    """Compare the first step of a job.

    Returns:
        ``prompt_tokens`` of a prompt, and ``gradient``: the length of the difference of the two
        over that of TRL's, of ``all`` parameters and of those of the ``eyes``.

    Raises:
        ValueError: the sides do not the same.
    """
    job = job.shortened(1)
    trl, theirs = TRLSide(job, None), _Keeper()
    trl.trainer.args.max_grad_norm = UNCLIPPED
    trl.trainer.add_callback(theirs)
    trl.run(lambda index: None)
    learner, ours = MedrlSide(job).learner, Gradient()
    learner.stage = learner.stage.model_copy(update={"max_grad_norm": UNCLIPPED})
    policy = learner.policy
    groups = _groups(job, policy, trl)
    learner.optimizer.register_step_pre_hook(lambda *_: ours.update(_gradient(policy.model)))
    learner.update(groups, 0)
    apart = {"all": _apart(ours, theirs.found, ours)}
    if job.sees:
        seeing = [name for name in ours if any(part in name for part in EYES)]
        apart["eyes"] = _apart(ours, theirs.found, seeing)
    if max(apart.values()) > TOLERANCE:
        raise ValueError(f"gradients on the same answers differ by {apart} of their length")
    return {"prompt_tokens": groups[0].prefix_length, "gradient": apart}


class _Keeper(TrainerCallback):
    """Keeps what TRL's optimiser is given."""

    def __init__(self) -> None:
        self.found = Gradient()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        self.found = _gradient(rest["model"])


def _gradient(model: torch.nn.Module) -> Gradient:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def _apart(ours: Gradient, theirs: Gradient, names: Collection[str]) -> float:
    """Length of the difference over the length of theirs."""
    difference, whole = (
        torch.cat([part.flatten() for part in parts]).norm()
        for parts in ([ours[n] - theirs[n] for n in names], [theirs[n] for n in names])
    )
    return float(difference / whole)


def _groups(job: Job, policy: Policy, trl: TRLSide) -> list[Group]:
    """TRL's answers as medrl would have sampled them."""
    verdict = Verdict(Outcome.WRONG, "", "", True, "tag")  # nobody looks at it
    groups = []
    for number, question in enumerate(job.steps[0]):
        asked = case(number, question)
        prompt = encode_prompt(policy, asked, "{question}", job.max_new_tokens)
        rows = range(number * job.group, (number + 1) * job.group)
        if any(list(prompt.token_ids) != trl.trainer.prompt_ids[row] for row in rows):
            raise ValueError(f"TRL reads question {number} as other tokens than medrl")
        answers = [
            written_episode(prompt, trl.written[row], "", verdict, trl.rewards[row]) for row in rows
        ]
        groups.append(_with_log_probs(policy, group_of(asked, prompt, answers)))
    return groups


@torch.no_grad()
def _with_log_probs(policy: Policy, group: Group) -> Group:
    """The same with the log-probs that the sampler would have told."""
    layout = lay_out(members_of([group]), "shared", policy.pad_id, policy.device)
    found_BA = answer_log_probs(policy.model, layout, 1.0)
    before = (0.0,) * group.prefix_length

    def told(episode: Episode, log_probs: list[float]) -> Episode:
        return replace(episode, log_probs=(*before, *log_probs[: episode.policy_tokens]))

    pairs = zip(group.episodes, found_BA.tolist(), strict=True)
    return replace(group, episodes=tuple(told(e, row) for e, row in pairs))
