"""Episodes and groups: what happened, token by token, and which episodes belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from medrl.cases.case import Case
from medrl.environments.environment import Ending
from medrl.grading.verdict import Verdict
from medrl.prompt import Media, Prompt
from medrl.sampling.sampler import StopReason


class Origin(IntEnum):
    """Who wrote a token. Only ``POLICY`` tokens are ever trained."""

    TEMPLATE = 0
    ENVIRONMENT = 1
    POLICY = 2


@dataclass(frozen=True, slots=True)
class Episode:
    """One answer to one case.

    Attributes:
        token_ids: T ids, prompt and answer, exactly as read and sampled.
        origins: T origins, one per token.
        log_probs: T behaviour log-probs; 0 where the origin is not ``POLICY``.
        text: the answer decoded, stop token left out; of a conversation all behind the prompt.
        entropy: mean entropy in nats of the distributions its tokens were drawn from; none where
            a sampler does not tell.
        terms: value of each reward term by name; ``reward`` is what the recipe makes of them. Of a
            conversation: what its environment measures.
        ending: why a conversation is over; ``None``: this is none.
        turns: of the policy.
    """

    token_ids: tuple[int, ...]
    origins: tuple[Origin, ...]
    log_probs: tuple[float, ...]
    stop: StopReason
    text: str
    verdict: Verdict
    reward: float
    entropy: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    ending: Ending | None = None
    turns: int = 1

    def __post_init__(self) -> None:
        if not len(self.token_ids) == len(self.origins) == len(self.log_probs):
            raise ValueError(
                f"episode with {len(self.token_ids)} tokens, {len(self.origins)} origins and "
                f"{len(self.log_probs)} log-probs: the three must be equally long"
            )
        if self.origins and self.origins[0] == Origin.POLICY:
            raise ValueError("an episode begins with a policy token: nothing could predict it")

    @property
    def policy_ids(self) -> tuple[int, ...]:
        """The tokens that the policy wrote."""
        pairs = zip(self.token_ids, self.origins, strict=True)
        return tuple(token for token, origin in pairs if origin == Origin.POLICY)

    @property
    def policy_tokens(self) -> int:
        """How many tokens the policy wrote."""
        return len(self.policy_ids)


def written_episode(
    prompt: Prompt, ids: Sequence[int], text: str, verdict: Verdict, reward: float = 0.0
) -> Episode:
    """An answer that was written and not sampled: trained on, without behaviour log-probs.

    Args:
        ids: of ``text``, the token that ends it included.
    """
    before = len(prompt)
    return Episode(
        token_ids=(*prompt.token_ids, *ids),
        origins=(Origin.TEMPLATE,) * before + (Origin.POLICY,) * len(ids),
        log_probs=(0.0,) * (before + len(ids)),
        stop=StopReason.END,
        text=text,
        verdict=verdict,
        reward=reward,
    )


@dataclass(frozen=True, slots=True)
class Twin:
    """A case with its pictures perturbed, and what the grader said of the answers to it."""

    case: Case
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The G episodes of one case. The first ``prefix_length`` tokens, images included, are common
    to all of them, so that every pass over the group can compute them once."""

    case: Case
    prompt: str
    prefix_length: int
    episodes: tuple[Episode, ...]
    media: Media | None = None
    twin: Twin | None = None

    def __post_init__(self) -> None:
        prefixes = {episode.token_ids[: self.prefix_length] for episode in self.episodes}
        if len(prefixes) != 1:
            raise ValueError(f"the episodes of case {self.case.id} do not share their prefix")
        if any(Origin.POLICY in e.origins[: self.prefix_length] for e in self.episodes):
            raise ValueError(f"the prefix of case {self.case.id} holds tokens of the policy")

    @property
    def rewards(self) -> list[float]:
        """G rewards."""
        return [episode.reward for episode in self.episodes]


def group_of(
    case: Case, prompt: Prompt, episodes: Sequence[Episode], twin: Twin | None = None
) -> Group:
    """The answers to one prompt, which is all that they have in common."""
    return Group(case, prompt.text, len(prompt), tuple(episodes), prompt.media, twin)


def flatten(groups: Sequence[Group]) -> list[Episode]:
    """All episodes, group by group."""
    return [episode for group in groups for episode in group.episodes]
