"""The main job on a GPU: a 100 to 300 M parameter model, bf16, throughput and share of peak.

    python benchmarks/gpu_main.py --out results/benchmarks/gpu_main.json

Pretrains a model of the given size on clinic text, trains it with med-rlvr, and reports tokens
per second in sampling and learning, peak memory, and which share of the matrix rate measured on
the same device the learning phase reaches. It runs on a CPU too (tiny sizes), which only proves
that it runs. Not run on a GPU yet.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from measure import matrix_rate
from rich.console import Console

from medrl.clinic.pretrain import PretrainConfig, pretrain
from medrl.clinic.textbook import AnswerHabits
from medrl.learning.policy import pick_device
from medrl.learning.progress import Display
from medrl.learning.session import run_recipe
from medrl.recipe import load_recipe
from medrl.run import describe_machine


def main(
    out: Path,
    hidden: int = 1024,
    layers: int = 12,
    pretrain_steps: int = 1500,
    rows: int = 64,
    rl_steps: int = 30,
    prompts: int = 256,
    matrix: Annotated[int, typer.Option(help="size of the matrix product measured")] = 8192,
) -> None:
    """Measure and write OUT."""
    device = pick_device()
    config = PretrainConfig(
        hidden=hidden,
        layers=layers,
        heads=hidden // 64,
        intermediate=hidden * 8 // 3 // 64 * 64,
        mixture_steps=pretrain_steps,
        rows=rows,
        learning_rate=6e-4,
    )
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        made = pretrain(base, config, AnswerHabits(), device.type)
        recipe = load_recipe(
            "med-rlvr",
            "rehearsal",
            [
                f"model.path={base}",
                f"steps={rl_steps}",
                f"prompts_per_step={prompts}",
                "learning_rate=2e-5",
                "token_budget=65536",
            ],
        )
        summary = run_recipe(recipe, Path(folder) / "run", Display(Console()))
    rate = matrix_rate(device, matrix)
    # Per learned token: reference and value forward (2N each, one trunk pass each) and the
    # update's forward and backward (6N).
    flops = 10 * made["parameters"] * summary["learning_tokens_per_second"]
    result = {
        "machine": describe_machine(),
        "parameters": made["parameters"],
        "summary": summary,
        "matrix_flops_per_second": rate,
        "learning_share_of_matrix_rate": flops / rate,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "summary"}, indent=2))


if __name__ == "__main__":
    typer.run(main)
