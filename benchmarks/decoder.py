"""medrl's own decoder against ``generate`` of transformers: tokens per second.

    python benchmarks/decoder.py                            the whole table, on a CPU
    python benchmarks/decoder.py --hidden 1024 --layers 12 --vocabulary 32000 \
        --prompt 500 --prompt 1500 --prompt 4000            on a GPU

Not run on a GPU yet.

Both write G answers to each of a few prompts of P tokens with the same weights at temperature 1.
Answers end by themselves at nearly log-normal lengths (see bench_model.py): medrl writes first, and
``generate`` is given the very lengths that came out, through its ``logits_processor``; what that
costs is taken off. ``generate`` gets each prompt G times, as TRL gives it, and its default cache.
medrl also returns the log-probability and entropy of each token, ``generate`` tokens only.

The two alternate, after a warm-up of each; the ratio is medrl's tokens per second over those of
``generate``, of neighbours in time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from bench_learner import make_policy
from bench_model import CAP, EndAt, Lengths, ModelSize, random_text, save_model
from measure import (
    Clock,
    about_this_run,
    markdown_table,
    ratios,
    shown,
    spread,
    write_results,
)
from transformers import AutoModelForCausalLM, LogitsProcessorList
from transformers.utils.logging import disable_progress_bar

from medrl.run import generator
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler


class Decoders:
    """Both, with the same weights.

    Attributes:
        clock: parts ``medrl`` and ``generate``.
        tokens: answer tokens of each of their calls so far, by the same names.
        longest: tokens of the longest answer of each call.
    """

    def __init__(self, folder: Path, most_tokens: int) -> None:
        self.policy = make_policy(folder)
        self.sampler = TorchSampler(self.policy.model, self.policy.stop_ids, self.policy.decode)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model = model.to(self.policy.device).eval()
        self.most_tokens = most_tokens
        self.clock = Clock(self.policy.device)
        self.tokens: dict[str, list[int]] = {"medrl": [], "generate": []}
        self.longest: list[int] = []

    def medrl(self, prompts: list[list[int]], group: int, index: int) -> Lengths:
        """Sample with medrl; returns how long the answers are."""
        draw = generator(index, device=self.policy.device)
        params = SamplingParams(self.most_tokens)
        with self.clock.part("medrl"), self.policy.arithmetic():
            answers = self.sampler.sample(prompts, group, params, draw)
        lengths = [[len(a.token_ids) for a in of_prompt] for of_prompt in answers]
        self.tokens["medrl"].append(sum(map(sum, lengths)))
        self.longest.append(max(map(max, lengths)))
        return lengths

    def generate(self, prompts: list[list[int]], group: int, lengths: Lengths) -> None:
        """Sample with transformers, answers of the given lengths."""
        device, pad = self.policy.device, self.policy.pad_id
        prompt_RS = torch.tensor(prompts, device=device).repeat_interleave(group, 0)
        end_at = EndAt(lengths, prompt_RS.shape[1], self.policy.stop_ids[0], self.clock)
        with self.clock.part("generate"), self.policy.arithmetic():
            tokens_RS = self.model.generate(
                input_ids=prompt_RS,
                attention_mask=torch.ones_like(prompt_RS),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self.most_tokens,
                logits_processor=LogitsProcessorList([end_at]),
            )
        self.clock.seconds["generate"][-1] -= end_at.seconds
        self.tokens["generate"].append(int((tokens_RS[:, prompt_RS.shape[1] :] != pad).sum()))


def measure(
    folder: Path, size: ModelSize, prompts: int, prompt: int, answer: int, group: int, repeat: int
) -> dict[str, Any]:
    """One row of the table, as JSON values."""
    decoders = Decoders(folder, CAP * answer)
    draw = torch.Generator().manual_seed(0)
    for index in range(1 + repeat):
        texts = [random_text(size, prompt, draw) for _ in range(prompts)]
        ids = [decoders.policy.encode_prompt(text) for text in texts]
        lengths = decoders.medrl(ids, group, index)
        decoders.generate(ids, group, lengths)
    speeds = {
        name: [n / s for n, s in zip(tokens[1:], decoders.clock.seconds[name][1:], strict=True)]
        for name, tokens in decoders.tokens.items()
    }
    return {
        "name": f"P={prompt}, G={group}",
        "prompt_tokens": prompt,
        "group": group,
        "prompts": prompts,
        "longest_answers": decoders.longest[1:],
        "sides": {
            name: {
                "answers": prompts * group,
                "answer_tokens": decoders.tokens[name][1:],
                "seconds": decoders.clock.seconds[name][1:],
                "tokens_per_second": speed,
            }
            for name, speed in speeds.items()
        },
        "ratio": ratios(speeds["medrl"], speeds["generate"]),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = ["", "medrl tokens/s", "generate tokens/s", "medrl over generate", "longest answer"]
    return markdown_table(
        head,
        [
            [
                row["name"],
                *(shown(spread(s["tokens_per_second"]), 0) for s in row["sides"].values()),
                shown(row["ratio"]),
                f"{median(row['longest_answers']):.0f}",
            ]
            for row in rows
        ],
    )


NOTES = """Medians over {repeat} repetitions, in brackets lowest and highest. The model has
{parameters} parameters; {prompts} prompts of P tokens, G answers to each, of {answer} tokens on
average with nearly log-normal lengths, the same for both. Longest answer: its tokens, median;
``generate`` computes every row up to there."""


def main(
    out: Path = Path("results/benchmarks/decoder"),
    prompt: Annotated[list[int] | None, typer.Option(help="P; 250, 400 and 1400")] = None,
    group: Annotated[list[int] | None, typer.Option(help="G; 1 and 8")] = None,
    answer: Annotated[int, typer.Option(help="mean tokens of an answer")] = 100,
    prompts: Annotated[int, typer.Option(help="prompts of one call")] = 8,
    repeat: Annotated[int, typer.Option(help="calls that count, of each")] = 3,
    hidden: int = 256,
    layers: int = 4,
    vocabulary: int = 384,
) -> None:
    """Measure and write OUT.json and OUT.md."""
    disable_progress_bar()
    size = ModelSize.of(hidden, layers, vocabulary)
    result: dict[str, Any] = {
        "about": about_this_run("decoder.py"),
        "model": size.describe(),
        "mean_answer_tokens": answer,
        "repeat": repeat,
        "rows": [],
    }
    notes = NOTES.format(
        repeat=repeat, parameters=f"{size.parameters:,}", prompts=prompts, answer=answer
    )
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path(folder), size, answer)
        for length in prompt or [250, 400, 1400]:
            for count in group or [1, 8]:
                row = measure(model, size, prompts, length, answer, count, repeat)
                result["rows"].append(row)
                print(table([row]).splitlines()[-1], flush=True)
                write_results(
                    out, result, "medrl's decoder against generate", table(result["rows"]), notes
                )


if __name__ == "__main__":
    typer.run(main)
