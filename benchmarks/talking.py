"""Conversations whose keys and values are kept, against reading them again every turn.

    python benchmarks/talking.py                      the whole table, on a CPU
    python benchmarks/talking.py --hidden 1024 --layers 12 --vocabulary 32000      on a GPU

Not run on a GPU yet.

C conversations of 8 to a prompt go on at the same time, for N turns of the policy, with a reply of
R tokens that is there at once between them. Both sides are medrl's own: one reads a reply where the
conversation stood, the other samples every turn from the whole conversation, each prompt once for
those conversations that still share all of it (after the first turn: none). Turns have one length.
The two alternate, after a warm-up of each; the ratio is of seconds of neighbours in time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from bench_learner import make_policy
from bench_model import ModelSize, random_text, save_model
from measure import (
    Clock,
    about_this_run,
    markdown_table,
    ratios,
    shown,
    spread,
    write_results,
)

from medrl.prompt import Prompt
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.talk import KeptTalk, RereadTalk
from medrl.sampling.torch_sampler import TorchSampler

GROUP = 8


class Talks:
    """Both ways, with the same weights."""

    def __init__(self, folder: Path, turn: int, reply: int, turns: int) -> None:
        self.policy = make_policy(folder)
        self.sampler = TorchSampler(self.policy.model, self.policy.stop_ids, self.policy.decode)
        self.params, self.turns = SamplingParams(turn), turns
        self.reply = [1 + i % 7 for i in range(reply)]
        self.clock = Clock(self.policy.device)

    def hold(self, way: type[KeptTalk] | type[RereadTalk], prompts: list[Prompt]) -> int:
        """Hold all conversations; returns the tokens written."""
        with self.clock.part(way.__name__), self.policy.arithmetic():
            talk = way(self.sampler, prompts, GROUP, self.params, 0)
            said = [0] * (len(prompts) * GROUP)
            tokens = 0
            while not talk.idle:
                for number, turn in talk.step().items():
                    said[number] += 1
                    tokens += len(turn.token_ids)
                    if said[number] < self.turns:
                        talk.reply(number, self.reply)
                    else:
                        talk.close(number)
        assert said == [self.turns] * len(said)
        return tokens


def measure(
    folder: Path,
    size: ModelSize,
    conversations: int,
    prompt: int,
    turn: int,
    reply: int,
    turns: int,
    repeat: int,
) -> dict[str, Any]:
    """One row of the table, as JSON values."""
    talks = Talks(folder, turn, reply, turns)
    draw = torch.Generator().manual_seed(0)
    tokens = set()
    for _ in range(1 + repeat):
        texts = [random_text(size, prompt, draw) for _ in range(conversations // GROUP)]
        prompts = [talks.policy.prompt(text) for text in texts]
        tokens |= {talks.hold(way, prompts) for way in (KeptTalk, RereadTalk)}
    [written] = tokens
    kept, reread = (talks.clock.seconds[w.__name__][1:] for w in (KeptTalk, RereadTalk))
    return {
        "turns": turns,
        "conversations": conversations,
        "prompt_tokens": prompt,
        "turn_tokens": turn,
        "reply_tokens": reply,
        "written_tokens": written,
        "sides": {"kept": {"seconds": kept}, "reread": {"seconds": reread}},
        "ratio": ratios(reread, kept),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    return markdown_table(
        ["turns", "kept, seconds", "read again, seconds", "times as fast"],
        [
            [
                str(row["turns"]),
                *(shown(spread(side["seconds"])) for side in row["sides"].values()),
                shown(row["ratio"]),
            ]
            for row in rows
        ],
    )


NOTES = """Medians over {repeat} repetitions, in brackets lowest and highest. The model has
{parameters} parameters; {conversations} conversations, 8 to a prompt of {prompt} tokens, with turns
of {turn} and replies of {reply} tokens."""


def main(
    out: Path = Path("results/benchmarks/talking"),
    turns: Annotated[list[int] | None, typer.Option(help="N; 2, 4 and 8")] = None,
    conversations: Annotated[int, typer.Option(help="a multiple of 8")] = 64,
    prompt: Annotated[int, typer.Option(help="tokens of a prompt")] = 120,
    turn: Annotated[int, typer.Option(help="tokens of a turn")] = 20,
    reply: Annotated[int, typer.Option(help="tokens of a reply")] = 25,
    repeat: Annotated[int, typer.Option(help="times that count, of each")] = 3,
    hidden: int = 256,
    layers: int = 4,
    vocabulary: int = 384,
) -> None:
    """Measure and write OUT.json and OUT.md."""
    size = ModelSize.of(hidden, layers, vocabulary)
    result: dict[str, Any] = {
        "about": about_this_run("talking.py"),
        "model": size.describe(),
        "repeat": repeat,
        "rows": [],
    }
    notes = NOTES.format(
        repeat=repeat,
        parameters=f"{size.parameters:,}",
        conversations=conversations,
        prompt=prompt,
        turn=turn,
        reply=reply,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path(folder), size, None)
        for count in turns or [2, 4, 8]:
            row = measure(model, size, conversations, prompt, turn, reply, count, repeat)
            result["rows"].append(row)
            print(table([row]).splitlines()[-1], flush=True)
            write_results(
                out, result, "Conversations kept or read again", table(result["rows"]), notes
            )


if __name__ == "__main__":
    typer.run(main)
