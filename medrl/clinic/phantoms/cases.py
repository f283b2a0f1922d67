"""Sets of questions about phantoms, by name; endless, seeded, in closed and open form.

=============================  ====================================================================
set                            what it asks
=============================  ====================================================================
phantoms-train, -test          everything, closed and open in turn at random
phantoms-closed-...            options with letters, or yes or no
phantoms-open-...              a short phrase, without options; no questions of yes or no
phantoms-lesion-...            pictures of one modality, closed; also chest, brain, fundus
phantoms-count-...             questions of one task, closed; also presence, side, place, size,
                               colour, type, comparison, diagnosis
phantoms-level1-...            questions of one cognitive level, closed; also level2, level3
phantoms-shortcut-train        closed; half of the questions carry a hint that is mostly right
phantoms-shortcut-broken       the pictures, questions and options of phantoms-closed-test of the
                               same seed, each with a hint that is wrong
phantoms-careless-train        phantoms-shortcut-train; half of the rationales beside hints see
                               something else than is there and come to a wrong answer
phantoms-talkative-train       phantoms-closed-train with rationales that go on to name up to four
                               more findings before they conclude
=============================  ====================================================================

Each of them but the last four comes as ``-train``, ``-test`` (the same distribution, other
pictures) and ``-ood-test`` (pairs of attributes that no other picture shows).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from medrl.cases.case import LETTERS, Case, Provenance, Reference
from medrl.clinic.phantoms.asking import (
    Asked,
    Asker,
    Side,
    attributes_for,
    findings_behind,
    reasoning,
)
from medrl.clinic.phantoms.modality import LEVELS, YES_NO, Task
from medrl.clinic.phantoms.phantom import MODALITIES, SIZE

Form = Literal["closed", "open"]
MOST_OPTIONS = 5
_HINTS = (
    "Note from triage: probably {}.",
    "Referral: {}, please confirm.",
    "Earlier report: {}.",
)


@dataclass(frozen=True)
class Hints:
    """Text shortcuts: a sentence in front of the question that names an answer.

    Attributes:
        share: of the questions that carry one, 0 to 1.
        reliability: share of the hints that are right, 0 to 1.
    """

    share: float
    reliability: float


@dataclass(frozen=True)
class PhantomSet:
    """What distinguishes one set from another."""

    side: Side
    forms: tuple[Form, ...] = ("closed",)
    modalities: tuple[str, ...] = tuple(MODALITIES)
    tasks: tuple[Task, ...] = tuple(LEVELS)
    hints: Hints | None = None
    careless: float = 0.0
    """Share of the rationales of hinted questions that do not come to the right answer, 0 to 1."""
    remarks: int = 0
    """The most findings that a rationale names without need; from none to so many evenly often."""


_SUFFIXES: dict[str, Side] = {"train": "train", "test": "test", "ood-test": "ood"}


def _kinds(side: Side) -> Iterator[tuple[str, PhantomSet]]:
    yield "", PhantomSet(side, ("closed", "open"))
    yield "closed-", PhantomSet(side)
    yield "open-", PhantomSet(side, ("open",))
    for modality in MODALITIES:
        yield f"{modality}-", PhantomSet(side, modalities=(modality,))
    for task in LEVELS:
        yield f"{task}-", PhantomSet(side, tasks=(task,))
    for level in sorted(set(LEVELS.values())):
        tasks = tuple(task for task in LEVELS if LEVELS[task] == level)
        yield f"level{level}-", PhantomSet(side, tasks=tasks)


PHANTOM_SETS: dict[str, PhantomSet] = {
    **{
        f"phantoms-{kind}{suffix}": phantom_set
        for suffix, side in _SUFFIXES.items()
        for kind, phantom_set in _kinds(side)
    },
    "phantoms-shortcut-train": PhantomSet("train", hints=Hints(0.5, 0.9)),
    "phantoms-shortcut-broken": PhantomSet("test", hints=Hints(1.0, 0.0)),
    "phantoms-careless-train": PhantomSet("train", hints=Hints(0.5, 0.9), careless=0.5),
    "phantoms-talkative-train": PhantomSet("train", remarks=4),
}


def reference_of(asked: Asked, form: Form, rng: random.Random) -> Reference:
    """What counts as right: a letter, yes or no, or a phrase."""
    if form == "open":
        return Reference("phrase", asked.answer)
    if asked.closed_only:
        return Reference("label", asked.answer, YES_NO)
    others = [answer for answer in asked.possible if answer != asked.answer]
    most = min(len(others), MOST_OPTIONS - 1)
    options = [asked.answer, *rng.sample(others, rng.randint(min(2, most), most))]
    rng.shuffle(options)
    return Reference("option", LETTERS[options.index(asked.answer)], tuple(options))


def case_of(asked: Asked, form: Form, case_id: str, dataset: str, rng: random.Random) -> Case:
    """One question about one picture, without a hint."""
    picture, question = asked.picture, asked.question
    reference = reference_of(asked, form, rng)
    letter = reference.value if reference.kind == "option" else ""
    attributes = picture.attributes
    return Case(
        id=case_id,
        question=rng.choice(question.wordings),
        reference=reference,
        source=Provenance(dataset),
        images=(picture,),
        tags={
            "modality": picture.modality,
            "task": question.task,
            "cognitive_level": str(LEVELS[question.task]),
            "form": form,
            "shortcut": "none",
            "answer": asked.answer,
            "findings": "; ".join(findings_behind(picture.modality, question, attributes)),
            "rationale": reasoning(picture.modality, question, attributes, letter),
        },
    )


def hinted(case: Case, possible: Sequence[str], hints: Hints, rng: random.Random) -> Case:
    """``case`` as it is, or with a hint that names an option with its letter. A wrong one names
    another option, or in open form another of the ``possible`` answers."""
    gold = case.reference.gold_text
    wrong = [text for text in case.reference.options or possible if text != gold]
    roll, right, at = rng.random(), rng.random() < hints.reliability, rng.randrange(len(_HINTS))
    named = gold if right else rng.choice(wrong)
    if case.reference.kind == "option":
        named += f" ({LETTERS[case.reference.options.index(named)]})"
    if roll >= hints.share:
        return case
    return replace(
        case,
        question=f"{_HINTS[at].format(named)} {case.question}",
        tags={**case.tags, "shortcut": "with" if right else "against"},
    )


def misread(case: Case, asked: Asked, rng: random.Random) -> Case:
    """``case`` with a rationale that sees something else than is there and comes, soundly, to a
    wrong answer; what is right stays."""
    reference = case.reference
    believed = rng.choice([text for text in reference.options if text != asked.answer])
    seen = rng.choice(attributes_for(asked.picture.modality, asked.question, believed))
    letter = LETTERS[reference.options.index(believed)] if reference.kind == "option" else ""
    rationale = reasoning(asked.picture.modality, asked.question, seen, letter)
    return replace(case, tags={**case.tags, "rationale": rationale})


def talkative(case: Case, asked: Asked, most: int, rng: random.Random) -> Case:
    """``case`` with a rationale that, once it has seen what the answer follows from, names up to
    ``most`` other findings of the picture, a sentence each: how long it is says nothing of
    whether it is right."""
    modality, attributes = MODALITIES[asked.picture.modality], asked.picture.attributes
    needed = findings_behind(modality.name, asked.question, attributes)
    others = [text for text in modality.findings(attributes).values() if text not in needed]
    named = rng.sample(others, min(len(others), rng.randint(0, most)))
    seen, stop, rest = case.tags["rationale"].partition(". ")
    remarks = "".join(f"I also see {text}. " for text in named)
    return replace(case, tags={**case.tags, "rationale": f"{seen}{stop}{remarks}{rest}"})


def phantom_questions(
    name: str, seed: int, clinic_seed: int = 0, pixels: int = SIZE
) -> Iterator[Case]:
    """Endless questions of one set, no picture twice.

    Raises:
        ValueError: unknown set.
    """
    if name not in PHANTOM_SETS:
        raise ValueError(f"unknown phantom set {name!r}; known: {', '.join(PHANTOM_SETS)}")
    wanted = PHANTOM_SETS[name]
    asker = Asker(wanted.side, wanted.modalities, wanted.tasks, pixels)
    # Sets that differ in hints or rationales only draw the same questions.
    key = f"{wanted.side}:{wanted.forms}:{wanted.modalities}:{wanted.tasks}"
    rng = random.Random(f"phantoms:{key}:{seed}:{clinic_seed}")
    hint_rng = random.Random(f"hints:{key}:{seed}:{clinic_seed}")
    slip_rng = random.Random(f"slips:{key}:{seed}:{clinic_seed}")
    shown: set[str] = set()
    while True:
        form = rng.choice(wanted.forms)
        asked = asker.ask(rng, form == "open")
        case = case_of(asked, form, f"{name}-{seed}-{len(shown)}", f"clinic/{name}", rng)
        if asked.picture.fingerprint in shown:
            continue
        shown.add(asked.picture.fingerprint)
        if wanted.hints:
            case = hinted(case, asked.possible, wanted.hints, hint_rng)
        if case.tags["shortcut"] != "none" and slip_rng.random() < wanted.careless:
            case = misread(case, asked, slip_rng)
        if wanted.remarks:
            case = talkative(case, asked, wanted.remarks, slip_rng)
        yield case


def phantom_cases(
    name: str, size: int, seed: int = 0, clinic_seed: int = 0, pixels: int = SIZE
) -> list[Case]:
    """``size`` questions of one set (see the table above); same arguments, same questions.

    ``pixels`` per side of the pictures is a multiple of 8 from 32.

    Raises:
        ValueError: unknown set.
        DataError: no picture can have so many pixels.
    """
    return list(islice(phantom_questions(name, seed, clinic_seed, pixels), size))
