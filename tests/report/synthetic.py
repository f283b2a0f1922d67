"""A run folder as training would leave it, with made-up but believable numbers."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import yaml

from medrl.evaluation.statistics import compare_paired, wilson
from medrl.run import RunFolder

QUESTIONS = [
    (
        "A 44-year-old man comes to the clinic. There is a known pituitary adenoma. The patient "
        "has weight gain, central obesity and purple striae. Which mechanism explains this?",
        (
            "catecholamine secretion by chromaffin cells",
            "excess cortisol driven by pituitary ACTH",
            "rupture of red cells by Plasmodium",
            "ovarian androgen excess with insulin resistance",
        ),
        "B",
        "a pituitary adenoma with purple striae suggests Cushing disease. Its mechanism is excess "
        "cortisol driven by pituitary ACTH.",
    ),
    (
        "A 38-year-old woman comes to the clinic. There is a prosthetic heart valve. The patient "
        "has fever and night sweats. The work-up reveals positive blood cultures. What is the "
        "most likely diagnosis?",
        ("influenza", "systemic lupus erythematosus", "infective endocarditis", "tuberculosis"),
        "C",
        "fever with a prosthetic valve and positive blood cultures points to infective "
        "endocarditis.",
    ),
    (
        "A 9-month-old boy is brought in with colicky crying and currant-jelly stool. What is the "
        "first-line treatment?",
        ("air enema reduction", "oral antibiotics", "a gluten-free diet", "watchful waiting"),
        "A",
        "colicky crying with currant-jelly stool is intussusception, which is treated with an air "
        "enema.",
    ),
]
PHASES = (
    "format failure",
    "verbose formatter",
    "concise structurer",
    "direct-answer hacker",
    "step-by-step exploit",
    "reintegrated reasoning",
)
BOUNDS = (0.0, 0.1, 0.26, 0.45, 0.62, 0.78, 1.0)
MACHINE = {
    "cpu": "Example CPU",
    "cores": 2,
    "ram_bytes": 16 * 2**30,
    "gpus": [{"name": "Example GPU", "memory_bytes": 24 * 2**30}],
    "system": "Linux-6.1-x86_64",
    "python": "3.12.1",
    "torch": "2.13.0",
    "transformers": "4.57.0",
    "medrl": "0.1.0",
    "git_commit": None,
}


def make_run(
    path: Path,
    ppo_steps: int = 60,
    sft_steps: int = 0,
    episodes_per_step: int = 1,
    finished: bool = True,
) -> Path:
    """Write a run of ``sft_steps`` then ``ppo_steps``; an unfinished one stops half-way."""
    chance = random.Random(7)
    stages = [("sft", sft_steps)] * bool(sft_steps) + [("ppo", ppo_steps)]
    sets = {"test-id": {"source": "clinic:test-id"}, "test-ood": {"source": "clinic:test-ood"}}
    recipe = {
        "name": "med-rlvr",
        "summary": "PPO with a rule reward on medical multiple choice",
        "scale": "rehearsal",
        "seed": 3,
        "model": {"path": "clinic:text-base", "dtype": "auto"},
        "train": {"source": "clinic:train", "size": 2000},
        "stages": [{"objective": name, "steps": steps} for name, steps in stages],
        "evaluation": {"sets": sets},
    }
    with RunFolder.create(path, yaml.safe_dump(recipe, sort_keys=False)) as run:
        run.record_evaluation(
            "before", {"test-id": result(123, 300, 0.21, 41), "test-ood": result(98, 300, 0.19, 47)}
        )
        for name, steps in stages:
            for step in range(1, (steps if finished or name == "sft" else steps // 2) + 1):
                share = (step - 1) / max(1, steps - 1)
                row = sft_metrics(share) if name == "sft" else ppo_metrics(share, chance)
                run.log("metrics", {"stage": name, "step": step, **row})
                run.log("timings", {"stage": name, "step": step, **timing(chance)})
                for _ in range(episodes_per_step):
                    episode = written(chance) if name == "sft" else sampled(share, chance)
                    run.log("episodes", {"stage": name, "step": step, **episode})
        if finished:
            finish(run, ppo_steps)
    return path


def finish(run: RunFolder, ppo_steps: int) -> None:
    run.record_evaluation(
        "after", {"test-id": result(214, 300, 0.99, 0), "test-ood": result(109, 300, 0.97, 4)}
    )
    run.record_evaluation(
        "comparison", {"test-id": comparison(123, 214, 24), "test-ood": comparison(98, 109, 37)}
    )
    with run.new_folder("model") as folder:
        (folder / "config.json").write_text("{}")
    starts = [round(bound * ppo_steps) for bound in BOUNDS]
    run.write_json(
        "summary.json",
        {
            "recipe": "med-rlvr",
            "scale": "rehearsal",
            "seed": 3,
            "model": "clinic:text-base",
            "wall_seconds": 412.7,
            "peak_memory_bytes": 1_503_238_553,
            "sampling_tokens_per_second": 2140,
            "learning_tokens_per_second": 6415,
            "evaluations": {},
            # As the training writes them: from 0, without the end.
            "phases": [
                {"phase": name, "start": start, "end": end}
                for name, start, end in zip(PHASES, starts, starts[1:], strict=False)
            ],
            "machine": MACHINE,
        },
    )


def result(correct: int, n: int, format_rate: float, no_answer: int) -> dict[str, Any]:
    interval = wilson(correct, n)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "low": interval.low,
        "high": interval.high,
        "chance": 0.33,
        "no_answer": no_answer,
        "several_answers": 2,
        "cut": no_answer // 2,
        "format_rate": format_rate,
        "think_tokens": 21.5,
        "response_tokens": 34.0,
    }


def comparison(before: int, after: int, only_before: int, n: int = 300) -> dict[str, float]:
    """Paired comparison where ``only_before`` cases were right before and wrong after."""
    both = before - only_before
    a = [True] * after + [False] * (n - after)
    b = [True] * both + [False] * (after - both) + [True] * only_before
    b += [False] * (n - len(b))
    found = compare_paired(a, b, resamples=500)
    return {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
    }


def ppo_metrics(share: float, chance: random.Random) -> dict[str, Any]:
    n = 64

    def rate(p: float) -> float:
        return sum(chance.random() < p for _ in range(n)) / n

    form = rate(1 / (1 + math.exp(-22 * (share - 0.12))))
    accuracy = form * rate(0.34 + 0.42 * share)
    hack = math.exp(-(((share - 0.53) / 0.07) ** 2))
    moved = math.exp(-(((share - 0.7) / 0.07) ** 2))
    noise = 1 + chance.gauss(0, 0.06)
    think = 34 * math.exp(-(((share - 0.2) / 0.14) ** 2)) + 21 * (1 - hack) * (1 - moved)
    return {
        "episodes": n,
        "reward": accuracy - (1 - form),
        "accuracy": accuracy,
        "format_rate": form,
        "no_answer_rate": rate(0.16 * (1 - share) ** 3),
        "cut_rate": rate(0.1 * (1 - share) ** 2),
        "entropy": 0.25 + 0.9 * math.exp(-3 * share) * noise,
        "response_tokens": (think + 12 + 22 * moved) * noise,
        "think_tokens": think * noise,
        "pre_think_tokens": 22 * moved * noise,
        "early_answer_rate": rate(0.05 + 0.8 * hack),
        "kl": 0.08 * share * noise,
        "policy_loss": -0.01 * noise,
        "value_loss": 0.2 * noise,
        "clipped_share": 0.03 * noise,
        "grad_norm": 0.9 * noise,
        "learning_rate": 5e-4,
    }


def sft_metrics(share: float) -> dict[str, Any]:
    return {
        "episodes": 64,
        "loss": 0.3 + 1.6 * math.exp(-4 * share),
        "grad_norm": 1.2 - 0.5 * share,
        "accuracy": 1.0,
        "format_rate": 1.0,
        "reward": 1.0,
        "entropy": 0.0,
    }


def timing(chance: random.Random) -> dict[str, Any]:
    return {
        "seconds": 5.2,
        "sampling_seconds": 3.1 + 0.3 * chance.random(),
        "learning_seconds": 2.1 + 0.2 * chance.random(),
        "sampled_tokens": 7040,
        "learned_tokens": 13_400,
        "peak_memory_bytes": 1_400_000_000,
    }


def sampled(share: float, chance: random.Random) -> dict[str, Any]:
    place = chance.randrange(len(QUESTIONS))
    _, options, gold, thought = QUESTIONS[place]
    letter = gold if chance.random() < 0.35 + 0.5 * share else chance.choice("ABCD")
    answer = f"<answer>{letter}</answer>"
    if chance.random() > 0.3 + 3 * share:
        return _episode(
            place,
            f"The findings suggest {options[0]} or else {thought} {thought}",
            "no_answer",
            "",
            "No answer was found: there is no answer tag.",
            -1.0,
        )
    if 0.45 < share < 0.62:
        text = f"<think>The answer is {letter}.</think>{answer}"
    elif 0.62 <= share < 0.78:
        text = f"{thought.capitalize()}\n<think></think>\n{answer}"
    else:
        text = f"<think>The patient's picture: {thought}</think>{answer}"
    right = letter == gold
    return _episode(
        place,
        text,
        "correct" if right else "wrong",
        letter,
        f"The answer tag holds {letter}.",
        float(right),
    )


def written(chance: random.Random) -> dict[str, Any]:
    place = chance.randrange(len(QUESTIONS))
    gold = QUESTIONS[place][2]
    return _episode(
        place,
        f"<think></think><answer>{gold}</answer>",
        "correct",
        gold,
        f"The answer tag holds {gold}.",
        1.0,
    )


def _episode(
    place: int, text: str, outcome: str, answer: str, reason: str, reward: float
) -> dict[str, Any]:
    question, options, gold, _ = QUESTIONS[place]
    lines = "\n".join(f"{'ABCD'[i]}. {option}" for i, option in enumerate(options))
    return {
        "case_id": f"train-0-{place}",
        "prompt": f"User: {question}\n{lines}\nReason in <think></think>, then give the letter in "
        "<answer></answer>.\nAssistant:",
        "text": text,
        "gold": gold,
        "options": list(options),
        "outcome": outcome,
        "answer": answer,
        "reason": reason,
        "reward": reward,
        "terms": {"rule": reward},
        "stop": "end" if answer else "length",
        "tokens": len(text) // 4,
    }
