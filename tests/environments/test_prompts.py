"""How a case becomes text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medrl.cases.case import Reference
from medrl.environments.prompts import TEMPLATES, option_lines, render
from medrl.errors import RecipeError
from tests.tiny import case


def test_options_are_lettered_in_order() -> None:
    assert option_lines(("rest", "insulin")) == "A. rest\nB. insulin"
    assert option_lines(()) == ""


@pytest.mark.parametrize("name", sorted(TEMPLATES.keys() - {"verify"}))
def test_every_template_shows_the_question_and_all_options(name: str) -> None:
    text = render(case(question="What helps?"), name)
    assert "What helps?\nA. aspirin\nB. insulin\nC. surgery\nD. rest\n" in text
    if name != "boxed-question":  # for a chat template, which makes the frame
        assert text.startswith("User: ") and text.endswith("Assistant:")


def test_templates_ask_for_the_format_their_grader_reads() -> None:
    assert "<think></think>" in render(case(), "think-answer")
    assert "<think>" not in render(case(), "answer-only")
    for name in ("boxed", "boxed-question"):
        assert r"\boxed{}" in render(case(), name)


def test_context_comes_before_the_question() -> None:
    read = replace(case(question="Does it help?"), context="An abstract.")
    assert render(read, "Q: {question}") == "Q: An abstract.\nDoes it help?"


def test_braces_in_a_question_are_text() -> None:
    assert render(case(question="Is {options} a {set}?"), "{question}") == "Is {options} a {set}?"


def test_a_template_that_is_neither_name_nor_text_is_refused() -> None:
    with pytest.raises(RecipeError, match="'think-anser' is not known") as refused:
        render(case(), "think-anser")
    assert "think-answer" in refused.value.fix


@pytest.mark.parametrize("template", ["{question} {option}", "{question} {", "{question} {0}"])
def test_a_template_with_an_unknown_place_is_refused(template: str) -> None:
    with pytest.raises(RecipeError, match="prompt template"):
        render(case(), template)


@pytest.mark.parametrize(
    "template", ["Q: {question}\n{options}\nA:", "A: ...\n{question}\n{options}"]
)
def test_no_options_leave_no_empty_line(template: str) -> None:
    phrase = replace(case(), reference=Reference("phrase", "rest"))
    assert render(phrase, template).splitlines() == [
        line.format(question="What helps?") for line in template.splitlines() if "opt" not in line
    ]


def test_the_control_without_reasoning_works_for_open_answers() -> None:
    for reference in (Reference("phrase", "rest"), Reference("report", "Clear lungs.")):
        assert render(replace(case(), reference=reference), "answer-only") == (
            "User: What helps?\nGive the answer in <answer></answer>.\nAssistant:"
        )
    label = replace(case(), reference=Reference("label", "yes", ("yes", "no")))
    assert "A. yes\nB. no\nGive the answer in <answer>" in render(label, "answer-only")


def test_what_is_asked_for_follows_the_kind_of_reference() -> None:
    number = replace(case(), reference=Reference("number", "12"))
    assert render(number, "answer-only") == (
        "User: What helps?\nGive the number in <answer></answer>.\nAssistant:"
    )
    phrase = replace(case(), reference=Reference("phrase", "rest"))
    assert "then give the answer in" in render(phrase, "think-answer")
    assert "The answer is rest. Why?" in render(phrase, "trace")
    assert "The answer is B. insulin. Why?" in render(case("B"), "trace")
    verified = "Question: What helps?\nReference: B. insulin\nAnswer:"
    assert render(case("B"), "verify") == verified
