"""Judges that are rules."""

from __future__ import annotations

import pytest

from medrl.cases.case import Reference
from medrl.grading import Grader
from medrl.judges import RUBRICS, Failure, Judgement, JudgeSpec, Question, Rubric, RuleJudge
from medrl.judges.build import build_judge
from tests.judges.asking import SCORE, question

OPTIONS = Reference("option", "B", ("aspirin", "insulin", "surgery", "rest"))
NUMBER = Reference("number", "12.5", unit="mg", tolerance=0.05)


def ask(spec: dict[str, object], *asked: Question) -> list[Judgement]:
    return build_judge(JudgeSpec.model_validate({"kind": "rule", **spec}), Grader()).ask(asked)


def about(rubric: str, reference: Reference | None = None, **texts: str) -> Question:
    return Question(RUBRICS[rubric], texts, reference)


@pytest.mark.parametrize("rubric", ["equivalence", "verifier"])
def test_the_grader_as_a_judge(rubric: str) -> None:
    right, wrong, none = ask(
        {"rule": "grader"},
        about(rubric, OPTIONS, reply="<think>it is A</think><answer>B</answer>"),
        about(rubric, OPTIONS, reply="<answer>A</answer>"),
        about(rubric, OPTIONS, reply="who knows"),
    )
    assert (right.value, wrong.value, none.value) == (1, 0, 0)
    assert right.label == {"equivalence": "yes", "verifier": "1"}[rubric]
    assert wrong.reason


def test_the_grader_does_not_judge_reports() -> None:
    [judged] = ask({"rule": "grader"}, about("equivalence", Reference("report", "x"), reply="y"))
    assert judged.failure is Failure.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("reasoning", "answer", "value"),
    [
        ("The sugar is high, so the answer is B.", "B", 1),
        ("The sugar is high, so the answer is B.", "B. insulin", 1),
        ("The sugar is high, so the answer is B.", "A", 0),
        ("The answer is A, which is wrong but what I conclude.", "A", 1),
        ("It could be anything.", "B", 0),
        ("The answer is A or B.", "B", 0),
        ("", "B", 0),
    ],
)
def test_reasoning_implies_its_answer_or_not(reasoning: str, answer: str, value: int) -> None:
    [judged] = ask(
        {"rule": "implied"}, about("consistency", OPTIONS, reasoning=reasoning, answer=answer)
    )
    assert judged.value == value


@pytest.mark.parametrize(
    ("reasoning", "answer", "value"),
    [
        ("25 mg / 2 = 12.5 mg. The dose is 12.5 mg.", "12.5", 1),
        ("So the answer is 12.5 mg.", "40 mg", 0),
        ("So the answer is 1,200 mg.", "1,200 mg", 1),
        ("So the answer is 1,200 mg.", "1.2 g", 1),
        ("So the answer is 0.0125 g.", "12.5", 0),  # without a unit, it is in that of the reasoning
    ],
)
def test_reasoning_implies_a_number(reasoning: str, answer: str, value: int) -> None:
    [judged] = ask(
        {"rule": "implied"}, about("consistency", NUMBER, reasoning=reasoning, answer=answer)
    )
    assert judged.value == value


def test_phrases_and_yes_no_are_implied_too() -> None:
    [phrase] = ask(
        {"rule": "implied"},
        about("consistency", Reference("phrase", "y"), reasoning="So gout.", answer="gout"),
    )
    [label] = ask(
        {"rule": "implied"},
        about(
            "consistency",
            Reference("label", "no", ("yes", "no")),
            question="Is there a nodule?",
            reasoning="A nodule is seen.",
            answer="yes",
        ),
    )
    assert (phrase.value, label.value) == (1, 1)


def test_what_a_report_implies_takes_a_model() -> None:
    asked = about("consistency", Reference("report", "x"), reasoning="so x", answer="x")
    assert ask({"rule": "implied"}, asked)[0].failure is Failure.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("step", "threshold", "value"),
    [
        ("There is fever and a dry cough.", 0.6, 1),  # fever and cough of fever, dry, cough
        ("There is fever and a dry cough.", 0.7, 0),
        ("Crepitations are heard over the left lung.", 0.6, 0),
        ("Fever!", 1.0, 1),
        ("It is so.", 0.0, 0),  # nothing in it to support
    ],
)
def test_a_step_is_supported_by_its_words(step: str, threshold: float, value: int) -> None:
    findings = "Fever of 39; productive cough; clear lungs"
    [judged] = ask(
        {"rule": "overlap", "threshold": threshold},
        about("step_support", findings=findings, step=step),
    )
    assert judged.value == value


def test_keywords_are_whole_phrases_in_normal_form() -> None:
    keywords = ["ST elevation", "troponin", "aspirin", "age"]
    [judged] = ask(
        {"rule": "keywords", "keywords": keywords},
        about("reasoning_quality", reasoning="ST-elevation and TROPONIN; at this stage: aspirins"),
    )
    assert judged.value == 2 / 4


def test_rules_of_ones_own_are_held_to_the_rubric() -> None:
    judge = RuleJudge(lambda q: Judgement(len(q.texts["answer"]) / 10))
    assert [j.value for j in judge.ask([question("abc", SCORE), question("", SCORE)])] == [0.3, 0]
    assert judge.last.asked == judge.total.asked == 2
    with pytest.raises(ValueError, match="outside of the range 0 to 1 of rubric score"):
        judge.ask([question("twelve chars", SCORE)])


def test_a_judgement_is_a_value_or_a_failure() -> None:
    for value, failure in ((None, None), (1.0, Failure.CUT)):
        with pytest.raises(ValueError, match="either"):
            Judgement(value, "", failure)


def test_shipped_rubrics_do_not_show_the_gold_where_it_must_not_be_seen() -> None:
    shows = {name: set(rubric.parts) for name, rubric in RUBRICS.items()}
    hidden = ("consistency", "reasoning_quality", "reasoning", "soundness")
    assert all("reference" not in shows[n] for n in hidden)
    assert all("reference" in shows[n] for n in ("equivalence", "verifier"))
    assert all(isinstance(rubric, Rubric) and rubric.low == 0 for rubric in RUBRICS.values())
    assert {name: rubric.high for name, rubric in RUBRICS.items() if rubric.high != 1} == {
        "reasoning": 10
    }
