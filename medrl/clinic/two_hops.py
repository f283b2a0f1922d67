"""The clinic as a textbook to search, and questions that take two of its passages to answer.

A question names what a patient has and asks for a treatment, a mechanism or the next step. One
passage tells which condition has these findings, another one what is asked about that condition.
The second names none of the findings, so that whoever searches with the question finds the first
and rarely the second; who reads the first knows what to search for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal

from medrl.cases.case import Case, Provenance, Reference
from medrl.clinic.exams import TWO_HOP, fact, options_for
from medrl.clinic.knowledge import Condition, Knowledge, clinic
from medrl.clinic.patients import Ward
from medrl.clinic.styles import EXAM_STYLES, describe, listing, question_line
from medrl.clinic.textbook import sentence
from medrl.grading.normalise import normalise
from medrl.retrieval.corpus import Corpus, Document
from medrl.retrieval.tampering import SEPARATOR, WRONG

GOLD = "documents"
"""Tag of a case with the ids of the documents that its answer follows from, first hop first."""
_WRONG_ANSWERS = 3
_FINDINGS = 2
"""Passages of a condition that tell what is found; they come first."""
_SAID = {
    "treatment": "first-line treatment of {0} is {1}",
    "mechanism": "the mechanism of {0} is {1}",
    "next_step": "the next step in suspected {0} is {1}",
}
_SOUGHT = {"treatment": "treatment", "mechanism": "mechanism", "next_step": "next step"}


@lru_cache(maxsize=1)
def textbook() -> Corpus:
    """The embedded clinic's textbook: eight short passages for each condition."""
    return textbook_of(clinic())


def textbook_of(knowledge: Knowledge) -> Corpus:
    """A clinic's textbook."""
    documents = (d for c in knowledge.conditions.values() for d in _passages(c, knowledge))
    return Corpus(documents, "clinic:textbook")


def _passages(c: Condition, k: Knowledge) -> Iterator[Document]:
    def passage(kind: str, *sentences: str) -> Document:
        text = " ".join(s if s.endswith(".") else sentence(s) for s in sentences)
        return Document(f"{c.id}:{kind}", c.name, text, c.id)

    def named(findings: tuple[str, ...]) -> str:
        return listing([k.findings[f].text for f in findings])

    yield passage("presentation", f"{c.name} presents with {named(tuple(c.findings))}")
    yield passage("results", f"studies in {c.name} show {named(tuple(c.signs))}")
    details = {
        "treatment": c.treatment_detail,
        "mechanism": c.mechanism_detail,
        "next_step": c.next_step_detail,
    }
    for kind, said in _SAID.items():
        yield passage(kind, said.format(c.name, fact(c, kind, k)), details[kind])
    low, high = c.age
    people = {"any": "people", "female": "women and girls", "male": "men and boys"}[c.sex]
    yield passage(
        "people",
        f"{c.name} is typically seen in {people} of {low} to {high} years",
        f"the history is often notable for {named(c.risk_factors)}",
    )
    avoided = [
        f"{k.treatments[a.treatment].name} is to be avoided in {c.name}: it {a.reason}"
        for a in c.contraindications
    ]
    yield passage("avoid", *avoided)
    others = [k.conditions[d].name for d in c.differentials]
    yield passage(
        "dangers",
        f"red flags in {c.name} are {listing(c.red_flags)}",
        f"{c.name} can look like {listing(others, ' or ')}",
    )


# ---- questions -------------------------------------------------------------------------------


def search_cases(
    side: Literal["train", "test"], size: int, seed: int = 0, clinic_seed: int = 0
) -> list[Case]:
    """``size`` questions about patients of one side, no text twice; same arguments, same questions.

    Patients whose findings name the condition or the answer are left out.

    Answers are phrases. Tags: ``condition``, ``specialty``, ``kind`` (of fact), ``documents`` (ids
    in ``clinic:textbook``), ``wrong_answers`` (of the nearest conditions), both separated by
    semicolons, and ``sought`` (a query for the second hop).
    ``clinic_seed`` changes nothing: every fact stands in the textbook.
    """
    source = _questions(side, seed)
    return [next(source) for _ in range(size)]


def _needs_one_hop(c: Condition, question: str, answer: str) -> bool:
    """Whether a finding gives condition or answer away: a positive influenza swab, blood cultures
    that are positive."""
    passages = (d.text for d in textbook().documents if d.parent == c.id)
    told = [normalise(text) for text in (question, *islice(passages, _FINDINGS))]
    spoilt = any(f" {normalise(answer)} " in f" {text} " for text in told)
    return spoilt or f" {normalise(c.name)} " in f" {told[0]} "


def _questions(side: Literal["train", "test"], seed: int) -> Iterator[Case]:
    knowledge = clinic()
    rng = random.Random(f"search:{side}:{seed}")
    ward = Ward(knowledge, rng, side)
    conditions = list(knowledge.conditions.values())
    asked: set[str] = set()
    while True:
        patient = ward.admit(rng.choice(conditions))
        kind, style = rng.choice(TWO_HOP), rng.choice(EXAM_STYLES)
        question = f"{describe(patient, style, rng)} {question_line(kind, style, rng)}"
        c = patient.condition
        answer = fact(c, kind, knowledge)
        if question in asked or _needs_one_hop(c, question, answer):
            continue
        asked.add(question)
        seen = len(patient.complaints) >= len(patient.results)
        first = "presentation" if seen else "results"  # what names most of this patient's findings
        others = options_for(c, kind, _WRONG_ANSWERS + 1, knowledge, rng)
        yield Case(
            id=f"search-{side}-{seed}-{len(asked) - 1}",
            question=question,
            reference=Reference("phrase", answer),
            source=Provenance(f"clinic/search-{side}"),
            tags={
                "condition": c.id,
                "specialty": c.specialty,
                "kind": kind,
                GOLD: SEPARATOR.join((f"{c.id}:{first}", f"{c.id}:{kind}")),
                WRONG: SEPARATOR.join(text for text in others if text != answer),
                "sought": f"{_SOUGHT[kind]} of {c.name}",
            },
        )
