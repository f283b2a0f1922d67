"""The model the benchmarks run on: random weights, but it is known when its answers end.

Its vocabulary is words ``w0 w1 ...`` that a tokenizer splits at spaces, so that text and token ids
are the same thing to everyone, then padding, then the end of text. A bigram table is written into
embedding and head: words belong to stages, a word is followed by one of its own stage, or with
probability q by one of the next, and behind the last stage by the end of text. Everything in
between is random and computed like that of any model; it shifts the table by a few percent.

With K stages lengths are sums of K geometric ones of mean 1/q. For K = 3 the logarithm of the
length has a standard deviation of about 0.63, close to a log-normal of spread 0.6 (a geometric
length alone: 1.28). With q = 0 an answer never ends, and is as long as it may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from typing import Any

import torch
from measure import Clock
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from medrl.cases.case import Case, Provenance, Reference
from medrl.cases.pictures import PictureFile

PAD, END = "<|pad|>", "<|end|>"
STAGES = 3
NEVER = -25.0
"""Log-odds of what must not happen."""
CERTAIN = 128.0
"""Embedding of a word's stage: far above what layers of random weights (std 0.02) add to it, as an
error of 3 % there would change how often answers end by 30 %."""

CAP = 4
"""Ragged answers have at most this many times the mean tokens."""

Lengths = list[list[int]]
"""Tokens of each answer to each prompt."""


@dataclass(frozen=True)
class ModelSize:
    """Sizes of the model; the ones given have 3.4 M parameters.

    Attributes:
        vocabulary: words, padding and end of text. Embedding and head are two matrices.
        context: most tokens of prompt and answer together.
    """

    hidden: int = 256
    layers: int = 4
    heads: int = 4
    intermediate: int = 704
    vocabulary: int = 384
    context: int = 8192

    @classmethod
    def of(cls, hidden: int, layers: int, vocabulary: int) -> ModelSize:
        """Heads of 64 and the usual width of the MLP, 8/3 of the hidden one."""
        heads, intermediate = max(1, hidden // 64), max(64, -(-hidden * 8 // 3 // 64) * 64)
        return cls(hidden, layers, heads, intermediate, vocabulary)

    @property
    def parameters(self) -> int:
        """All of them: matrices, biases of queries, keys and values, norms, embedding and head."""
        per_layer = self.linear_per_layer + 3 * self.hidden + 2 * self.hidden
        return self.layers * per_layer + self.hidden + 2 * self.vocabulary * self.hidden

    @property
    def linear_per_layer(self) -> int:
        """Weights of a layer's matrices: four of attention, three of the MLP."""
        return 4 * self.hidden**2 + 3 * self.hidden * self.intermediate

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"parameters": self.parameters}


def words(size: ModelSize) -> int:
    """Ids 0 to this, exclusive, are words; then padding, then the end of text."""
    return size.vocabulary - 2


def save_model(folder: Path, size: ModelSize, mean_length: float | None, seed: int = 0) -> Path:
    """Write model and tokenizer as ``transformers`` loads them.

    Args:
        mean_length: mean tokens of an answer, its end included; ``None``: it never ends.
    """
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(Qwen2Config(**text_config(size)))
    write_stages(model, size, mean_length)
    model.save_pretrained(folder)
    word_tokenizer(size).save_pretrained(folder)
    return folder


def text_config(size: ModelSize, marks: int = 0) -> dict[str, Any]:
    """What a decoder of this size is told; ``marks`` more ids stand behind its vocabulary."""
    return {
        "vocab_size": size.vocabulary + marks,
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "max_position_embeddings": size.context,
        "tie_word_embeddings": False,
        "pad_token_id": words(size),
        "eos_token_id": words(size) + 1,
        "bos_token_id": None,
    }


@torch.no_grad()
def write_stages(model: PreTrainedModel, size: ModelSize, mean_length: float | None) -> None:
    """The bigram table: the first hidden dimensions say the stage, the head reads them."""
    leave = 0.0 if mean_length is None else STAGES / mean_length
    count = words(size)
    stage_W = torch.arange(count) * STAGES // count
    embedding_VD = model.get_input_embeddings().get_parameter("weight")
    head_VD = model.get_output_embeddings().get_parameter("weight")
    log_odds_VK = torch.full((len(head_VD), STAGES), NEVER)
    for stage in range(STAGES):
        embedding_VD[:count, stage] = CERTAIN * (stage_W == stage)
        own, after = stage_W == stage, stage_W == stage + 1
        log_odds_VK[:count][own, stage] = 0.0
        if leave and stage + 1 < STAGES:
            log_odds_VK[:count][after, stage] = _log_odds(leave, int(own.sum()), int(after.sum()))
        elif leave:
            log_odds_VK[count + 1, stage] = _log_odds(leave, int(own.sum()), 1)
    # The last norm gives a vector that is nearly all stage the length sqrt(D) in that direction.
    head_VD[:, :STAGES] = log_odds_VK / size.hidden**0.5


def _log_odds(probability: float, own: int, others: int) -> float:
    """Of one of the other words against one of one's own, if all others together are so likely."""
    return log(probability / others) - log((1 - probability) / own)


def word_tokenizer(size: ModelSize, marks: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Words, padding, end of text, and behind these marks that stand for pictures."""
    ids = {f"w{i}": i for i in range(words(size))} | {PAD: words(size), END: words(size) + 1}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, padding_side="left"
    )
    made.add_special_tokens({"additional_special_tokens": list(marks)})
    return made


def random_text(size: ModelSize, tokens: int, draw: torch.Generator) -> str:
    """So many random words of the first stage, from which every answer sets out."""
    ids = torch.randint(words(size) // STAGES, (tokens,), generator=draw).tolist()
    return " ".join(f"w{i}" for i in ids)


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        picture: file of the picture it is about, if there is one.
    """

    text: str
    picture: Path | None = None


def case(number: int, question: Question) -> Case:
    """A case whose prompt is the question and nothing else (template ``{question}``)."""
    origin = Provenance("random words")
    shown = (PictureFile(question.picture, origin),) if question.picture else ()
    reference = Reference("option", "A", ("yes", "no"))
    return Case(f"case-{number}", question.text, reference, origin, images=shown)


class EndAt(LogitsProcessor):
    """Lets every row end at a given length, by the end-of-text token, and not before.

    Attributes:
        seconds: what this itself has cost, to be taken off.
    """

    def __init__(self, lengths: Lengths, prompt: int, end: int, clock: Clock) -> None:
        self.clock, device = clock, clock.device
        self.last_R = torch.tensor([n for g in lengths for n in g], device=device) + prompt - 1
        self.end, self.seconds = end, 0.0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """``input_ids`` [R, S] so far, ``scores`` [R, V] of the next token."""
        started = self.clock.now()
        scores[:, self.end] = torch.where(self.last_R == input_ids.shape[1], 1e6, -1e6)
        self.seconds += self.clock.now() - started
        return scores
