"""medrl's GRPO learner for the benchmarks, and groups of given answers for it to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_model import Question, case

from medrl.grading import Grader
from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.gathering import Gatherer
from medrl.learning.groups import Episode, Group, Origin
from medrl.learning.layout import ModeChoice
from medrl.learning.policy import Policy, load_policy
from medrl.learning.reinforcement import RLLearner
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.term import RewardContext
from medrl.sampling.sampler import StopReason
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec
from medrl.stages import GRPOStage

LEARNING_RATE = 1e-6
TOKEN_BUDGET = GRPOStage.model_fields["token_budget"].default


def make_policy(folder: Path) -> Policy:
    """The model of a folder, as a recipe would load it."""
    return load_policy(ModelSpec(path=str(folder)))


def make_learner(
    policy: Policy,
    prompts: int,
    group: int,
    max_new_tokens: int,
    beta: float = 0.0,
    token_budget: int = TOKEN_BUDGET,
    layout: ModeChoice = "auto",
) -> RLLearner:
    """A learner as a recipe would build it; prompts are the questions of cases, nothing more.

    Args:
        prompts, group: prompts per step and answers per prompt.
        beta: coefficient of the KL penalty; 0: no reference model.
    """
    stage = GRPOStage(
        objective="grpo",
        steps=1,
        prompts_per_step=prompts,
        learning_rate=LEARNING_RATE,
        answers_per_prompt=max(2, group),  # given answers may be alone, sampled ones may not
        max_new_tokens=max_new_tokens,
        kl_coefficient=beta,
        token_budget=token_budget,
        layout=layout,
    )
    sampler = TorchSampler(policy.model, policy.stop_ids, policy.decode)
    grader = Grader()
    reward = Reward(RewardSpec(), RewardContext(policy, grader))
    gatherer = Gatherer(stage, policy, sampler, "{question}", grader, reward, seed=0)
    return RLLearner(stage, policy, gatherer, seed=0)


def given_group(
    number: int, prompt: Sequence[int], answers: Sequence[Sequence[int]], rewards: Sequence[float]
) -> Group:
    """A group of given token ids, as if they had been sampled."""
    verdict = Verdict(Outcome.WRONG, "", "", True, "tag")  # nobody looks at it
    episodes = tuple(
        Episode(
            token_ids=(*prompt, *answer),
            origins=(Origin.TEMPLATE,) * len(prompt) + (Origin.POLICY,) * len(answer),
            log_probs=(0.0,) * len(prompt) + (-5.0,) * len(answer),  # near those of the model
            stop=StopReason.END,
            text="",
            verdict=verdict,
            reward=reward,
        )
        for answer, reward in zip(answers, rewards, strict=True)
    )
    return Group(case(number, Question("")), "", len(prompt), episodes)
