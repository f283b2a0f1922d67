"""The seven steps of a consultation, one after the other and in their order."""

from __future__ import annotations

from collections import Counter

import pytest

from medrl.environments.consultation import (
    EVENTS,
    ConsultationWorld,
    answer_block,
    ending_of,
    f1,
    repeats,
)
from medrl.environments.environment import Environment, World
from medrl.grading import Outcome
from medrl.patients import RulePatients
from tests.environments.acting import GRADER, ask, consult, diagnose, play
from tests.patients.cases import CASE, FACTS

PERFECT = diagnose("acute pyelonephritis.", "oral ciprofloxacin.")
BAD = "I would rather not say."


def rewards(*texts: str, answers: tuple[str | None, ...] = (), **limits: int) -> list[float]:
    environment, _ = consult(*answers, **limits)
    return [reply.reward for reply in play(environment, *texts)]


# ---- step 1: over is over -----------------------------------------------------------------


def test_after_the_end_nothing_is_paid_and_nothing_changes() -> None:
    environment, _ = consult()
    first, *rest = play(environment, PERFECT, PERFECT, BAD, ask("Any fever?"))
    assert (first.reward, first.over, first.event, first.text) == (10.0, True, "diagnosis", "")
    assert all((r.text, r.reward, r.event, r.over) == ("", 0.0, "", True) for r in rest)
    assert environment.measures()["turns"] == 1


# ---- step 2: format -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        BAD,
        "",
        "<answer>Question: Any fever?",
        "Question: Any fever?</answer>",
        "<answer>Question: Any fever?</answer> Thank you.",
        "<answer>Question: Any fever?</answer></answer>",
        "<answer>Question: Any fever?</answer><answer>Question: Any cough?</answer>",
        "<think></answer></think><answer>Question: Any fever?</answer>",
        # A diagnosis without its colon.
        "<answer>The Diagnosis is acute pyelonephritis</answer>",
        "<answer>Question: Is the Diagnosis known?</answer>",
    ],
)
def test_invalid_formats_cost_two_and_it_goes_on(text: str) -> None:
    environment, patient = consult()
    [reply] = play(environment, text)
    assert (reply.reward, reply.event, reply.over) == (-2.0, "invalid", False)
    assert reply.text.startswith("Invalid format.")
    assert reply.text.endswith("(turn 2/10; diagnosis and recommendation due)")
    assert patient.asked == []


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("<answer>x</answer>", "x"),
        ("no thoughts needed <answer>x</answer>\n", "x"),
        ("<think>an <answer> is due</think><answer>x</answer>", "x"),
        ("<answer></answer>", ""),
    ],
)
def test_formats_that_are_valid(text: str, block: str) -> None:
    assert answer_block(text) == block


def test_an_invalid_format_goes_on_past_the_budget_until_all_turns_are_used() -> None:
    environment, _ = consult(budget=2, most_turns=4)
    replies = play(environment, BAD, BAD, BAD, BAD)
    assert [r.reward for r in replies] == [-2.0] * 4
    assert [r.over for r in replies] == [False, False, False, True]
    assert environment.measures()["over_budget"] == 0


# ---- step 3: diagnosis --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (PERFECT, 10.0),
        (diagnose("Acute Pyelonephritis"), 5.0),
        (diagnose("pyelonephritis", "oral ciprofloxacin"), 5 * 2 / 3 + 5),
        (diagnose("acute pancreatitis", "rest"), 5 * 2 / 4),
        (diagnose("gout", "colchicine"), 0.0),
        ("<answer>Diagnosis:</answer>", 0.0),
        ("<answer>Diagnosis : gout Recommendation : oral rest</answer>", 2.5),
    ],
)
def test_a_diagnosis_is_scored_by_its_words_and_ends_it(text: str, score: float) -> None:
    environment, _ = consult()
    [reply] = play(environment, text)
    assert reply.reward == pytest.approx(score)
    assert reply.over and reply.event == "diagnosis"


def test_words_count_as_often_as_both_have_them() -> None:
    assert f1("fever fever cough", "fever cough cough pain") == pytest.approx(2 * 2 / 7)


def test_a_diagnosis_is_looked_for_before_the_budget_and_before_the_question_marks() -> None:
    assert rewards(PERFECT, budget=1) == [10.0]
    assert rewards(diagnose("gout? or lupus?", "rest")) == [0.0]
    # ... also after invalid turns have used the budget up.
    assert rewards(BAD, BAD, BAD, PERFECT, budget=2) == [-2.0, -2.0, -2.0, 10.0]


def test_the_parts_of_an_ending() -> None:
    assert ending_of("Diagnosis: a: b.\nRecommendation: c") == ("a: b.", "c")
    assert ending_of("Diagnosis: a") == ("a", "")
    assert ending_of("Recommendation: c, Diagnosis unknown") is None


def test_the_word_diagnosis_in_small_letters_is_part_of_a_question() -> None:
    assert rewards(ask("Did you get a diagnosis before?"), answers=("No.",)) == [1.0]


# ---- step 4: budget -----------------------------------------------------------------------


def test_a_question_on_the_last_turn_costs_five_and_ends_it() -> None:
    environment, patient = consult("No.", "No.", budget=2)
    replies = play(environment, ask("Any fever?"), ask("Any cough?"))
    assert [r.reward for r in replies] == [1.0, -5.0]
    assert [r.over for r in replies] == [False, True]
    assert replies[1].event == "over_budget"
    assert len(patient.asked) == 1
    assert environment.verdict().outcome is Outcome.NO_ANSWER


def test_the_budget_comes_before_the_number_of_questions_and_repeats() -> None:
    assert rewards(ask("Any fever? Any cough?"), budget=1) == [-5.0]
    fever = ask("Any fever?")
    assert rewards(fever, fever, answers=("No.",), budget=2) == [1.0, -5.0]


# ---- step 5: one question -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["Any fever? Any cough?", "Tell me more.", "Any fever?\uff1f", "??"]
)
def test_other_than_one_question_mark_costs_two(text: str) -> None:
    environment, patient = consult()
    [reply] = play(environment, ask(text))
    assert (reply.reward, reply.event, reply.over) == (-2.0, "several", False)
    assert reply.text.startswith("Ask one question at a time. (turn 2/10")
    assert patient.asked == []


def test_a_fullwidth_mark_counts_and_marks_in_thoughts_do_not() -> None:
    text = "<think>gout? lupus?</think><answer>Question: Any fever\uff1f</answer>"
    assert rewards(text, answers=("No.",)) == [1.0]


def test_the_number_of_questions_comes_before_repeats() -> None:
    environment, _ = consult("No.")
    play(environment, ask("Any fever?"), ask("Any fever? Any fever?"))
    assert environment.counts["several"] == 1 and environment.counts["repeated"] == 0


# ---- step 6: repeats ----------------------------------------------------------------------


def test_a_question_asked_before_costs_two_and_is_not_put_to_the_patient() -> None:
    environment, patient = consult("No.", None)
    texts = [ask("Any fever?"), ask("Do you have a fever?"), ask("Any pets?"), ask("Any pets?")]
    replies = play(environment, *texts)
    assert [r.reward for r in replies] == [1.0, -2.0, -1.0, -2.0]
    assert replies[1].event == "repeated"
    assert replies[1].text.startswith("You have asked this before. (turn 3/10")
    assert len(patient.asked) == 2


def test_questions_that_were_refused_do_not_count_as_asked() -> None:
    texts = [ask("Any fever? Any cough?"), ask("Any fever?")]
    assert rewards(*texts, answers=("No.",)) == [-2.0, 1.0]


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("Any pain in the left leg?", True),
        ("ANY PAIN, LEFT LEG", True),
        ("Any pain in the right leg?", False),
        ("Any pain?", False),
        ("And then?", False),
    ],
)
def test_what_repeats(question: str, same: bool) -> None:
    assert repeats(question, ["How are you?", "Do you have pain in your left leg?"]) == same


# ---- step 7: the patient ------------------------------------------------------------------


def test_answers_earn_one_and_unrelated_questions_cost_one() -> None:
    environment, patient = consult("Yes, feeling hot and shivery.", None)
    replies = play(environment, ask("Any fever?"), ask("Any pets?"))
    assert [r.reward for r in replies] == [1.0, -1.0]
    assert [r.event for r in replies] == ["answered", "unanswered"]
    assert replies[0].text == (
        "Yes, feeling hot and shivery. (turn 2/10; diagnosis and recommendation due)"
    )
    assert replies[1].text == "I do not know. (turn 3/10; diagnosis and recommendation due)"
    [(first, before), (second, after)] = patient.asked
    assert (first, before, second) == ("Any fever?", (), "Any pets?")
    assert [(e.question, e.answer) for e in after] == [
        ("Any fever?", "Yes, feeling hot and shivery.")
    ]


# ---- the whole ----------------------------------------------------------------------------


def test_the_return_is_from_minus_23_to_19() -> None:
    worst = rewards(*[BAD] * 9, ask("Any fever?"))
    assert sum(worst) == -23.0
    topics = ["fever", "cough", "rash", "pets", "pain", "travel", "smoking", "allergy", "cramps"]
    questions = [ask(f"Any {topic}?") for topic in topics]
    best = rewards(*questions, PERFECT, answers=("No.",) * 9)
    assert sum(best) == 19.0


def test_the_measures() -> None:
    answers = (FACTS[0].answer, None, FACTS[2].answer)
    environment, _ = consult(*answers)
    play(
        environment,
        *(ask("Any dysuria?"), ask("Any pets?"), ask("Any pets?"), ask("Any flank pain?")),
        *(ask("Why? How?"), BAD, diagnose("pyelonephritis", "rest")),
    )
    measures = environment.measures()
    assert measures == {
        **{"turns": 7, "budget": 10, "questions": 5, "answered": 2, "unanswered": 1},
        **{"repeated": 1, "several": 1, "invalid": 1, "over_budget": 0, "unjudged": 0},
        "precision": 0.4,
        "information": 2.5,  # one of the two findings that are there
        "diagnosis_f1": pytest.approx(2 / 3),
        "recommendation_f1": 0.0,
        "diagnosis_score": pytest.approx(10 / 3),
        "recommendation_score": 0.0,
        "success": 0.0,
    }
    assert set(EVENTS) - {"diagnosis"} <= measures.keys()
    assert environment.verdict().outcome is Outcome.WRONG


def test_success_is_a_return_of_ten() -> None:
    environment, _ = consult("No.")
    play(environment, ask("Any fever?"), PERFECT)
    assert environment.measures()["success"] == 1.0
    environment, _ = consult(None)
    play(environment, ask("Any pets?"), PERFECT)
    assert environment.measures()["success"] == 0.0
    assert environment.verdict().outcome is Outcome.CORRECT


def test_before_the_first_turn_there_is_something_to_measure() -> None:
    environment, _ = consult()
    assert environment.measures()["turns"] == 0
    assert environment.verdict().outcome is Outcome.NO_ANSWER
    assert environment.opening == f"{CASE.question} (turn 1/10; diagnosis and recommendation due)"


# ---- the world ----------------------------------------------------------------------------


def test_the_budget_is_drawn_evenly_and_shared_by_a_group() -> None:
    world = ConsultationWorld(RulePatients(), GRADER)
    counts = Counter(world.open(CASE, seed).budget for seed in range(900))
    assert set(counts) == set(range(2, 11))
    assert min(counts.values()) > 70 and max(counts.values()) < 135
    assert {world.open(CASE, 7).opening for _ in range(4)} == {world.open(CASE, 7).opening}
    assert all(world.open(CASE, seed).most_turns == 10 for seed in range(5))


def test_a_fixed_budget() -> None:
    world: World = ConsultationWorld(RulePatients(), GRADER, 4, dynamic=False)
    environment: Environment = world.open(CASE, 3)
    assert "turn 1/4;" in environment.opening
