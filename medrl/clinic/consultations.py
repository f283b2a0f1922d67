"""Consultations: a patient who says little at first, what can be asked, and how an expert asks.

A patient reports one or two complaints that several conditions share. All else has to be asked for:
the record holds what the patient has (complaints and history, in lay words) and what the patient
does not have of that which speaks for rivals. Results of tests are not the patient's to tell, so
they are in no record and the expert does not ask for them.

A doctor asks in clinical words ("Any dysuria?"), the patient answers in lay ones ("Yes, burning
when I pee."), and names what is answered, so that a misunderstood question gets no false answer.

=====================  =========================================================================
set                    what it holds
=====================  =========================================================================
consult-train          patients of the train side, every combination that is not held out
consult-test           the same, patients of the test side
consult-ood-test       held-out combinations, patients of the test side
=====================  =========================================================================

A *combination* is a condition with a complaint that is reported first. Of every other condition
one is held out, chosen by the clinic seed; elsewhere the same complaint has to be asked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from medrl.cases.case import Case, Provenance, Reference
from medrl.cases.record import Fact, Record, Turn
from medrl.clinic.exams import diagnosis_step
from medrl.clinic.experts import Expert, Hypothesis, chance
from medrl.clinic.knowledge import Condition, Finding, Knowledge, clinic
from medrl.clinic.patients import Patient, Side, Ward
from medrl.clinic.styles import listing, person
from medrl.errors import DataError
from medrl.safeguards.folding import fold
from medrl.safeguards.names import clinic_vocabulary

CONDITIONS = 24
"""Conditions that occur, unless said otherwise: as many as a model of a few million parameters can
learn to tell apart."""
SHOWN = (5, 8)
"""Fewest and most findings of a patient, results of tests among them."""
FEWEST_COMPLAINTS = 3
"""Of a patient: what is reported and what is left to ask for."""
FEWEST_RIVALS = 2
"""Conditions beside the right one that fit what is reported."""
_TRIES = 2_000
"""Patients with a condition who are turned away before the condition is given up."""


@dataclass(frozen=True, slots=True)
class ConsultationSet:
    """What distinguishes one set from another."""

    side: Side
    held_out: bool
    """True: only held-out combinations. False: only the others."""


CONSULTATION_SETS = {
    "consult-train": ConsultationSet("train", False),
    "consult-test": ConsultationSet("test", False),
    "consult-ood-test": ConsultationSet("test", True),
}


def confusable(knowledge: Knowledge, count: int) -> list[Condition]:
    """``count`` conditions that share many complaints: the two most alike, then always the one most
    like those already there.

    Raises:
        DataError: fewer than three, or more than there are.
    """
    known = list(knowledge.conditions.values())
    if not 3 <= count <= len(known):
        raise DataError(f"{count} conditions", f"choose from 3 to {len(known)}")

    def alike(one: Condition, other: Condition) -> float:
        return sum(min(w, other.findings.get(f, 0.0)) for f, w in one.findings.items())

    chosen = list(max(combinations(known, 2), key=lambda pair: alike(*pair)))
    while len(chosen) < count:
        rest = [c for c in known if c not in chosen]
        chosen.append(max(rest, key=lambda c: sum(alike(c, other) for other in chosen)))
    return chosen


def question_for(finding: Finding) -> str:
    """How a doctor asks for a finding: ``Any dry cough?``"""
    words = finding.text.split()
    bare = words[1:] if words[0] in ("a", "an", "the") else words
    return f"Any {' '.join(bare)}?"


def fact_of(finding: Finding, present: bool) -> Fact:
    """Question and answer of one finding."""
    answer = f"Yes, {finding.lay}." if present else f"No, not {finding.lay}."
    return Fact(question_for(finding), answer)


class Practice:
    """Where consultations take place: some conditions of the clinic, patients of one side.

    Args:
        conditions: how many conditions occur, see :func:`confusable`.
        clinic_seed: which combinations are held out.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        name: str,
        rng: random.Random,
        clinic_seed: int = 0,
        conditions: int = CONDITIONS,
    ) -> None:
        self.knowledge, self.rng, self.name = knowledge, rng, name
        self.kind = CONSULTATION_SETS[name]
        self.conditions = confusable(knowledge, conditions)
        self.ward = Ward(knowledge, rng, self.kind.side, SHOWN)
        often = Counter(f for c in self.conditions for f in c.findings)
        self.shared = {f for f, count in often.items() if count > FEWEST_RIVALS}
        self.held_out = self._held_out(clinic_seed)
        self.open = [c for c in self.conditions if self._reportable(c)]

    def _held_out(self, clinic_seed: int) -> dict[str, str]:
        """Of every other condition with a choice the complaint that is held out."""
        rng = random.Random(f"held-out complaints:{clinic_seed}")
        found = {}
        for condition in self.conditions[1::2]:
            usual = [f for f in condition.findings if f in self.shared]
            if len(usual) > 1:
                found[condition.id] = rng.choice(usual)
        return found

    def _reportable(self, condition: Condition) -> list[str]:
        """Complaints that a patient with the condition may report first."""
        held_out = self.held_out.get(condition.id)
        return [
            f
            for f in condition.findings
            if f in self.shared
            and (f == held_out) == self.kind.held_out
            and not names(self.knowledge.findings[f].lay, condition)
        ]

    def admit(self, condition: Condition) -> tuple[Patient, tuple[Finding, ...]] | None:
        """A patient with ``condition``, and what this patient reports; ``None``: try again."""
        patient = self.ward.admit(condition)
        if len(patient.complaints) < FEWEST_COMPLAINTS:
            return None
        report = self._report(patient)
        return (patient, report) if report else None

    def _report(self, patient: Patient) -> tuple[Finding, ...]:
        """One or two complaints that leave rivals; none if there are no such."""
        usual = self._reportable(patient.condition)
        first = [f for f in patient.complaints if f.id in usual]
        if not first:
            return ()
        report = (self.rng.choice(first),)
        held_out = self.held_out.get(patient.condition.id)
        more = [
            f
            for f in patient.complaints
            if f.id in self.shared and f not in report and f.id != held_out
        ]
        if more and len(patient.complaints) > FEWEST_COMPLAINTS and self.rng.random() < 0.5:
            longer = (*report, self.rng.choice(more))
            if len(self.fitting(patient, longer)) > FEWEST_RIVALS:
                return longer
        return report if len(self.fitting(patient, report)) > FEWEST_RIVALS else ()

    def fitting(self, patient: Patient, report: Sequence[Finding]) -> list[Condition]:
        """Conditions that can be meant, as far as age, sex and the report tell."""
        return [
            c
            for c in self.conditions
            if c.age[0] <= patient.age <= c.age[1]
            and c.sex in ("any", patient.sex)
            and all(f.id in c.findings for f in report)
        ]

    def answers(self, patient: Patient, report: Sequence[Finding]) -> dict[str, bool]:
        """What the patient can be asked, by the finding's id, and whether it is so.

        Left out is what is reported already, and what in lay words would name the diagnosis.
        """
        own = (*patient.complaints, *patient.history)
        rivals = {f for c in self.fitting(patient, report) for f in (*c.findings, *c.risk_factors)}
        present = {f.id: True for f in own if f not in report}
        denied = {f: False for f in sorted(rivals - {f.id for f in own})}
        return {
            f: there
            for f, there in (present | denied).items()
            if not names(self.knowledge.findings[f].lay, patient.condition)
        }


def names(text: str, condition: Condition) -> bool:
    """Whether a text names a condition, or one of its synonyms in the safeguards' vocabulary."""
    found = clinic_vocabulary().conditions.find(fold(text))
    return any(condition.id in name.ids for name in found)


def _description(
    patient: Patient, report: Sequence[Finding], answers: Mapping[str, bool], knowledge: Knowledge
) -> str:
    lay = {f: knowledge.findings[f].lay for f in answers}
    has = [f.lay for f in report] + [lay[f] for f, there in answers.items() if there]
    denied = [lay[f] for f, there in answers.items() if not there]
    return f"{person(patient).capitalize()} with {listing(has)}. Not: {listing(denied)}."


def _write(text: str, thought: str) -> Turn:
    return Turn("policy", f"<think>{thought}</think><answer>{text}</answer>")


def _transcript(
    expert: Expert, patient: Patient, report: Sequence[Finding], knowledge: Knowledge
) -> tuple[Turn, ...]:
    """The expert's turns with the patient's replies."""
    names = {c.id: c.name for c in knowledge.conditions.values()}
    turns: list[Turn] = []
    for step in expert.steps:
        finding = knowledge.findings[step.asked]
        thought = listing([names[c] for c in step.leading], " or ")
        turns.append(_write(f"Question: {question_for(finding)}", thought))
        turns.append(Turn("environment", fact_of(finding, step.present).answer))
    seen = [*report, *(knowledge.findings[s.asked] for s in expert.steps if s.present)]
    own = patient.condition
    telling = sorted(seen, key=lambda f: -chance(own, f.id))[:3]
    treatment = knowledge.treatments[own.treatment].name
    turns.append(
        _write(
            f"Diagnosis: {own.name}. Recommendation: {treatment}.",
            diagnosis_step(listing([f.text for f in telling]), own),
        )
    )
    return tuple(turns)


def consultations(
    name: str,
    seed: int,
    clinic_seed: int = 0,
    knowledge: Knowledge | None = None,
    conditions: int = CONDITIONS,
) -> Iterator[tuple[Patient, Case]]:
    """Endless consultations of one set with their patients, none twice, all conditions equally
    often.

    Only patients whom the expert gets right are among them, so that every case can be solved by
    asking.

    Args:
        name: a key of ``CONSULTATION_SETS``.
        seed: which patients come.

    Raises:
        DataError: no condition has such patients; see also :func:`confusable`.
    """
    knowledge = knowledge or clinic()
    rng = random.Random(f"consultations:{name}:{seed}:{clinic_seed}")
    practice = Practice(knowledge, name, rng, clinic_seed, conditions)
    possible = list(practice.open)
    seen: set[tuple[str, str]] = set()
    while possible:
        condition = rng.choice(possible)
        for _ in range(_TRIES):
            found = _consultation(practice, condition, f"{name}-{seed}-{len(seen)}")
            if found and (key := (found[1].question, found[0].key)) not in seen:
                seen.add(key)
                yield found
                break
        else:  # nobody (else) has it and tells what is wanted
            possible.remove(condition)
    raise DataError(
        f"clinic:{name}: no more patients report what several of {conditions} conditions share",
        "choose more conditions, or a smaller size",
    )


def _consultation(
    practice: Practice, condition: Condition, case_id: str
) -> tuple[Patient, Case] | None:
    """A patient and the case about this patient; ``None`` if the expert gets it wrong."""
    admitted = practice.admit(condition)
    if admitted is None:
        return None
    patient, report = admitted
    answers = practice.answers(patient, report)
    reported = [f.id for f in report]
    hypotheses = [Hypothesis(c, reported) for c in practice.fitting(patient, report)]
    expert = Expert(hypotheses, answers)
    if expert.diagnosis != condition.id:
        return None
    knowledge = practice.knowledge
    facts = [fact_of(knowledge.findings[f], there) for f, there in answers.items()]
    practice.rng.shuffle(facts)
    return patient, Case(
        id=case_id,
        question=f"My trouble is {listing([f.lay for f in report])}. ({person(patient)})",
        reference=Reference("phrase", condition.name),
        source=Provenance(f"clinic/{practice.name}"),
        tags={
            "condition": condition.id,
            "specialty": condition.specialty,
            "reported": " ".join(reported),
            "rivals": str(len(hypotheses) - 1),
        },
        record=Record(
            tuple(facts),
            _description(patient, report, answers, knowledge),
            f"{knowledge.treatments[condition.treatment].name}.",
        ),
        transcript=_transcript(expert, patient, report, knowledge),
    )


def consultation_cases(
    name: str, size: int, seed: int = 0, clinic_seed: int = 0, conditions: int = CONDITIONS
) -> list[Case]:
    """``size`` consultations of one set (see the table above); same arguments, same cases.

    Raises:
        ValueError: unknown set.
        DataError: see :func:`confusable`.
    """
    if name not in CONSULTATION_SETS:
        raise ValueError(f"unknown set {name!r}; known: {', '.join(CONSULTATION_SETS)}")
    source = consultations(name, seed, clinic_seed, conditions=conditions)
    return [next(source)[1] for _ in range(size)]
