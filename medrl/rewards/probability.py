"""How much a reply's reasoning helps the policy to the reference answer: no verifier needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from medrl.grading.format import Format
from medrl.learning.batching import micro_batches
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, choose_mode, lay_out
from medrl.learning.logprobs import answer_log_probs
from medrl.part import Positive
from medrl.prompt import Prompt
from medrl.rewards.answer_part import AnswerPart, answer_part
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

if TYPE_CHECKING:
    from medrl.learning.policy import Policy

_Ids = tuple[int, ...]

LEAD: Mapping[Format, tuple[str, str]] = {
    "think_answer": ("<answer>", ""),
    "boxed": (r"\boxed{", ""),
    "free": ("The answer is", " "),
}
"""What opens an answer of each format, and what stands between that and the answer itself."""


class _Text(NamedTuple):
    """A prompt, and tokens of a reply up to its answer and of the reference in its place."""

    prompt: Prompt
    reply: _Ids
    reference: _Ids


@dataclass(frozen=True)
class Probability:
    """``clip(PR(reasoning) - PR(no reasoning), 0, 1)`` of the reference under the policy."""

    policy: Policy
    format: Format
    without: str
    token_budget: int
    low: float = 0.0
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        asked = [self._texts(answer) for answer in answers]
        pairs = [pair for pair in asked if not isinstance(pair, Score)]
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        found = dict(zip(texts, self.mean_probabilities(texts), strict=True))
        return [a if isinstance(a, Score) else _gain(found[a[0]], found[a[1]]) for a in asked]

    def _texts(self, answer: Answer) -> tuple[_Text, _Text] | Score:
        """The reference behind the reply's own reasoning, and behind none."""
        part = answer_part(answer.text, self.format)
        if part is None:
            return Score(0.0, "the reply has no place for an answer")
        lead, space = LEAD[self.format]
        encode = self.policy.encode
        reference = tuple(encode(space + answer.case.reference.value))
        if not reference:
            return Score(None, "the reference has no tokens")
        opening = encode(lead) if self.format == "free" else []  # else it is the reply's own
        reply = (*self._before(answer, part), *opening)
        bare = (*encode(self.without), *encode(lead))
        if len(answer.prompt) + len(reply) + len(reference) > self.policy.context:
            return Score(None, "the reference does not fit into the model's context")
        return _Text(answer.prompt, reply, reference), _Text(answer.prompt, bare, reference)

    def _before(self, answer: Answer, part: AnswerPart) -> list[int]:
        """Tokens of a reply up to its answer: those sampled; only what the last of them has in
        common with the answer is encoded afresh."""
        ids, decode = answer.answer_ids, self.policy.decode
        ended = bool(ids) and ids[-1] in self.policy.stop_ids
        low, high = 0, len(ids) - ended
        while low < high:  # as many tokens as fit
            middle = (low + high + 1) // 2
            fits = len(decode(ids[:middle])) <= part.at
            low, high = (middle, high) if fits else (low, middle - 1)
        # The first bytes of a character decode to a mark that the text does not have.
        while not answer.text.startswith(decode(ids[:low])):
            low -= 1
        rest = answer.text[len(decode(ids[:low])) : part.at]
        return [*ids[:low], *self.policy.encode(rest)]

    @torch.no_grad()
    def mean_probabilities(self, texts: Sequence[_Text]) -> list[float]:
        """PR of each text: the mean probability of the tokens of its reference, each given all
        before it. Every prompt is computed once for all its texts."""
        if not texts:
            return []
        groups: dict[Prompt, int] = {}
        members = [_member(text, groups.setdefault(text.prompt, len(groups))) for text in texts]
        mode = choose_mode(members, "auto")
        budget = max(self.token_budget, max(member.length for member in members))
        found = [0.0] * len(texts)
        for rows in micro_batches(members, mode, budget):
            part = [members[i] for i in rows]
            layout = lay_out(part, mode, self.policy.pad_id, self.policy.device)
            with self.policy.arithmetic():
                log_probs_BA = answer_log_probs(self.policy.model, layout, temperature=1.0)
            for i, log_probs_A in zip(rows, log_probs_BA, strict=True):
                found[i] = float(log_probs_A[: len(texts[i].reference)].exp().mean())
        return found


def _member(text: _Text, group: int) -> Member:
    ids = (*text.prompt.token_ids, *text.reply, *text.reference)
    read = len(ids) - len(text.reference)
    origins = [Origin.TEMPLATE] * read + [Origin.POLICY] * len(text.reference)
    zeros = [0.0] * len(ids)
    return Member(ids, origins, zeros, group, len(text.prompt), text.prompt.media)


def _gain(reasoned: float, bare: float) -> Score:
    value = min(max(reasoned - bare, 0.0), 1.0)
    return Score(value, f"probability {reasoned:.3f} with its reasoning, {bare:.3f} without")


class ProbabilitySpec(TermSpec):
    """Probability reward (RLPR): the reference is put in the answer's place of the policy's own
    reply, ``PR(z)`` is the mean probability of its tokens after the reasoning ``z``, and the value
    is ``clip(PR(z) - PR(no reasoning), 0, 1)``.

    The policy is the one in training, as it is when the step is sampled, at temperature 1. RLPR
    adds 0.1 of a format reward to 0.9 of this: ``weight: 0.9`` beside a ``format`` term.
    """

    term: Literal["probability"]
    without: str = ""
    """What a reply without reasoning says before its answer (ours: nothing); ``<think></think>``
    suits a model that always thinks."""
    token_budget: Positive = 8192
    """Most tokens in one pass, unless a single reply has more."""

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Probability(context.policy, context.grader.format, self.without, self.token_budget)
