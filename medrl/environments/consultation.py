"""Consultations: the policy is the doctor, asks, and ends with a diagnosis (DoctorAgent-RL).

What happens to a turn of the policy, in this order; the turn counter has risen before:

1. the episode is over already: 0, over.
2. no readable answer block, not exactly one closing answer tag, or text behind it: -2. It goes on,
   also past the budget. A diagnosis without its colon counts as this (the released code leaves it
   unscored).
3. a diagnosis: scored 0 to 10, over. Also on the last turn: it is looked for before the budget.
4. the budget is used up: -5, over.
5. not exactly one question mark: -2.
6. a question that was asked before: -2.
7. the patient: -1 and "I do not know" where the question is about nothing the patient can tell,
   else +1.

Total turns are bounded by ``max_turns`` (ours): an invalid turn there is the last one. With ten
turns the return is from -23 (nine times -2, then -5) to +19 (nine answers, then a perfect 10).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from medrl.cases.case import Case
from medrl.cases.record import Turn
from medrl.environments.environment import Reply
from medrl.errors import DataError
from medrl.evaluation.consultations import information, precision
from medrl.grading import Grader, Outcome, Verdict, normalise
from medrl.patients.patient import Exchange, Patient, Patients, record_of
from medrl.patients.words import content
from medrl.rewards.overlap import rouge_1, words
from medrl.run.seeding import derive_seed

INVALID, DIAGNOSIS, OVER_BUDGET = "invalid", "diagnosis", "over_budget"
SEVERAL, REPEATED, UNANSWERED, ANSWERED = "several", "repeated", "unanswered", "answered"
EVENTS = (INVALID, DIAGNOSIS, OVER_BUDGET, SEVERAL, REPEATED, UNANSWERED, ANSWERED)
"""What a turn can be; in a turn after the end the event is empty."""
REWARDS = {INVALID: -2.0, OVER_BUDGET: -5.0, SEVERAL: -2.0, REPEATED: -2.0, UNANSWERED: -1.0}
REWARDS[ANSWERED] = 1.0
BEST = 5.0
"""Highest score of a diagnosis, and of a recommendation."""
SUCCESS = 10.0
"""Return from which an episode is a success."""
FEWEST_TURNS = 2
"""Smallest budget that is drawn."""
SAME = 0.8
"""Share of content words in common (Jaccard) from which a question repeats another (ours)."""

MESSAGES = {
    INVALID: "Invalid format. Write <answer>Question: ...</answer> or "
    "<answer>Diagnosis: ... Recommendation: ...</answer> and nothing behind it.",
    SEVERAL: "Ask one question at a time.",
    REPEATED: "You have asked this before.",
    UNANSWERED: "I do not know.",
}
PROMPTS = {
    "short": "{report}",
    "full": (
        "You are a doctor in a consultation. Find out what you need to know, then give a diagnosis "
        "and a recommendation.\n"
        "Every reply has your thoughts in <think></think>, then one of these and nothing behind "
        "it:\n"
        "<answer>Question: one question</answer>\n"
        "<answer>Diagnosis: the likeliest disease. Recommendation: what to do</answer>\n"
        "An answered question earns 1. It costs 1 if the patient cannot tell, 2 if it was asked "
        "before, 2 if it is not just one question, 2 if the format is wrong, and 5 if the turns "
        "end without a diagnosis. Diagnosis and recommendation earn up to 5 each and end the "
        "consultation.\n"
        "The patient says: {report}"
    ),
}
"""What the policy reads first, by name; wording ours."""

_BLOCK = re.compile(r"<answer>((?:(?!<answer>).)*)</answer>\s*\Z", re.DOTALL)
_ENDING = re.compile(r"Diagnosis\s*:(.*?)(?:Recommendation\s*:(.*))?\Z", re.DOTALL)
_LABEL = re.compile(r"\s*Question\s*:\s*")
_MARK = re.compile("[?\uff1f]")


def answer_block(text: str) -> str | None:
    """What stands in the answer block of a turn; ``None`` if the format is invalid."""
    block = _BLOCK.search(text)
    return block.group(1) if block and text.count("</answer>") == 1 else None


def ending_of(answer: str) -> tuple[str, str] | None:
    """Diagnosis and recommendation, each perhaps empty; ``None`` if no colon follows the word."""
    found = _ENDING.search(answer)
    return (found.group(1).strip(), (found.group(2) or "").strip()) if found else None


def repeats(question: str, earlier: Sequence[str]) -> bool:
    """Whether a question has the same words as one before, or nearly the same content words."""
    asked = set(content(question))
    for other in earlier:
        there = set(content(other))
        if normalise(question) == normalise(other):
            return True
        if asked and len(asked & there) >= SAME * len(asked | there):
            return True
    return False


class Evaluator(Protocol):
    """Decides what rules of words decide unless a judge does."""

    async def repeats(self, question: str, earlier: Sequence[str]) -> bool:
        """Whether a question was asked before.

        Raises:
            JudgeError: the judge cannot be reached.
        """
        ...

    async def scores(
        self, case: Case, diagnosis: str, recommendation: str
    ) -> tuple[float | None, float | None]:
        """Of diagnosis and recommendation, from 0 to 5; ``None`` where a judge was not understood.

        Raises:
            JudgeError: the judge cannot be reached.
        """
        ...


class Rules:
    """Words alone: F1 of the multisets of words, times 5."""

    async def repeats(self, question: str, earlier: Sequence[str]) -> bool:
        """See :class:`Evaluator`."""
        return repeats(question, earlier)

    async def scores(
        self, case: Case, diagnosis: str, recommendation: str
    ) -> tuple[float | None, float | None]:
        """See :class:`Evaluator`."""
        right = case.reference.gold_text, record_of(case).recommendation
        return (BEST * f1(diagnosis, right[0]), BEST * f1(recommendation, right[1]))


def f1(said: str, wanted: str) -> float:
    """F1 of two multisets of lower-case words without punctuation, in [0, 1]."""
    return rouge_1(words(said), words(wanted))


class Consultation:
    """One episode; see the module and :class:`medrl.environments.environment.Environment`.

    Args:
        budget: turns there are, the last of which should be the diagnosis; at least 1.
        most_turns: no episode has more, at least ``budget``.
        prompt: a name in ``PROMPTS`` or a text with ``{report}``.
    """

    def __init__(
        self,
        case: Case,
        patient: Patient,
        grader: Grader,
        budget: int,
        most_turns: int,
        evaluator: Evaluator | None = None,
        prompt: str = "short",
    ) -> None:
        self.case, self.patient, self.grader = case, patient, grader
        self.budget, self.most_turns = budget, most_turns
        self.evaluator = evaluator or Rules()
        report = PROMPTS.get(prompt, prompt).replace("{report}", case.question)
        self.turn, self.over = 0, False
        self.opening = f"{report} {self._reminder()}"
        self.total = 0.0
        self.counts: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))
        self.history: list[Exchange] = []
        self.diagnosis = self.recommendation = ""
        self._asked: list[str] = []
        self._scores: tuple[float | None, float | None] = (0.0, 0.0)

    async def step(self, text: str) -> Reply:
        """See :class:`medrl.environments.environment.Environment`."""
        if self.over:
            return Reply("", over=True)
        self.turn += 1
        answer = answer_block(text)
        named = answer is not None and re.search(r"\bDiagnosis\b", answer)
        ending = ending_of(answer) if answer is not None and named else None
        if answer is None or (named and ending is None):
            return self._reply(INVALID, over=self.turn >= self.most_turns)
        if ending is not None:
            return await self._scored(*ending)
        if self.turn >= self.budget:
            return self._reply(OVER_BUDGET, over=True)
        if len(_MARK.findall(answer)) != 1:
            return self._reply(SEVERAL)
        question = _LABEL.sub("", answer, count=1).strip()
        if await self.evaluator.repeats(question, self._asked):
            return self._reply(REPEATED)
        said = await self.patient.answer(question, self.history)
        self._asked.append(question)
        if said is None:
            return self._reply(UNANSWERED)
        self.history.append(Exchange(question, said))
        return self._reply(ANSWERED, said)

    async def _scored(self, diagnosis: str, recommendation: str) -> Reply:
        self._scores = await self.evaluator.scores(self.case, diagnosis, recommendation)
        self.diagnosis, self.recommendation = diagnosis, recommendation
        # A judge that was not understood pays 0, as the released code has it, and is counted.
        return self._reply(DIAGNOSIS, over=True, reward=sum(s or 0.0 for s in self._scores))

    def _reply(
        self, event: str, text: str = "", over: bool = False, reward: float | None = None
    ) -> Reply:
        reward = REWARDS[event] if reward is None else reward
        self.counts[event] += 1
        self.total += reward
        self.over = over
        shown = "" if over else f"{text or MESSAGES[event]} {self._reminder()}"
        return Reply(shown, reward, event, over)

    def _reminder(self) -> str:
        return reminder(self.turn + 1, self.budget)

    def verdict(self) -> Verdict:
        """See :class:`medrl.environments.environment.Environment`: the grader on the diagnosis."""
        if not self.counts[DIAGNOSIS]:
            return Verdict(Outcome.NO_ANSWER, "", "no diagnosis was given", True, "")
        reply = f"<think></think><answer>{self.diagnosis.rstrip('. ')}</answer>"
        return self.grader.grade(reply, self.case.reference)

    def measures(self) -> Mapping[str, float]:
        """Counts of events; and, in this order of ``docs/consultations.md``, what came of them."""
        counts, record = self.counts, record_of(self.case)
        questions = sum(counts[e] for e in (SEVERAL, REPEATED, UNANSWERED, ANSWERED))
        replies = [exchange.answer for exchange in self.history]
        return {
            "turns": self.turn,
            "budget": self.budget,
            "questions": questions,
            **{event: counts[event] for event in EVENTS if event != DIAGNOSIS},
            "precision": precision(counts[ANSWERED], questions),
            "information": information(record, replies),
            "diagnosis_f1": f1(self.diagnosis, self.case.reference.gold_text),
            "recommendation_f1": f1(self.recommendation, record.recommendation),
            "diagnosis_score": self._scores[0] or 0.0,
            "recommendation_score": self._scores[1] or 0.0,
            "unjudged": sum(score is None for score in self._scores),
            "success": float(self.total >= SUCCESS),
        }


def reminder(turn: int, budget: int) -> str:
    """What ends every observation: the turn that comes, the budget, and what is due within it."""
    return f"(turn {turn}/{budget}; diagnosis and recommendation due)"


class ConsultationWorld:
    """Opens consultations; see :class:`medrl.environments.environment.World`.

    Args:
        max_turns: budget of all episodes, or the greatest one.
        dynamic: draw the budget evenly from 2 to ``max_turns``; one draw per seed, so the episodes
            of a group share it.
    """

    def __init__(
        self,
        patients: Patients,
        grader: Grader,
        max_turns: int = 10,
        dynamic: bool = True,
        evaluator: Evaluator | None = None,
        prompt: str = "short",
    ) -> None:
        self.patients, self.grader, self.evaluator = patients, grader, evaluator
        self.most_turns, self.dynamic, self.prompt = max_turns, dynamic, prompt

    def budget(self, seed: int) -> int:
        """Turns of the episodes with this seed."""
        if not self.dynamic:
            return self.most_turns
        return FEWEST_TURNS + derive_seed(seed, "budget") % (self.most_turns - FEWEST_TURNS + 1)

    def open(self, case: Case, seed: int) -> Consultation:
        """See :class:`medrl.environments.environment.World`.

        Raises:
            DataError: the case has no record.
        """
        return self._opened(case, seed, self.budget(seed))

    def _opened(self, case: Case, seed: int, budget: int) -> Consultation:
        patient = self.patients.open(case, seed)
        most = max(budget, self.most_turns)
        return Consultation(case, patient, self.grader, budget, most, self.evaluator, self.prompt)

    def demonstration(self, case: Case, seed: int) -> tuple[str, tuple[Turn, ...]]:
        """See :class:`medrl.environments.environment.World`: the case's transcript, with the
        reminder behind each of the patient's turns.

        The budget is drawn as for episodes, but is never less than the expert needs: an expert who
        is cut off would be shown guessing. Transcripts longer than ``max_turns`` have a budget of
        their own length.

        Raises:
            DataError: the case has no transcript, or no record.
        """
        needed = sum(turn.speaker == "policy" for turn in case.transcript)
        if not needed:
            raise DataError(
                f"case {case.id} ({case.source}) has no expert's transcript to learn from",
                "use cases with transcripts, as of clinic:consult-train",
            )
        budget = max(self.budget(seed), needed)
        turns, spoken = [], 0
        for turn in case.transcript:
            spoken += turn.speaker == "policy"
            if turn.speaker == "policy":
                turns.append(turn)
            elif spoken < needed:  # nothing is said behind the expert's last word
                turns.append(Turn("environment", f"{turn.text} {reminder(spoken + 1, budget)}"))
        return self._opened(case, seed, budget).opening, tuple(turns)
