"""What a reinforcement learner learns from: sampled, graded, rewarded groups, chosen and scaled."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from medrl.cases.case import Case
from medrl.environments.environment import Ending
from medrl.errors import RewardError
from medrl.grading import Grader
from medrl.judges import Counts
from medrl.learning.conversing import Setting, sample_conversations
from medrl.learning.forms import FORMS, form_of
from medrl.learning.groups import Group
from medrl.learning.learner import DrawCases, Metrics, Tensors
from medrl.learning.policy import Policy
from medrl.learning.reward_scale import RunningScale
from medrl.learning.rollout import sample_groups
from medrl.learning.std_filter import StdFilter, deviation
from medrl.rewards.reward import Reward
from medrl.run import generator
from medrl.run.seeding import derive_seed
from medrl.sampling.sampler import Sampler, SamplingParams
from medrl.stages import GroupStage, PPOStage


class Gatherer:
    """Gathers the groups of each step.

    Args:
        setting: for conversations, which their environment pays for; ``None``: a case is answered
            at once, and ``reward`` pays.

    Attributes:
        failures: of the last step: why answers were left out, one line each.
        std_filter, scale: what earlier steps have shown.
    """

    def __init__(
        self,
        stage: PPOStage | GroupStage,
        policy: Policy,
        sampler: Sampler,
        template: str,
        grader: Grader,
        reward: Reward,
        seed: int,
        setting: Setting | None = None,
    ) -> None:
        self.stage, self.policy, self.sampler, self.seed = stage, policy, sampler, seed
        self.template, self.grader, self.reward = template, grader, reward
        self.setting = setting
        self.failures: list[str] = []
        self.std_filter = StdFilter()
        self.scale = RunningScale()

    def gather(self, draw: DrawCases, step: int) -> list[Group]:
        """Sample, grade and reward ``answers_per_prompt`` answers to each case.

        Answers that no reward could be told for are left out and counted, and so are groups that
        have nothing left to compare.

        Dynamic sampling: groups whose answers all got the same reward teach nothing; they are
        replaced from further batches of cases, as far as ``extra_batches`` reaches. So are groups
        that ``std_filter`` drops. If no group is left, the step keeps those it began with.
        """
        self.sampler.refresh()
        self.failures, self.reward.counts = [], Counts()
        groups = self._sample(draw(0), step, 0)
        if not groups:
            raise RewardError(
                f"no reward could be told for any answer of step {step + 1}; the last reason: "
                f"{self.failures[-1]}",
                "mend the judge or model that it names and use --resume",
            )
        stage = self.stage
        if not isinstance(stage, GroupStage):
            return groups
        if stage.extra_batches or stage.std_filter:
            groups = self._chosen(stage, groups, draw, step)
        return self._scaled(groups) if stage.one_scale else groups

    def outcome(self) -> Metrics:
        """Answers of the last step without a reward, and what its judges made of theirs."""
        failed = {"reward_failures": float(len(self.failures))} if self.failures else {}
        counts = self.reward.counts
        judged = {f"judge_{k}": v for k, v in counts.outcome().items()} if counts.asked else {}
        return failed | judged

    def spending(self) -> Metrics:
        """What the judges of the last step cost."""
        counts = self.reward.counts
        return {f"judge_{k}": v for k, v in counts.spending().items()} if counts.asked else {}

    def tensors(self) -> dict[str, Tensors]:
        """What earlier steps have shown, for a checkpoint."""
        found: dict[str, Tensors] = {}
        if getattr(self.stage, "std_filter", None) is not None:
            found["std_filter"] = self.std_filter.tensors()
        if getattr(self.stage, "one_scale", False):
            found["reward_scale"] = self.scale.tensors()
        return found

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Put back what ``tensors`` returned."""
        if "std_filter" in tensors:
            self.std_filter = StdFilter.restored(tensors["std_filter"])
        if "reward_scale" in tensors:
            self.scale.restore(tensors["reward_scale"])

    def _chosen(
        self, stage: GroupStage, groups: list[Group], draw: DrawCases, step: int
    ) -> list[Group]:
        """The groups that teach, those that do not replaced."""
        least = self._least_deviation(stage, groups, step)
        alive = [g for g in groups if deviation(g) >= least]
        for attempt in range(1, 1 + stage.extra_batches):
            if len(alive) >= stage.prompts_per_step:
                break
            fresh = self._sample(draw(attempt), step, attempt)
            alive += [g for g in fresh if deviation(g) >= least]
        return (alive or groups)[: stage.prompts_per_step]

    def _least_deviation(self, stage: GroupStage, groups: Sequence[Group], step: int) -> float:
        """Of the rewards of a group that is kept; the filter has seen these groups then."""
        least = sys.float_info.min if stage.extra_batches else 0.0  # any difference, or none
        if stage.std_filter is None:
            return least
        least = max(least, self.std_filter.threshold(stage.std_filter, step))
        self.std_filter = self.std_filter.updated(stage.std_filter, step, groups)
        return least

    def _scaled(self, groups: Sequence[Group]) -> list[Group]:
        """The same with the rewards of open questions on the scale of closed ones."""
        for form in FORMS:
            seen = [r for group in groups if form_of(group.case) == form for r in group.rewards]
            self.scale.update(form, seen)
        return [self._rescaled(group) for group in groups]

    def _rescaled(self, group: Group) -> Group:
        rewards = self.scale.rescale(form_of(group.case), group.rewards)
        pairs = zip(group.episodes, rewards, strict=True)
        return replace(group, episodes=tuple(replace(e, reward=r) for e, r in pairs))

    def _sample(self, cases: Sequence[Case], step: int, attempt: int) -> list[Group]:
        stage = self.stage
        place = ("sampling", step, attempt) if attempt else ("sampling", step)
        fewest = 2 if isinstance(stage, GroupStage) else 1
        if self.setting is not None:
            groups = self._converse(cases, self.setting, derive_seed(self.seed, *place))
            return [g for g in groups if len(g.episodes) >= fewest]
        rollout = sample_groups(
            self.policy,
            self.sampler,
            cases,
            self.template,
            self.grader,
            self.reward,
            stage.answers_per_prompt,
            SamplingParams(stage.max_new_tokens, stage.temperature, stage.top_k, stage.top_p),
            generator(self.seed, *place, device=self.policy.device),
            step,
            stage.perturb.twins(cases, derive_seed(self.seed, *place)) if stage.perturb else (),
        )
        self.failures += rollout.failures
        return [g for g in rollout.groups if len(g.episodes) >= fewest]

    def _converse(self, cases: Sequence[Case], setting: Setting, seed: int) -> list[Group]:
        """Conversations; those whose environment did not answer in time are left out."""
        stage = self.stage
        params = SamplingParams(stage.max_new_tokens, stage.temperature, stage.top_k, stage.top_p)
        asked = self.policy, self.sampler, cases, setting, stage.answers_per_prompt
        groups = []
        for group in sample_conversations(*asked, params, seed):
            told = tuple(e for e in group.episodes if e.ending is not Ending.TIMEOUT)
            late = len(group.episodes) - len(told)
            why = f"no reply within {setting.limits.timeout:g} s (case {group.case.id})"
            self.failures += [why] * late
            if told:
                groups.append(replace(group, episodes=told))
        return groups
