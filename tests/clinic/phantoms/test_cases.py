"""Sets of questions: provable, balanced, disjoint, and answered by looking alone."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from scipy import stats

from medrl.cases.case import Case
from medrl.clinic.phantoms.asking import is_held_out, questions_of, side_of
from medrl.clinic.phantoms.cases import PHANTOM_SETS, phantom_cases
from medrl.clinic.phantoms.modality import LEVELS, YES_NO
from medrl.clinic.phantoms.phantom import MODALITIES
from medrl.clinic.sources import CLINIC_SETS
from medrl.errors import DataError
from medrl.grading import Grader, prove
from medrl.judges.conclusion import conclusion


@pytest.fixture(scope="module")
def closed() -> list[Case]:
    return phantom_cases("phantoms-closed-train", 3000)


@pytest.fixture(scope="module")
def opened() -> list[Case]:
    return phantom_cases("phantoms-open-train", 2000)


@pytest.mark.parametrize("name", PHANTOM_SETS)
def test_every_case_of_every_set_proves_itself(name: str) -> None:
    cases = CLINIC_SETS[name](40, 1, 0)
    assert len({case.id for case in cases}) == len({c.images[0] for c in cases}) == 40
    for case in cases:
        assert prove(case, Grader()) is None


def test_same_arguments_same_cases() -> None:
    cases = phantom_cases("phantoms-train", 20, 3, 1)
    assert cases == phantom_cases("phantoms-train", 20, 3, 1)
    assert cases == phantom_cases("phantoms-train", 40, 3, 1)[:20]
    for other in (
        phantom_cases("phantoms-train", 20, 4, 1),
        phantom_cases("phantoms-train", 20, 3),
    ):
        assert not {c.images for c in cases} & {c.images for c in other}
    large = phantom_cases("phantoms-train", 20, 3, 1, pixels=128)
    assert [c.question for c in large] == [c.question for c in cases]
    assert large[0].images[0].open().size == (128, 128)


def test_what_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="unknown phantom set 'phantoms-hand-train'"):
        phantom_cases("phantoms-hand-train", 1)
    with pytest.raises(DataError, match="63 pixels"):
        phantom_cases("phantoms-train", 1, pixels=63)


def test_tags(closed: list[Case], opened: list[Case]) -> None:
    assert {c.tags["modality"] for c in closed} == set(MODALITIES)
    assert {c.tags["task"] for c in closed} == set(LEVELS)
    for case in (*closed, *opened):
        tags, (picture,) = case.tags, case.images
        assert tags["cognitive_level"] == str(LEVELS[tags["task"]]) and tags["shortcut"] == "none"
        assert tags["modality"] == picture.modality
        assert tags["answer"] == case.reference.gold_text
    assert {c.tags["form"] for c in closed} == {"closed"}
    assert {c.tags["form"] for c in opened} == {"open"}
    assert {c.reference.kind for c in opened} == {"phrase"}
    assert {c.reference.kind for c in closed} == {"option", "label"}
    both = Counter(c.tags["form"] for c in phantom_cases("phantoms-train", 1000))
    assert 430 < both["open"] < 570


def test_the_reasoning_names_the_findings_and_ends_in_the_answer(
    closed: list[Case], opened: list[Case]
) -> None:
    for case in (*closed, *opened):
        rationale, findings = case.tags["rationale"], case.tags["findings"].split("; ")
        seen, _, rest = rationale.partition(". ")
        assert all(findings) and all(finding in seen for finding in findings)
        letter = f" ({case.reference.value})" if case.reference.kind == "option" else ""
        assert rest.endswith(f"So the answer is {case.reference.gold_text}{letter}.")
        assert 1 <= rationale.count(".") <= 3
        if case.tags["task"] == "diagnosis":
            assert f"means {case.reference.gold_text}." in rest


def test_the_gold_answer_is_right_by_the_picture_and_the_others_are_wrong(
    closed: list[Case],
) -> None:
    for case in closed:
        modality = MODALITIES[case.tags["modality"]]
        (question,) = [q for q in questions_of(modality) if case.question in q.wordings]
        right = question.answer(case.images[0].attributes)
        options = case.reference.options
        assert options.count(right) == 1 and case.reference.gold_text == right
        assert len(set(options)) == len(options) and 2 <= len(options) <= 5
        assert (case.reference.kind == "label") == (set(options) <= set(YES_NO))


def test_letters_are_balanced(closed: list[Case]) -> None:
    for count in (2, 3, 4, 5):
        found = Counter(c.reference.value for c in closed if len(c.reference.options) == count)
        if count == 2:
            found = Counter({letter: found[letter] for letter in "AB"})
        most, total = max(found.values()), found.total()
        assert most / total < 1 / count + 4 * math.sqrt((1 - 1 / count) / count / total)


@pytest.mark.parametrize("name", ["closed-train", "open-train", "closed-test", "closed-ood-test"])
def test_answers_are_balanced(name: str) -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for case in phantom_cases(f"phantoms-{name}", 3000, 5):
        wordings = case.question, case.tags["modality"], case.tags["form"]
        answers[str(wordings)][case.tags["answer"]] += 1
    assert len(answers) > 80
    for found in answers.values():
        chance, total = 1 / len(found), found.total()
        if total < 12:  # a rare wording
            continue
        assert len(found) > 1
        assert max(found.values()) / total < chance + 4.5 * math.sqrt(chance * (1 - chance) / total)


def test_sides_share_no_picture_and_held_out_pairs_are_seen_nowhere_else() -> None:
    shown = {
        side: [c.images[0] for c in phantom_cases(f"phantoms-{side}", 1500)]
        for side in ("train", "test", "ood-test")
    }
    for side, pictures in shown.items():
        expected = "ood" if side == "ood-test" else side
        assert {side_of(p) for p in pictures} == {expected}
        for picture in pictures:
            held_out = is_held_out(MODALITIES[picture.modality], picture.attributes)
            assert held_out is (side == "ood-test")
    assert len({p for pictures in shown.values() for p in pictures}) == 4500


@pytest.mark.parametrize("name", MODALITIES)
def test_every_value_is_seen_with_and_without_the_held_out_pairs(name: str) -> None:
    """Only pairs are new out of distribution, never a value by itself; and no value of one
    attribute gives away the other in training."""
    modality = MODALITIES[name]
    first, second = modality.crossed
    pairs: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for a in modality.combinations():
        pairs[is_held_out(modality, a)].add((a[first], a[second]))
    assert pairs[True].isdisjoint(pairs[False])
    for at, attribute in enumerate(modality.crossed):
        values = {value for value in modality.values[attribute] if value != "none"}
        assert {pair[at] for pair in pairs[True]} == values
        for value in values:
            assert len([pair for pair in pairs[False] if pair[at] == value]) >= 2


@pytest.mark.parametrize("name", MODALITIES)
def test_exactly_one_rule_fits(name: str) -> None:
    modality = MODALITIES[name]
    found: Counter[str] = Counter()
    for attributes in modality.combinations():
        (rule,) = [rule for rule in modality.rules if rule.fits(attributes)]
        assert rule == modality.rule(attributes)
        assert set(rule.uses) <= set(modality.findings(attributes))
        found[rule.diagnosis] += 1
    assert set(found) == {rule.diagnosis for rule in modality.rules}


def test_sets_keep_to_what_they_are_named_after() -> None:
    for name, wanted in PHANTOM_SETS.items():
        for case in phantom_cases(name, 30):
            assert case.tags["modality"] in wanted.modalities
            assert case.tags["task"] in wanted.tasks and case.tags["form"] in wanted.forms
    assert PHANTOM_SETS["phantoms-brain-test"].modalities == ("brain",)
    assert PHANTOM_SETS["phantoms-count-train"].tasks == ("count",)
    assert PHANTOM_SETS["phantoms-level3-ood-test"].tasks == ("diagnosis",)


# ---- shortcuts ----------------------------------------------------------------------------------


def test_hints_in_training_are_mostly_right() -> None:
    cases = phantom_cases("phantoms-shortcut-train", 3000)
    kinds = Counter(case.tags["shortcut"] for case in cases)
    assert kinds["none"] / 3000 == pytest.approx(0.5, abs=0.04)
    assert kinds["with"] / (kinds["with"] + kinds["against"]) == pytest.approx(0.9, abs=0.03)
    plain = phantom_cases("phantoms-closed-train", 3000)
    for case, without in zip(cases, plain, strict=True):
        hint = case.question.removesuffix(without.question)
        assert case.images == without.images and case.reference == without.reference
        if case.tags["shortcut"] == "none":
            assert hint == ""
        else:
            assert (f" {case.tags['answer']}" in f" {hint}") == (case.tags["shortcut"] == "with")


def test_broken_hints_are_all_wrong_and_nothing_else_is_changed() -> None:
    broken = phantom_cases("phantoms-shortcut-broken", 500, 2)
    for case, without in zip(broken, phantom_cases("phantoms-closed-test", 500, 2), strict=True):
        hint = case.question.removesuffix(without.question)
        named = [text for text in case.reference.options if f"{text}" in hint]
        assert named and case.tags["shortcut"] == "against"
        assert max(named, key=len) != case.reference.gold_text
        assert replace(case, id="", question="", source=without.source, tags={}) == replace(
            without, id="", question="", tags={}
        )


def test_careless_rationales_come_to_a_wrong_answer_where_there_is_a_hint() -> None:
    """Half of them, and soundly: what they see is what their answer follows from. Nothing else is
    changed, and where there is no hint they are right."""
    cases = phantom_cases("phantoms-careless-train", 800)
    careful = phantom_cases("phantoms-shortcut-train", 800)
    wrong = Counter[bool]()
    for case, other in zip(cases, careful, strict=True):
        assert case.question == other.question and case.images == other.images
        assert case.reference == other.reference and case.tags["findings"] == other.tags["findings"]
        read = conclusion(
            case.tags["rationale"], case.reference.value, case.reference, case.question
        )
        assert read.agrees is (case.tags["rationale"] == other.tags["rationale"])
        wrong[case.tags["shortcut"] != "none"] += not read.agrees
    hints = sum(case.tags["shortcut"] != "none" for case in cases)
    assert not wrong[False] and stats.binomtest(wrong[True], hints, 0.5).pvalue > 0.001


def test_talkative_rationales_differ_in_length_and_in_nothing_else() -> None:
    """What they add is in the picture and was not said; the conclusion is the same."""
    cases = phantom_cases("phantoms-talkative-train", 400)
    plain = phantom_cases("phantoms-closed-train", 400)
    added = Counter[int]()
    for case, other in zip(cases, plain, strict=True):
        [picture] = case.images
        there = MODALITIES[picture.modality].findings(picture.attributes).values()
        seen, *others = case.tags["rationale"].split(". ")
        remarks = [o.removeprefix("I also see ") for o in others if o.startswith("I also see")]
        assert set(remarks) <= set(there) and len(set(remarks)) == len(remarks)
        assert not any(remark in seen for remark in remarks)
        rest = [o for o in others if not o.startswith("I also see")]
        assert ". ".join([seen, *rest]) == other.tags["rationale"]
        assert replace(case, id=other.id, source=other.source, tags=other.tags) == other
        added[len(remarks)] += 1
    assert set(added) == {0, 1, 2, 3, 4}
    assert stats.binomtest(added[0], len(cases), 0.2).pvalue > 0.001


class Reader:
    """Naive Bayes on text alone: is an option right, given its words, the question, and whether
    what stands before the question names it?"""

    def __init__(self, cases: list[Case]) -> None:
        self.counts: dict[bool, Counter[object]] = {True: Counter(), False: Counter()}
        for case in cases:
            for option in case.reference.options:
                right = option == case.reference.gold_text
                self.counts[right].update(("all", *self._clues(case, option)))

    def _clues(self, case: Case, option: str) -> list[object]:
        hint, _, question = case.question.rpartition(". ")
        named = f" {option}" in f" {hint}"
        return [(named, bool(hint)), option, (question, option), len(case.reference.options)]

    def accuracy(self, cases: list[Case]) -> float:
        def score(case: Case, option: str) -> float:
            return sum(
                math.log((self.counts[True][clue] + 1) / (self.counts[True]["all"] + 2))
                - math.log((self.counts[False][clue] + 1) / (self.counts[False]["all"] + 2))
                for clue in self._clues(case, option)
            )

        right = 0
        for case in cases:
            best = max(case.reference.options, key=lambda option: score(case, option))
            right += best == case.reference.gold_text
        return right / len(cases)


def test_who_only_reads_is_at_chance_unless_there_are_hints(closed: list[Case]) -> None:
    plain = phantom_cases("phantoms-closed-test", 2000)
    chance = sum(1 / len(case.reference.options) for case in plain) / len(plain)
    assert abs(Reader(closed).accuracy(plain) - chance) < 0.04
    hinted = phantom_cases("phantoms-shortcut-train", 3000)
    reader = Reader(hinted)
    half = [c for c in phantom_cases("phantoms-shortcut-train", 2000, 1)]
    assert reader.accuracy(half) > chance + 0.15
    assert abs(reader.accuracy(plain) - chance) < 0.04
    assert reader.accuracy(phantom_cases("phantoms-shortcut-broken", 1000)) < 0.1
