"""Pools of prompt templates that ask for the same in other words (RARL's diversity prompting).

A recipe names one as ``prompt: pool:diverse``. The paper says that prompts were varied, not how;
templates, sizes and the draw are ours. ``unseen`` shares no template with ``diverse``: it tells
whether a model learnt the task or one wording of it.
"""

from __future__ import annotations

from medrl.errors import RecipeError
from medrl.run.seeding import derive_seed

PREFIX = "pool:"

_DIVERSE = (
    "{question}\n{options}\nReason in <think></think>, then give the {form} in <answer></answer>.",
    "You are a physician.\n{question}\n{options}\n"
    "Write your thoughts inside <think></think> and the {form} you decide on inside "
    "<answer></answer>.",
    "Think first, inside <think></think>. Then answer with the {form}, inside <answer></answer>."
    "\n{question}\n{options}\n",
    "{question}\n{options}\n"
    "What do you see, and what follows from it? Put this between <think> and </think>. "
    "Put only the {form} between <answer> and </answer>.",
    "Medical question:\n{question}\n{options}\n"
    "Work through it step by step in <think></think>. Close with the {form} in <answer></answer>.",
    "Format of the reply: <think>your reasoning</think><answer>the {form}</answer>\n"
    "{question}\n{options}\n",
    "A colleague asks for your opinion.\n{question}\n{options}\n"
    "Explain how you come to it in <think></think>; state the {form} in <answer></answer>.",
    "{question}\n{options}\n"
    "Name the findings, weigh them, conclude: all this belongs in <think></think>. "
    "The {form} belongs in <answer></answer>.",
    "As a specialist, solve this.\n{question}\n{options}\n"
    "Your reply has two parts: <think></think> with the reasoning and <answer></answer> with the "
    "{form}.",
    "{question}\n{options}\n"
    "Give the {form} in <answer></answer>, but not before you have reasoned in <think></think>.",
)
_UNSEEN = (
    "Consider this:\n{question}\n{options}\n"
    "Lay out your argument in <think></think> and report the {form} in <answer></answer>.",
    "You sit an oral examination. Talk the examiner through your reasoning in <think></think>, "
    "then name the {form} in <answer></answer>.\n{question}\n{options}\n",
    "{question}\n{options}\nFirst <think></think>: why. Then <answer></answer>: the {form}.",
    "Here is a case from the ward.\n{question}\n{options}\n"
    "Use <think></think> for your notes. What you enter in the chart, the {form} alone, stands in "
    "<answer></answer>.",
    "Reply in tags. {question}\n{options}\n"
    "<think></think> holds the way to the result, <answer></answer> holds the {form}.",
)


def _framed(templates: tuple[str, ...]) -> tuple[str, ...]:
    """In the user/assistant frame of a base model."""
    return tuple(f"User: {template.rstrip()}\nAssistant:" for template in templates)


POOLS: dict[str, tuple[str, ...]] = {
    "diverse": _framed(_DIVERSE),
    "unseen": _framed(_UNSEEN),
    # For instruct models, whose chat template makes the frame.
    "diverse-question": tuple(template.rstrip() for template in _DIVERSE),
    "unseen-question": tuple(template.rstrip() for template in _UNSEEN),
}
"""Pools by name. All ask for a think block and an answer block."""


def templates_of(prompt: str) -> tuple[str, ...]:
    """All templates that a recipe's ``prompt`` stands for: those of its pool, or itself.

    Raises:
        RecipeError: a pool that is not there.
    """
    if not prompt.startswith(PREFIX):
        return (prompt,)
    name = prompt.removeprefix(PREFIX)
    if name not in POOLS:
        raise RecipeError(
            f"prompt pool {name!r} is not known",
            f"use one of {', '.join(PREFIX + known for known in POOLS)}",
        )
    return POOLS[name]


def pick_template(prompt: str, case_id: str, step: int) -> str:
    """The template of a case at a step, drawn evenly from the pool that ``prompt`` names; a prompt
    that names none is its own template.

    All answers to a case at a step share it. The draw hangs on the arguments alone, so that a case
    is asked in the same words before and after training.

    Raises:
        RecipeError: a pool that is not there.
    """
    templates = templates_of(prompt)
    return templates[derive_seed(0, "template", case_id, step) % len(templates)]
