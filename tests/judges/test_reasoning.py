"""The four aspects of reasoning on planted text, by hand."""

from __future__ import annotations

import pytest

from medrl.cases.case import Reference
from medrl.grading import Grader
from medrl.judges import RUBRICS, Failure, Judgement, JudgeSpec, Question, build_judge
from medrl.judges.reasoning import (
    Aspects,
    aspects,
    chain,
    findings_of,
    named_share,
    repeated_share,
    substantial,
)

LUNG = Reference("option", "A", ("pneumonia", "heart failure", "gout", "normal"))
FINDINGS = ["consolidation in the right lower lobe", "no pleural effusion"]
GOOD = (
    "There is consolidation in the right lower lobe on the frontal view. No pleural effusion is "
    "seen, and the heart has a normal size. Therefore this is pneumonia."
)


def test_findings_are_parted_by_semicolons() -> None:
    assert findings_of(" opacity ;; no effusion; . ") == ["opacity", "no effusion"]
    assert findings_of("") == []


@pytest.mark.parametrize(
    ("reasoning", "share"),
    [
        (GOOD, 1.0),
        ("Right lower lobe consolidations without pleural effusion.", 1.0),
        ("Consolidation in the right lower lobe.", 0.5),
        ("Consolidation in the left lower lobe.", 0.0),  # another side
        ("No consolidation in the right lower lobe. No pleural effusion.", 0.5),  # denied
        ("Consolidation in the right lower lobe and a pleural effusion.", 0.5),
        ("A pleural effusion? No pleural effusion.", 0.5),  # what is said last
        ("Left consolidation, right lower lobe clear.", 0.0),  # words of two clauses
        ("Airspace disease at the right base.", 0.0),  # synonyms are not seen
        ("", 0.0),
    ],
)
def test_findings_must_be_named_as_they_are(reasoning: str, share: float) -> None:
    assert named_share(reasoning, FINDINGS) == share


@pytest.mark.parametrize(
    ("reasoning", "answer", "value"),
    [
        (GOOD, "A", 1.0),
        ("Consolidation in the right lower lobe. Pneumonia.", "A", 1.0),
        ("Consolidation in the right lower lobe, so pneumonia.", "A", 1.0),
        ("Consolidation in the right lower lobe suggests an infection.", "A", 0.5),
        ("Consolidation in the right lower lobe, so heart failure.", "A", 0.5),
        ("Consolidation in the right lower lobe.", "A", 0.0),
        ("Pneumonia because of consolidation in the right lower lobe.", "A", 0.0),
        ("Pneumonia. There is consolidation in the right lower lobe.", "A", 0.0),
        ("A shadow, therefore pneumonia.", "A", 0.0),  # no finding of the case comes first
        ("Consolidation in the right lower lobe, so not pneumonia.", "A", 0.5),
    ],
)
def test_a_chain_goes_from_a_finding_to_the_answer(
    reasoning: str, answer: str, value: float
) -> None:
    assert chain(reasoning, FINDINGS, answer, LUNG) == value


def test_chains_of_open_and_of_yes_no_questions() -> None:
    reasoning = "The right angle is blunt. This means fluid: a pleural effusion."
    findings = ["blunt right angle"]
    assert chain(reasoning, findings, "pleural effusion", Reference("phrase", "x")) == 1.0
    yes_no = Reference("label", "yes", ("yes", "no"))
    asked = "Is there a pleural effusion?"
    assert chain(reasoning, findings, "yes", yes_no, asked) == 1.0
    assert chain(reasoning, findings, "no", yes_no, asked) == 0.5


def test_repeated_n_grams_by_hand() -> None:
    # abcdabcd: abcd bcda cdab dabc abcd, one of five stood there before
    assert repeated_share(list("abcdabcd")) == pytest.approx(1 / 5)
    assert repeated_share(list("aaaaaaaa")) == pytest.approx(4 / 5)
    assert repeated_share(list("abcdefgh")) == 0
    assert repeated_share(list("abc")) == 0
    # m different words, said twice: 2m - 3 four-grams, m of them different
    assert repeated_share([*range(20)] * 2) == pytest.approx(17 / 37)


@pytest.mark.parametrize(
    ("reasoning", "least", "enough"),
    [
        (GOOD, 20, True),
        (GOOD, 60, False),
        ("One long sentence " + " ".join(f"word{i}" for i in range(40)), 20, False),
        ("It is so because I say so. " * 8, 20, False),  # a loop
        ("Short. Very short.", 20, False),
        ("Short. Very short.", 3, True),
        ("", 1, False),
    ],
)
def test_trivial_reasoning(reasoning: str, least: int, enough: bool) -> None:
    assert substantial(reasoning, least) is enough


def test_the_aspects_together() -> None:
    assert aspects(GOOD, FINDINGS, "A. pneumonia", LUNG) == Aspects(1, 1, 1, 1)
    assert aspects(GOOD, FINDINGS, "B", LUNG) == Aspects(1, 0.5, 0, 1)
    assert aspects("Hm.", FINDINGS, "B", LUNG) == Aspects(0, 0, 1, 0)
    assert str(aspects(GOOD, FINDINGS, "B", LUNG)) == (
        "findings 1, chain 0.5, agreement 0, substance 1"
    )


def ask(
    rubric: str, spec: dict[str, object], reference: Reference = LUNG, **texts: str
) -> Judgement:
    judge = build_judge(JudgeSpec.model_validate({"kind": "rule", **spec}), Grader())
    [judged] = judge.ask([Question(RUBRICS[rubric], texts, reference)])
    return judged


def test_the_rule_gives_points_from_0_to_10() -> None:
    shown = {"findings": "; ".join(FINDINGS), "reasoning": GOOD}
    assert ask("reasoning", {"rule": "reasoning"}, **shown, answer="A").value == 10
    judged = ask("reasoning", {"rule": "reasoning"}, **shown, answer="B")
    assert judged.value == 10 * (1 + 0.5 + 0 + 1) / 4
    assert judged.reason == "findings 1, chain 0.5, agreement 0, substance 1"
    judged = ask("reasoning", {"rule": "reasoning", "least_words": 60}, **shown, answer="A")
    assert judged.value == 7.5


@pytest.mark.parametrize(
    ("reasoning", "answer", "threshold", "value"),
    [
        (GOOD, "A", 1.0, 1),
        (GOOD, "B", 0.5, 0),  # does not fit the answer
        ("Consolidation in the right lower lobe. Pneumonia.", "A", 0.5, 1),
        ("Consolidation in the right lower lobe. Pneumonia.", "A", 0.6, 0),
        ("Consolidation in the left lower lobe. Pneumonia.", "A", 0.5, 0),
        ("Consolidation in the right lower lobe.", "A", 0.5, 1),  # comes to nothing else
    ],
)
def test_soundness_by_findings(reasoning: str, answer: str, threshold: float, value: int) -> None:
    shown = {"findings": "; ".join(FINDINGS), "reasoning": reasoning, "answer": answer}
    judged = ask("soundness", {"rule": "findings", "threshold": threshold}, **shown)
    assert (judged.value, judged.label) == (value, "yes" if value else "no")


@pytest.mark.parametrize(
    ("rubric", "rule"), [("reasoning", "reasoning"), ("soundness", "findings")]
)
def test_what_the_rules_cannot_judge_is_a_failure(rubric: str, rule: str) -> None:
    judged = ask(rubric, {"rule": rule}, reasoning=GOOD, answer="A")
    assert judged.failure is Failure.NOT_APPLICABLE and "no findings" in judged.reason
    report = Reference("report", "x")
    judged = ask(rubric, {"rule": rule}, report, findings="a", reasoning=GOOD, answer="A")
    assert judged.failure is Failure.NOT_APPLICABLE and "report" in judged.reason
