"""Reward terms that ask judges: values by hand, and failures that are never paid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from medrl.cases.case import Case, Provenance, Reference
from medrl.errors import JudgeError
from medrl.grading import Grader
from medrl.judges import RUBRICS, Counts, Failure, Judgement, Question, RuleJudge
from medrl.judges.model import ModelJudge
from medrl.learning.policy import Policy, load_policy
from medrl.prompt import Prompt
from medrl.rewards.judged import GenerativeVerifier, Judged, Steps, texts_of
from medrl.rewards.reward import AnyTerm, Reward, RewardSpec
from medrl.rewards.term import Answer, RewardContext, Term, TermSpec
from medrl.schema import ModelSpec
from tests.judges.models import save_roomy
from tests.judges.server import Body, Handler, JudgeServer, honest, part_of, said, status
from tests.tiny import case

TERM: TypeAdapter[TermSpec] = TypeAdapter(AnyTerm)
GRADER = Grader()


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    from tests.tiny import save_tiny

    return load_policy(ModelSpec(path=str(save_tiny("qwen2", tmp_path_factory.mktemp("policy")))))


@pytest.fixture(scope="module")
def context(policy: Policy) -> RewardContext:
    return RewardContext(policy, GRADER)


def answer(text: str, of: Case | None = None, prompt: str = "Q?", group: int = 0) -> Answer:
    of = of or case("B")
    return Answer(of, Prompt(prompt, (1,)), text, (2,), GRADER.grade(text, of.reference), group)


def term(context: RewardContext, **spec: Any) -> Term:
    return TERM.validate_python(spec).build(context)


def values(term: Term, *answers: Answer) -> list[float | None]:
    return [score.value for score in term.score(answers)]


def rule(*verdicts: float | None) -> RuleJudge:
    """Gives the verdicts in turn; none: it fails."""
    turn = iter(verdicts)

    def judge(question: Question) -> Judgement:
        verdict = next(turn)
        if verdict is None:
            return Judgement.failed(Failure.NOT_APPLICABLE, "cannot tell")
        return Judgement(verdict, "so it is")

    return RuleJudge(judge)


RULE = {"kind": "rule", "rule": "grader"}
RIGHT = "<think>sugar is high</think><answer>B</answer>"
WRONG = "<think>sugar is high</think><answer>A</answer>"
NONE = "<think>sugar is high</think><answer>A or B</answer>"


def test_a_judge_sees_these_texts() -> None:
    texts = texts_of(answer(WRONG, case("B", context="Abstract.", question="Why?")))
    assert texts == {
        "question": "Abstract.\nWhy?",
        "options": "A. aspirin\nB. insulin\nC. surgery\nD. rest",
        "reference": "B. insulin",
        "findings": "",
        "reasoning": "sugar is high",
        "answer": "A. aspirin",
        "reply": WRONG,
    }
    dose = Case("d", "How much?", Reference("number", "12.5", unit="mg"), Provenance("toy"))
    texts = texts_of(answer("<answer>13 mg</answer>", dose))
    assert (texts["reference"], texts["answer"], texts["options"]) == ("12.5 mg", "13 mg", "")


def test_judge_pays_what_the_judge_says(context: RewardContext) -> None:
    spec = {"term": "judge", "rubric": "equivalence", "judge": RULE}
    judged = term(context, **spec)
    assert (judged.low, judged.high) == (0, 1)
    assert values(judged, answer(RIGHT), answer(WRONG), answer(RIGHT)) == [1, 0, 1]


def test_judge_has_the_range_of_its_rubric(context: RewardContext) -> None:
    own = {"name": "own", "task": "?", "parts": ["reply"], "low": -2, "high": 10}
    spec = {"kind": "endpoint", "model": "m", "url": "http://127.0.0.1:1"}
    judged = term(context, term="judge", rubric=own, judge=spec)
    assert (judged.low, judged.high) == (-2, 10)


def test_a_failed_judgement_has_no_value() -> None:
    judged = Judged(rule(1.0, None, 0.0), RUBRICS["equivalence"])
    scores = judged.score([answer(RIGHT)] * 3)
    assert [s.value for s in scores] == [1, None, 0]
    assert scores[1].reason == "not_applicable: cannot tell"
    assert judged.judge.last.failed == {"not_applicable": 1}


def test_no_answer_and_no_reasoning_are_not_worth_a_question() -> None:
    judge = rule(1.0)
    judged = Judged(judge, RUBRICS["consistency"])
    bare = answer("<think></think><answer>B</answer>")
    assert values(judged, answer(NONE), bare, answer(RIGHT)) == [0, 0, 1]
    assert judge.last.asked == 1


def test_a_dead_endpoint_leaves_answers_unpaid(policy: Policy) -> None:
    server = JudgeServer(status(500))
    spec = RewardSpec.model_validate(
        {
            "malformed": -1.0,
            "terms": [
                {"term": "correct"},
                {
                    "term": "judge",
                    "rubric": "consistency",
                    "weight": 0.5,
                    "judge": {"kind": "endpoint", "model": "m", "url": server.url, "retries": 0},
                },
            ],
        }
    )
    reward = Reward(spec, RewardContext(policy, GRADER))
    assert (reward.low, reward.high) == (-1, 1.5)
    paid = reward.pay([answer(RIGHT), answer("malformed"), answer(NONE)])
    assert [p.value for p in paid] == [None, -1.0, 0.0]  # the gate and an empty answer still hold
    assert paid[0].failure == "judge: server: HTTP 500"
    assert paid[0].terms == {"correct": 1.0}

    server.behaviour = honest(verdict="yes")
    assert [p.value for p in reward.pay([answer(RIGHT), answer(WRONG)])] == [1.5, 0.5]
    server.stop()


def test_decision_consistency_never_sees_the_gold(context: RewardContext) -> None:
    """The judge is shown options, reasoning and answer; neither question nor reference."""
    server = JudgeServer(honest(verdict="no"))
    judge = {"kind": "endpoint", "model": "m", "url": server.url}
    hidden = case("C", question="Which of them?")
    term(context, term="judge", rubric="consistency", judge=judge).score([answer(RIGHT, hidden)])
    server.stop()
    [body] = server.bodies
    assert part_of(body, "answer") == "B. insulin"
    assert part_of(body, "options").count("\n") == 3
    shown = body["messages"][1]["content"]
    assert shown.count("surgery") == 1  # as an option only
    assert "Which of them?" not in shown


def test_soft_verifier_is_the_models_own_probability(
    context: RewardContext, tmp_path: Path
) -> None:
    folder = save_roomy("llama", tmp_path)
    judge = {"kind": "model", "model": str(folder), "least_mass": 0.0}
    soft = term(context, term="soft_verifier", judge=judge)
    assert isinstance(soft, Judged) and isinstance(soft.judge, ModelJudge)
    given = values(soft, answer(RIGHT), answer(WRONG), answer(NONE))
    asked = [Question(RUBRICS["verifier"], texts_of(answer(text))) for text in (RIGHT, WRONG)]
    assert given == [soft.judge.ask([q])[0].value for q in asked] + [0.0]
    assert given[0] != given[1]
    assert all(v is not None and 0 < v < 1 for v in given[:2])


def phrase(value: str) -> Case:
    return Case("p", "What is it?", Reference("phrase", value), Provenance("toy"))


@pytest.mark.parametrize("extra", [0, 1, 3, 9, 10, 11, 40])
def test_generative_verifier_by_hand(extra: int) -> None:
    """1 - 0.05 min(|difference in length|, 10), both ways; tokens are words here."""
    short, long = "gout", "gout" + " x" * extra

    def words(text: str) -> int:
        return len(text.split())

    wanted = 1 - 0.05 * min(extra, 10)
    for final, gold in ((short, long), (long, short)):
        reply = f"<think>{'so ' * 50}</think><answer>{final}</answer>"
        paid = values(GenerativeVerifier(rule(1.0), words), answer(reply, phrase(gold)))
        assert paid == [pytest.approx(wanted)]
        assert values(GenerativeVerifier(rule(0.0), words), answer(reply, phrase(gold))) == [0]


def test_generative_verifier_counts_the_policys_tokens(context: RewardContext) -> None:
    verifier = term(context, term="generative_verifier", judge=RULE)
    gout = phrase("acute gout")
    given = values(
        verifier,
        answer("<think>x</think><answer>Acute gout</answer>", gout),
        answer("<think>x</think><answer>gout of the toe</answer>", gout),
        answer("<think>x</think>", gout),
    )
    tokens = context.policy.encode
    apart = abs(len(tokens("Acute gout")) - len(tokens("acute gout")))
    assert given == [pytest.approx(1 - 0.05 * min(apart, 10)), 0, -0.5]


def test_generative_verifier_does_not_guess() -> None:
    verifier = GenerativeVerifier(rule(None), len)
    assert values(verifier, answer(RIGHT), answer(NONE)) == [None, -0.5]


@given(st.floats(0, 1), st.text(min_size=1), st.text(min_size=1))
def test_generative_verifier_stays_in_its_range(judged: float, given: str, gold: str) -> None:
    verifier = GenerativeVerifier(rule(judged), len)
    [value] = values(verifier, answer(f"<answer>{given}</answer>", phrase(gold)))
    assert value is not None
    assert verifier.low <= value <= verifier.high
    assert value in (-0.5, 0) or 0.5 <= value <= 1


KNOWN = {"findings": "fever; cough; infiltrate on the left", "rationale": "sugar is high"}


def thinking(steps: Sequence[str], **more: Any) -> Answer:
    text = "<think>" + "\n".join(steps) + "</think><answer>B</answer>"
    return answer(text, case("B", **({"tags": KNOWN} | more)))


def test_steps_by_hand() -> None:
    judge = rule(1.0, 0.0, 1.0, 1.0, 0.0, 0.4, 0.5)
    steps = Steps(judge, "findings")
    four, none, three = thinking("abcd"), thinking([]), thinking("xyz")
    assert values(steps, four, none, three) == [3 / 4, 0, 1 / 3]
    assert judge.last.asked == 7


def test_a_step_that_cannot_be_judged_leaves_no_value() -> None:
    scores = Steps(rule(1.0, None, 1.0), "findings").score([thinking("ab"), thinking("c")])
    assert [s.value for s in scores] == [None, 1]
    assert scores[0].reason == "1 of 2 steps: not_applicable: cannot tell"


def test_a_case_without_findings_is_named_and_not_asked_about() -> None:
    judge = rule()
    [score] = Steps(judge, "findings").score([thinking("ab", tags={})])
    assert score.value is None
    assert "toy has no findings" in score.reason
    assert judge.last.asked == 0


def test_steps_against_findings_or_rationale(context: RewardContext) -> None:
    overlap = {"kind": "rule", "rule": "overlap"}
    reply = thinking(["The sugar is high.", "There is fever with cough.", "It is a fracture."])
    for tag, share in (("findings", 1 / 3), ("rationale", 1 / 3)):
        steps = term(context, term="steps", judge=overlap, tag=tag)
        assert values(steps, reply) == [pytest.approx(share)]


def test_a_judge_is_shown_one_step_and_the_findings(context: RewardContext) -> None:
    def behave(handler: Handler, body: Body) -> None:
        there = part_of(body, "step") in part_of(body, "findings")
        handler.reply(said(body, verdict="yes" if there else "no"))

    server = JudgeServer(behave)
    judge = {"kind": "endpoint", "model": "m", "url": server.url}
    steps = term(context, term="steps", judge=judge)
    assert values(steps, thinking(["fever", "cough", "rash"]), thinking(["fever"])) == [2 / 3, 1]
    server.stop()
    assert len(server.bodies) == 3  # fever was asked about once
    assert isinstance(steps, Steps)
    assert steps.judge.last == Counts(
        asked=4,
        cached=1,
        requests=3,
        prompt_tokens=300,
        completion_tokens=21,
        seconds=steps.judge.last.seconds,
    )


def test_a_missing_key_is_known_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    judge = {"kind": "endpoint", "model": "m", "url": "http://127.0.0.1:1"}
    spec = TERM.validate_python(
        {"term": "judge", "rubric": "consistency", "judge": judge | {"api_key_env": "NO_SUCH_KEY"}}
    )
    with pytest.raises(JudgeError, match="NO_SUCH_KEY"):
        spec.check()


def test_a_term_names_the_model_it_loads() -> None:
    spec = {"term": "soft_verifier", "judge": {"kind": "model", "model": "stage:verifier"}}
    assert TERM.validate_python(spec).model == "stage:verifier"
    spec = {"term": "generative_verifier", "judge": RULE}
    assert TERM.validate_python(spec).model is None
