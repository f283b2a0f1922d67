"""Prompt templates: how a case becomes the text a model reads."""

from __future__ import annotations

from medrl.cases.case import LETTERS, Case
from medrl.errors import RecipeError

TEMPLATES = {
    # Ours, in the shape Med-RLVR describes: a user/assistant frame for a base model, reasoning
    # asked for inside think tags and the option letter inside answer tags.
    "think-answer": (
        "User: {question}\n{options}\n"
        "Reason in <think></think>, then give the {form} in <answer></answer>.\n"
        "Assistant:"
    ),
    # The same question with no room for reasoning: the control that forces an answer at once.
    "answer-only": "User: {question}\n{options}\nGive the {form} in <answer></answer>.\nAssistant:",
    # AlphaMed's shape.
    "boxed": (
        "User: {question}\n{options}\n"
        "Think step by step and put the {form} in \\boxed{{}}.\nAssistant:"
    ),
    # The same for instruct models, whose chat template makes the frame.
    "boxed-question": (
        "{question}\n{options}\n\nThink step by step and put the {form} in \\boxed{{}}."
    ),
    # The question with its answer, to be explained (WiNGPT's thinking-trace model).
    "trace": "User: {question}\n{options}\nThe answer is {gold}. Why?\nAssistant:",
    # What a verifier reads; the answer to be verified follows.
    "verify": "Question: {question}\nReference: {gold}\nAnswer:",
}

FORMS = {"option": "letter", "number": "number"}
"""What is asked for, by kind of reference; anything else is an ``answer``."""


def option_lines(options: tuple[str, ...]) -> str:
    """One ``A. text`` line per option."""
    return "\n".join(f"{LETTERS[i]}. {text}" for i, text in enumerate(options))


def render(case: Case, template: str) -> str:
    """The prompt text of ``case``.

    Args:
        template: a name in ``TEMPLATES`` or a text with ``{question}`` and ``{options}``, and
            perhaps ``{form}`` (letter, number or answer) and ``{gold}`` (the right answer,
            an option with its letter). A case without options leaves no empty line for them.

    Raises:
        RecipeError: the template is neither a known name nor a text with just these places.
    """
    text = TEMPLATES.get(template, template)
    if "{question}" not in text:
        raise RecipeError(
            f"prompt template {template!r} is not known and has no {{question}} in it",
            f"use one of {', '.join(TEMPLATES)}, or a text with {{question}} and {{options}}",
        )
    reference = case.reference
    stem = f"{case.context}\n{case.question}" if case.context else case.question
    if not reference.options:
        text = text.replace("{options}\n", "").replace("\n{options}", "")
    gold = reference.value
    if reference.kind == "option":
        gold = f"{gold}. {reference.gold_text}"
    try:
        return text.format(
            question=stem,
            options=option_lines(reference.options),
            form=FORMS.get(reference.kind, "answer"),
            gold=gold,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise RecipeError(
            f"prompt template {template!r} cannot be filled in: {error}",
            "it has the places {question}, {options}, {form} and {gold}; write other braces twice: "
            "{{ }}",
        ) from error
