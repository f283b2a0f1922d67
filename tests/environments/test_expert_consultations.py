"""Expert transcripts in the environment, of the clinic and of MTMedDialog."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medrl.cases.case import Case
from medrl.clinic.consultations import CONSULTATION_SETS, consultation_cases
from medrl.environments.consultation import Consultation, ConsultationWorld, answer_block
from medrl.environments.environment import Reply
from medrl.errors import DataError
from medrl.patients import RulePatients
from tests.environments.acting import GRADER, ask, play
from tests.patients.cases import CASE, mtmeddialog

FIXED = ConsultationWorld(RulePatients(), GRADER, dynamic=False)


def replayed(case: Case) -> tuple[Consultation, list[Reply]]:
    environment = FIXED.open(case, 0)
    texts = [turn.text for turn in case.transcript if turn.speaker == "policy"]
    return environment, play(environment, *texts)


@pytest.mark.parametrize("name", CONSULTATION_SETS)
def test_the_clinics_experts_are_perfect(name: str) -> None:
    for case in consultation_cases(name, 60, seed=3):
        environment, replies = replayed(case)
        assert [r.reward for r in replies] == [1.0] * (len(replies) - 1) + [10.0]
        assert replies[-1].over and 3 <= len(replies) <= 10
        told = [t.text for t in case.transcript if t.speaker == "environment"]
        heard = [r.text.partition(" (turn ")[0] for r in replies[:-1]]
        assert heard == told
        assert environment.verdict().correct
        assert environment.measures()["success"] == 1.0
        assert environment.measures()["precision"] == 1.0


def test_a_demonstration_reads_like_the_episode() -> None:
    world = ConsultationWorld(RulePatients(), GRADER)
    for seed, case in enumerate(consultation_cases("consult-train", 40)):
        opening, turns = world.demonstration(case, seed)
        needed = sum(turn.speaker == "policy" for turn in turns)
        assert f"/{max(world.budget(seed), needed)};" in opening
        if world.budget(seed) < needed:
            continue  # an episode with this budget would end before
        environment = world.open(case, seed)
        assert environment.opening == opening
        replies = play(environment, *(t.text for t in turns if t.speaker == "policy"))
        told = [t.text for t in turns if t.speaker == "environment"]
        assert [r.text for r in replies[:-1]] == told


def test_real_questions_get_their_own_answers(shared_data: Path) -> None:
    """Each recorded question put as one question, ten to an episode at most."""
    events: Counter[str] = Counter()
    own = asked = 0
    for case in mtmeddialog(shared_data):
        assert case.record is not None
        facts = [f for f in case.record.facts if f.question.count("?")][:9]
        if not facts:
            continue
        texts = [ask(f"{f.question.replace('?', ',').rstrip(' ,')}?") for f in facts]
        environment = FIXED.open(case, 0)
        for fact, reply in zip(facts, play(environment, *texts), strict=True):
            events[reply.event] += 1
            asked += 1
            own += reply.text.partition(" (turn ")[0] == " ".join(fact.answer.split())
    print(f"{own / asked:.3f} of {asked} own answers; {dict(events)}")
    assert asked > 3000
    assert own > 0.9 * asked
    assert events["answered"] > 0.95 * asked


def test_real_experts_are_read(shared_data: Path) -> None:
    """Their turns have the format, and nearly all end with what the record wants."""
    ends = scored = 0
    for case in mtmeddialog(shared_data):
        policy = [turn.text for turn in case.transcript if turn.speaker == "policy"]
        assert all(answer_block(text) is not None for text in policy)
        environment = FIXED.open(case, 0)
        [reply] = play(environment, policy[-1])
        ends += reply.event == "diagnosis"
        scored += reply.reward == pytest.approx(10.0)
    assert ends > 700
    assert scored > 0.9 * ends  # some rows word their record otherwise than their last turn


def test_a_demonstration_of_a_real_expert(shared_data: Path) -> None:
    world = ConsultationWorld(RulePatients(), GRADER)
    for case in mtmeddialog(shared_data)[:100]:
        opening, turns = world.demonstration(case, 0)
        assert opening.startswith(case.question)
        assert turns[-1].speaker == "policy"
        assert all("; diagnosis and recommendation due)" in t.text for t in turns[1::2])


def test_a_case_without_an_expert_is_named() -> None:
    with pytest.raises(DataError, match=r"c-1 .* no expert"):
        FIXED.demonstration(CASE, 0)
