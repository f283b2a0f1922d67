"""What auditors keep, drop and rewrite, and what is written down of it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from medrl.cases.auditing import Decision, Finding, JudgeAuditor, RuleAuditor, audit
from medrl.cases.case import Case, Provenance, Reference
from medrl.judges import Failure, Judgement, Question, RuleJudge
from tests.tiny import case


def asked(question: str, answer: str, name: str = "q") -> Case:
    return Case(name, question, Reference("phrase", answer), Provenance("toy", "toy.json", 3))


@pytest.mark.parametrize(
    ("question", "answer", "decision", "after"),
    [
        ("What is seen?", "pneumonia", "keep", ("phrase", "pneumonia")),
        ("What is seen?", " ", "drop", None),
        ("What is seen?", "?", "drop", None),
        ("What is seen?", "one two three four five six seven", "drop", None),
        ("What is seen?", "gout; pneumonia", "drop", None),
        ("What is seen?", "gout or pneumonia", "drop", None),
        ("What is seen?", "gout\npneumonia", "drop", None),
        ("What is seen?", "CT; ct", "rewrite", ("phrase", "CT")),
        ("What is seen?", "gout and pneumonia", "keep", ("phrase", "gout and pneumonia")),
        ("What is seen?", "and/or", "keep", ("phrase", "and/or")),
        ("What is seen?", "yes", "drop", None),
        ("What is seen?", "No.", "drop", None),
        ("What is seen?", "no effusion", "keep", ("phrase", "no effusion")),
        ("Is there an effusion?", "yes", "rewrite", ("label", "yes")),
        ("Is there an effusion?", "No, it is clear", "rewrite", ("label", "no")),
        ("Is there an effusion?", "left lung", "drop", None),
        ("A chest film. Are the lungs clear?", "Yes", "rewrite", ("label", "yes")),
        ("Is it on the left or on the right?", "left", "keep", ("phrase", "left")),
        ("Is it on the left or on the right?", "yes", "drop", None),
        ("Where is the left effusion?", "left", "drop", None),
        ("Where is the leftover?", "left", "keep", ("phrase", "left")),
        ("How large is it?", "large", "keep", ("phrase", "large")),
        ("How large is the large one?", "large", "drop", None),
        ("How is the large one?", "large", "drop", None),
    ],
)
def test_the_rules(
    question: str, answer: str, decision: Decision, after: tuple[str, str] | None
) -> None:
    [found] = RuleAuditor(longest=6).audit([asked(question, answer)])
    assert found.decision == decision
    assert (found.reason == "") == (decision == "keep")
    if after is None:
        assert found.case is None
    else:
        assert found.case is not None
        assert (found.case.reference.kind, found.case.reference.value) == after
        assert found.case.question == question


def test_every_decision_is_written_down() -> None:
    closed = case("B", name="closed")
    cases = [
        asked("What is seen?", "gout", "a"),
        closed,
        asked("What is seen?", "gout; flu", "b"),
        asked("Is it gout?", "yes", "c"),
    ]
    log = io.StringIO()
    left = audit(cases, [RuleAuditor()], log)
    assert [c.id for c in left] == ["a", "closed", "c"]
    assert left[:2] == cases[:2]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["id"], line["decision"]) for line in lines] == [
        ("a", "keep"), ("b", "drop"), ("c", "rewrite")
    ]  # fmt: skip
    assert lines[2] == {
        "id": "c",
        "source": "toy.json:3",
        "auditor": "RuleAuditor",
        "decision": "rewrite",
        "reason": "a yes/no question",
        "before": {"question": "Is it gout?", "kind": "phrase", "answer": "yes"},
        "after": {"question": "Is it gout?", "kind": "label", "answer": "yes"},
    }
    assert lines[1]["after"] is None


def judge(*said: str) -> RuleJudge:
    turn = iter(said)

    def rule(question: Question) -> Judgement:
        label = next(turn)
        if label == "fail":
            return Judgement.failed(Failure.TIMEOUT, "too slow")
        return Judgement(question.rubric.labels[label], f"{label} it", label=label)

    return RuleJudge(rule)


def test_a_judge_keeps_and_drops_and_its_failures_keep() -> None:
    cases = [asked("What?", answer, answer) for answer in ("gout", "flu", "asthma")]
    log = io.StringIO()
    left = audit(cases, [JudgeAuditor(judge("keep", "drop", "fail"))], log)
    assert [c.id for c in left] == ["gout", "asthma"]
    reasons = [json.loads(line)["reason"] for line in log.getvalue().splitlines()]
    assert reasons == ["keep it", "drop it", "not judged: timeout: too slow"]


def test_auditors_come_one_after_the_other() -> None:
    cases = [
        asked("What is seen?", "", "empty"),
        asked("Is it gout?", "yes", "closed now"),
        asked("What?", "flu", "open"),
    ]
    second = judge("keep")  # only one case is left for it
    left = audit(cases, [RuleAuditor(), JudgeAuditor(second)], io.StringIO())
    assert [c.id for c in left] == ["closed now", "open"]
    assert second.total.asked == 1


def test_an_auditor_may_rewrite_questions() -> None:
    class Mender:
        def audit(self, cases: Sequence[Case]) -> list[Finding]:
            return [Finding("rewrite", replace(c, question="Which organ?"), "vague") for c in cases]

    [left] = audit([asked("What?", "liver")], [Mender()], io.StringIO())
    assert left.question == "Which organ?"


def test_an_auditor_that_loses_cases_is_a_bug() -> None:
    class Loser:
        def audit(self, cases: Sequence[Case]) -> list[Finding]:
            return []

    with pytest.raises(ValueError, match="0 findings for 1 cases"):
        audit([asked("What?", "liver")], [Loser()], io.StringIO())
