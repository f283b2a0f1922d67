"""Multiple choice by likelihood: no answer is written, the likeliest option counts.

Each option is put behind the prompt and a blank, and the log-probs of its tokens are added up. The
rules are those of lm-evaluation-harness (task type ``multiple_choice``), so that figures can stand
beside published ones:

- ``acc``: the option with the largest sum.
- ``acc_norm``: the largest sum per character of the option.
- ``acc_bytes``: the largest sum per byte of it in UTF-8.

The blank is not counted; of equal options the first one wins. Where options are letters, all three
are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from medrl.cases.case import LETTERS, Case
from medrl.cases.sources import Form
from medrl.environments.prompts import option_lines
from medrl.errors import DataError, ModelError
from medrl.evaluation.protocol import EvalProtocol, one_protocol
from medrl.evaluation.statistics import wilson
from medrl.grading import Outcome
from medrl.learning.batching import micro_batches
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, Mode, lay_out
from medrl.learning.logprobs import CHUNK_LOGITS, hidden_states, token_log_probs
from medrl.learning.policy import Policy
from medrl.learning.rollout import read_case
from medrl.model import causal_lm, head_logits

BLOCK, SEEN_BLOCK = 256, 32
"""Cases whose tokens are held at a time; with pictures, which weigh megabytes, fewer."""


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One case and what the model thinks of its options.

    Attributes:
        gold: letter of the right option.
        answer: letter of the likeliest option, the first of equals.
        answer_norm, answer_bytes: the likeliest per character and per byte.
        outcome: of ``answer``.
        log_likelihoods: sum of log-probs in nats, one per option.
        greedy: whether greedy decoding would write the option, one per option.
        prompt_tokens: tokens that all options share.
    """

    case_id: str
    gold: str
    answer: str
    answer_norm: str
    answer_bytes: str
    outcome: str
    log_likelihoods: tuple[float, ...]
    greedy: tuple[bool, ...]
    prompt_tokens: int
    protocol: EvalProtocol = "likelihood"

    @property
    def correct(self) -> bool:
        """Whether the likeliest option is the gold one."""
        return self.answer == self.gold

    @property
    def tied(self) -> bool:
        """Whether the likeliest option was chosen for its place among equals."""
        return self.log_likelihoods.count(max(self.log_likelihoods)) > 1


def choices(case: Case, form: Form) -> tuple[str, ...]:
    """What is scored for each option, without the blank in front: letters or texts."""
    if form.continuation == "letter":
        return tuple(case.reference.letters)
    return case.reference.options


def task_of(case: Case, form: Form) -> str:
    """The task of lm-evaluation-harness that a case belongs to, see ``Form.task``.

    Raises:
        DataError: the case lacks a tag that the name needs.
    """
    return _filled(form.task, case, case.tags)


def prompt_of(case: Case, form: Form) -> str:
    """What stands before every option; blanks stand for the underscores of tags.

    Raises:
        DataError: the case has no options, or lacks a tag that the prompt needs.
    """
    if case.reference.kind != "option":
        raise DataError(
            f"{case.source} (case {case.id}): no options whose likelihood could be compared",
            "evaluate this set with --protocol generated",
        )
    stem = case.question
    if case.context and "{context}" not in form.prompt:
        stem = f"{case.context}\n{stem}"
    spoken = {name: value.replace("_", " ") for name, value in case.tags.items()}
    own = {
        "question": stem,
        "options": option_lines(case.reference.options),
        "context": case.context,
    }
    return _filled(form.prompt, case, spoken | own)


def _filled(text: str, case: Case, values: Mapping[str, str]) -> str:
    try:
        return text.format(**values)
    except KeyError as error:
        raise DataError(
            f"{case.source} (case {case.id}): it is asked with its tag {error}, but has none",
            "load the set in its published format, or give its rows that field",
        ) from error


def encode(policy: Policy, case: Case, form: Form) -> list[Member]:
    """Prompt and continuation of each option, as tokens; the case's pictures stand in front.

    The tokens of a continuation are what prompt and continuation together have beyond those of the
    prompt: a tokenizer may join the blank to what follows. Pictures change nothing about that.

    Raises:
        DataError: see ``prompt_of``; also if the case does not fit the model's context, if an
            option adds no token, or if a picture cannot be opened.
        ModelError: pictures, and a model that reads text only.
    """
    policy = replace(policy, chat=False)  # as published: the prompt alone, no frame of a chat
    prompt = prompt_of(case, form)
    seen = read_case(policy, case, prompt)
    told = len(policy.encode_prompt(prompt))
    members = []
    for text in choices(case, form):
        own = policy.encode_prompt(f"{prompt} {text}")[told:]
        if not own:
            raise DataError(f"{case.source} (case {case.id}): option '{text}' adds no token")
        origins = (Origin.TEMPLATE,) * len(seen) + (Origin.POLICY,) * len(own)
        zeros = (0.0,) * len(origins)
        members.append(Member((*seen.token_ids, *own), origins, zeros, 0, len(seen), seen.media))
    longest = max(member.length for member in members)
    if longest > policy.context:
        raise DataError(
            f"{case.source} (case {case.id}): prompt and option have {longest} tokens, more than "
            f"the model's context of {policy.context}",
            "drop the case, or use a model with a longer context",
        )
    return members


@torch.no_grad()
def score(
    policy: Policy,
    cases: Sequence[Case],
    form: Form,
    token_budget: int = 8192,
    mode: Mode = "shared",
    on_progress: Callable[[int], None] | None = None,
) -> list[ChoiceRow]:
    """Likelihoods of the options of each case.

    Args:
        token_budget: most tokens in one forward pass.
        mode: how they are laid out; all ways give the same numbers.
        on_progress: told how many more options are done after each pass.

    Returns:
        One row per case, in order.

    Raises:
        DataError: see ``encode``.
        RecipeError: a case alone exceeds the budget.
        ModelError: a likelihood is not a number.
    """
    rows: list[ChoiceRow] = []
    block = SEEN_BLOCK if any(case.images for case in cases) else BLOCK
    for start in range(0, len(cases), block):
        part = cases[start : start + block]
        groups = [encode(policy, case, form) for case in part]
        members = [replace(m, group=number) for number, group in enumerate(groups) for m in group]
        found = [(0.0, False)] * len(members)
        for batch in micro_batches(members, mode, token_budget):
            scored = _batch(policy, [members[b] for b in batch], mode)
            for b, pair in zip(batch, scored, strict=True):
                found[b] = pair
            if on_progress:
                on_progress(len(batch))
        each = iter(found)
        rows += [
            _row(case, choices(case, form), [next(each) for _ in group], group[0].prefix_length)
            for case, group in zip(part, groups, strict=True)
        ]
    return rows


def _batch(policy: Policy, members: Sequence[Member], mode: Mode) -> list[tuple[float, bool]]:
    """Sum of log-probs of each continuation, and whether it is the greedy one."""
    layout = lay_out(members, mode, policy.pad_id, policy.device)
    with policy.arithmetic():
        hidden_ND = hidden_states(policy.model, layout)
        log_probs_N = token_log_probs(policy.model, hidden_ND, layout.targets_N, 1.0)
        missed_N = _likeliest(policy, hidden_ND) != layout.targets_N
    sums_B = layout.grid(log_probs_N.double()).sum(1)
    misses_B = layout.grid(missed_N.double()).sum(1)
    return list(zip(sums_B.tolist(), (misses_B == 0).tolist(), strict=True))


def _likeliest(policy: Policy, hidden_ND: torch.Tensor) -> torch.Tensor:
    """The likeliest token [N] at each place; logits exist for a chunk of places at a time."""
    size = max(1, CHUNK_LOGITS // causal_lm(policy.model).get_output_embeddings().weight.shape[0])
    pieces = [head_logits(policy.model, piece).argmax(-1) for piece in hidden_ND.split(size)]
    return torch.cat(pieces)


def _row(
    case: Case, texts: Sequence[str], scored: Sequence[tuple[float, bool]], prompt_tokens: int
) -> ChoiceRow:
    sums = np.array([value for value, _ in scored])
    if np.isnan(sums).any():
        raise ModelError(
            f"{case.source} (case {case.id}): the model gives log-probs that are not numbers",
            "check its weights, or evaluate with model.dtype=float32",
        )
    answer = _largest(sums)
    return ChoiceRow(
        case.id,
        case.reference.value,
        answer,
        _largest(sums / [len(text) for text in texts]),
        _largest(sums / [len(text.encode()) for text in texts]),
        str(Outcome.CORRECT if answer == case.reference.value else Outcome.WRONG),
        tuple(sums.tolist()),
        tuple(greedy for _, greedy in scored),
        prompt_tokens,
    )


def _largest(values: ArrayLike) -> str:
    return LETTERS[int(np.argmax(values))]


def summarise_choices(rows: Sequence[ChoiceRow]) -> dict[str, Any]:
    """The three accuracies with their Wilson intervals, chance, and ties.

    There is always an answer, so ``no_answer`` is 0; ``tied`` counts the cases in which it was
    chosen for its place alone.
    """
    result: dict[str, Any] = {"protocol": one_protocol(rows), "n": len(rows)}
    for name, low, high, field in (
        ("accuracy", "low", "high", "answer"),
        ("acc_norm", "norm_low", "norm_high", "answer_norm"),
        ("acc_bytes", "bytes_low", "bytes_high", "answer_bytes"),
    ):
        correct = sum(getattr(row, field) == row.gold for row in rows)
        interval = wilson(correct, len(rows))
        result |= {name: correct / len(rows), low: interval.low, high: interval.high}
    return result | {
        "chance": fmean(1 / len(row.log_likelihoods) for row in rows),
        "no_answer": 0,
        "tied": sum(row.tied for row in rows),
    }


def choice_records(rows: Sequence[ChoiceRow]) -> list[dict[str, Any]]:
    """Rows as JSON-ready mappings."""
    return [asdict(row) for row in rows]
