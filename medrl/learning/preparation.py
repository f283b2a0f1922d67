"""Load and check everything a recipe names, before anything is written or trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from medrl.cases.axes import balance, flip_labels, in_orders, length_band, unite
from medrl.cases.case import Case
from medrl.cases.enlarging import enlarge
from medrl.cases.loading import LoadedCases, load_cases
from medrl.cases.spec import DataSpec, sets_of
from medrl.clinic.exams import EXAM_SETS, exam
from medrl.clinic.sources import CLINIC_SETS
from medrl.environments.pools import templates_of
from medrl.errors import DataError, RecipeError
from medrl.evaluation.evaluate import Examiner
from medrl.grading import Grader
from medrl.grading.proof import prove
from medrl.judges import check_judge
from medrl.learning.conversing import (
    Setting,
    opening_prompt,
    setting_of,
    written_conversations,
)
from medrl.learning.groups import Group
from medrl.learning.inputs import fingerprint
from medrl.learning.memory import check_memory
from medrl.learning.policy import Policy, load_policy
from medrl.learning.rollout import encode_prompt, target_groups
from medrl.learning.scoring import candidate_group, pair_group
from medrl.learning.traces import trace_groups
from medrl.run import derive_seed
from medrl.sampling.build import build_sampler
from medrl.schema import Recipe
from medrl.stages import (
    NamedStage,
    PreferenceStage,
    RLStage,
    ScoreStage,
    SFTStage,
    Stage,
    TraceStage,
)

logger = logging.getLogger("medrl")

MAX_TOO_LONG = 0.02
"""Share of cases that may be set aside because their prompts do not fit the model."""


def warn_of_rows(loaded: LoadedCases) -> None:
    """Say in the log which rows of a set were set aside, the first of them by name, and if rows
    were read that belong to different splits."""
    for row in loaded.rejected[:5]:
        logger.warning("set aside %s: %s", row.provenance, row.reason)
    if len(loaded.rejected) > 5:
        source = loaded.rejected[0].provenance.dataset
        logger.warning("set aside %d rows of %s in all", len(loaded.rejected), source)
    if len(loaded.splits) > 1:
        dataset, splits = loaded.cases[0].source.dataset, loaded.told_splits()
        logger.warning("%s is read across its splits: %s; split: train is one", dataset, splits)


def cases_of(
    spec: DataSpec,
    grader: Grader,
    clinic_seed: int = 0,
    tell: Callable[[LoadedCases], None] = warn_of_rows,
) -> list[Case]:
    """The cases of one set; each has proved that the grader can tell its right answer.

    Noise is last: a replaced answer has been proved as well, for all options have.

    Args:
        tell: is given what came out of a data set's files.

    Raises:
        DataError: unknown set, unreadable file, too many bad rows, an axis that does not apply.
        RecipeError: a clinic set without a size.
    """
    if spec.source.startswith("clinic:"):
        cases = _clinic_cases(spec, grader, clinic_seed)
    else:
        cases = _loaded_cases(spec, grader, tell)
    cases = in_orders(flip_labels(cases, spec.noise, spec.seed), spec.orders)
    if spec.enlarge_to is not None:
        cases = enlarge(cases, spec.enlarge_to)
    return cases if spec.perturb is None else spec.perturb.twins(cases, spec.seed)


def mixed_cases(
    train: DataSpec | tuple[DataSpec, ...], grader: Grader, clinic_seed: int = 0
) -> list[Case]:
    """The cases of one set or of several, set after set.

    Raises:
        DataError, RecipeError: see :func:`cases_of`; also a case that is in two sets.
    """
    sets = sets_of(train)
    found = [cases_of(spec, grader, clinic_seed) for spec in sets]
    return unite(found, [spec.source for spec in sets])


def _clinic_cases(spec: DataSpec, grader: Grader, clinic_seed: int) -> list[Case]:
    name = spec.source.partition(":")[2]
    if name not in CLINIC_SETS:
        raise DataError(f"no clinic set {name!r}", f"known: {', '.join(CLINIC_SETS)}")
    if spec.size is None:
        raise RecipeError(f"{spec.source} is endless", "give it a size")
    if spec.clues is None:
        cases = CLINIC_SETS[name](spec.size, spec.seed, clinic_seed)
    elif name in EXAM_SETS:
        shown = (spec.clues.min, spec.clues.max)
        cases = exam(name, spec.size, spec.seed, clinic_seed, shown)
    else:
        raise DataError(f"{spec.source} has no patients who show clues", "leave clues out")
    for case in cases:
        if fault := prove(case, grader):
            raise DataError(f"clinic case {case.id} cannot be graded: {fault}")
    return cases


def _loaded_cases(
    spec: DataSpec, grader: Grader, tell: Callable[[LoadedCases], None]
) -> list[Case]:
    # Kinds, a band of lengths and a balance are of the whole set, whatever part is used then.
    limit = None if spec.kinds or spec.length or spec.balanced else spec.size
    loaded = load_cases(
        spec.source, spec.path, spec.split, limit, prove=lambda case: prove(case, grader)
    )
    tell(loaded)
    cases = [c for c in loaded.cases if not spec.kinds or c.reference.kind in spec.kinds]
    if not cases:
        raise DataError(f"{spec.source} has no {' or '.join(spec.kinds)}", "leave kinds out")
    if spec.length is not None:
        cases = length_band(cases, spec.length.lo, spec.length.hi)
    return balance(cases, spec.size) if spec.balanced else cases[: spec.size]


@dataclass(frozen=True)
class StageData:
    """The cases of a stage.

    Attributes:
        cases: to train on; ``None``: the recipe's.
        lengths: tokens of the prompt of each of them.
        other: held-out cases of a score stage or for a plateau; those that a trace stage is to
            explain.
    """

    cases: list[Case] | None
    lengths: list[int]
    other: list[Case]


@dataclass(frozen=True)
class Parts:
    """What a recipe names, loaded and checked: who is asked, and all cases.

    Attributes:
        train_cases: of the recipe; a stage may have its own.
        prompt_lengths: tokens of the prompt of each of these.
        stages: one per stage of the recipe.
    """

    examiner: Examiner
    train_cases: list[Case]
    prompt_lengths: list[int]
    stages: list[StageData]
    sets: dict[str, list[Case]]

    def fingerprint(self) -> dict[str, str]:
        """See :mod:`medrl.learning.inputs`; only true before training changes the model."""
        own = {
            f"{what} of stage {number}": cases
            for number, data in enumerate(self.stages, 1)
            for what, cases in (("cases", data.cases), ("other cases", data.other))
            if cases
        }
        return fingerprint(self.examiner.policy.model, self.train_cases, {**own, **self.sets})


def load_examiner(recipe: Recipe, model: str | None = None) -> Examiner:
    """An examiner with the recipe's grader and its prompt for test questions; for its model, or for
    another one.

    Raises:
        ModelError: see :func:`medrl.learning.policy.load_policy`.
        SamplingError: see :func:`medrl.sampling.build.build_sampler`.
    """
    torch.manual_seed(derive_seed(recipe.seed, "model"))  # LoRA's random half
    path = model or recipe.model.path
    policy = load_policy(recipe.model.model_copy(update={"path": path}))
    sampler = build_sampler(recipe.sampler, policy)
    spec = recipe.grader
    grader = Grader(format=spec.format, strict_start=spec.strict_start, forms=spec.forms)
    setting = setting_of(recipe.evaluation_environment, policy, grader)
    return Examiner(policy, sampler, recipe.evaluation_prompt, grader, setting)


def prepare(recipe: Recipe) -> Parts:
    """Load and check everything a run needs; writes nothing.

    Raises:
        ModelError, DataError, RecipeError, SamplingError: what is missing or does not fit, prompts
            that are too long for the model included.
    """
    examiner = load_examiner(recipe)
    check_memory(recipe, examiner.policy)
    for stage in recipe.stages:
        if isinstance(stage, RLStage):
            for term in (stage.reward or recipe.reward).terms:
                term.check()
            if stage.audit is not None and stage.audit.judge is not None:
                check_judge(stage.audit.judge)
    sharing = [s for s in recipe.stages if isinstance(s, RLStage) and s.train is None]
    rooms = [stage.max_new_tokens for stage in sharing]
    if recipe.difficulty is not None:
        prefill = len(examiner.policy.encode(recipe.difficulty.prefill))
        rooms.append(prefill + recipe.evaluation.max_new_tokens)
    train_cases, lengths = _fitting(recipe, examiner, recipe.train, max(rooms, default=0))
    stages = [
        _stage_data(recipe, index, stage, examiner, train_cases, lengths)
        for index, stage in enumerate(recipe.stages)
    ]
    room = recipe.evaluation.max_new_tokens
    sets = {
        name: _fitting(recipe, examiner, spec, room, recipe.evaluation_prompt)[0]
        for name, spec in recipe.evaluation.sets.items()
    }
    return Parts(examiner, train_cases, lengths, stages, sets)


def _fitting(
    recipe: Recipe,
    examiner: Examiner,
    spec: DataSpec | tuple[DataSpec, ...],
    room: int,
    template: str = "",
) -> tuple[list[Case], list[int]]:
    cases = mixed_cases(spec, examiner.grader, recipe.clinic_seed)
    if examiner.setting is not None:
        return _fitting_openings(examiner.policy, cases, examiner.setting, room)
    return fitting(examiner.policy, cases, template or recipe.prompt, room)


def _fitting_openings(
    policy: Policy, cases: Sequence[Case], setting: Setting, room: int
) -> tuple[list[Case], list[int]]:
    """The cases that a conversation can begin about, and the tokens of their openings."""
    most = min(setting.limits.tokens, policy.context) - room

    def measure(case: Case) -> int:
        return len(opening_prompt(policy, case, setting.world.open(case, 0).opening, most))

    return keep_measurable(measure, cases)


def _stage_data(
    recipe: Recipe,
    index: int,
    stage: NamedStage,
    examiner: Examiner,
    shared: list[Case],
    shared_lengths: list[int],
) -> StageData:
    """Load a stage's own cases, and check that its longest episode fits the budget.

    Raises:
        RecipeError: the budget is too small.
        DataError: a case lacks what the stage learns from.
    """
    if not isinstance(stage, Stage):
        return StageData(None, [], [])
    room = getattr(stage, "max_new_tokens", 0)
    cases, lengths = shared, shared_lengths
    if stage.train is not None:
        cases, lengths = _fitting(recipe, examiner, stage.train, room)
    other: list[Case] = []
    if isinstance(stage, TraceStage):
        other = _fitting(recipe, examiner, stage.fill, room)[0]
    if isinstance(stage, RLStage) and stage.plateau is not None:
        asked = recipe.evaluation.max_new_tokens
        other = _fitting(recipe, examiner, stage.plateau.validation, asked)[0]
    if isinstance(stage, ScoreStage):
        other = cases_of(stage.test, examiner.grader, recipe.clinic_seed)
    longest = max(lengths) + room - 1
    if examiner.setting is not None:
        longest = min(examiner.setting.limits.tokens, examiner.policy.context)
    if written := _written(recipe, stage, examiner, cases, other):
        longest = max(len(e.token_ids) for group in written for e in group.episodes) - 1
    _check_budget(stage, index, longest)
    return StageData(cases if stage.train is not None else None, lengths, other)


def _written(
    recipe: Recipe, stage: Stage, examiner: Examiner, cases: list[Case], other: list[Case]
) -> list[Group]:
    """The answers that a stage learns from, if they are not sampled and known beforehand."""
    policy, grader = examiner.policy, examiner.grader
    if isinstance(stage, SFTStage) and examiner.setting is not None:
        return written_conversations(policy, cases, examiner.setting, grader, 0)
    if isinstance(stage, SFTStage) and not stage.traces:
        return target_groups(policy, cases, recipe.prompt, grader, stage.targets == "full")
    if isinstance(stage, TraceStage):
        return trace_groups(policy, cases, grader)
    if isinstance(stage, ScoreStage):
        write = pair_group if isinstance(stage, PreferenceStage) else candidate_group
        return [write(policy, case, recipe.prompt) for case in (*cases, *other)]
    return []


def _check_budget(stage: Stage, index: int, longest: int) -> None:
    """Refuse a budget that the longest possible episode would not fit, before any work.

    Raises:
        RecipeError: the budget is too small.
    """
    if stage.token_budget < longest:
        raise RecipeError(
            f"stage {index} ({stage.label}): token_budget is {stage.token_budget}, but the "
            f"longest prompt with its answer may have {longest} tokens",
            f"set token_budget to at least {longest}",
        )


def fitting(
    policy: Policy, cases: Sequence[Case], template: str, room: int
) -> tuple[list[Case], list[int]]:
    """The cases whose prompts leave ``room`` tokens for an answer, and how many tokens those
    prompts have; the others are named.

    Raises:
        DataError: more than ``MAX_TOO_LONG`` of the cases do not fit.
    """
    longest = max(templates_of(template), key=len)
    return keep_measurable(lambda c: len(encode_prompt(policy, c, longest, room)), cases)


Measured = TypeVar("Measured")


def keep_measurable(
    measure: Callable[[Case], Measured], cases: Sequence[Case]
) -> tuple[list[Case], list[Measured]]:
    """The cases that can be measured, and what ``measure`` gives for each; those it raises a
    ``DataError`` for are named and set aside.

    Raises:
        DataError: of more than ``MAX_TOO_LONG`` of the cases; the first.
    """
    kept: list[Case] = []
    measured: list[Measured] = []
    faults: list[DataError] = []
    for case in cases:
        try:
            measured.append(measure(case))
            kept.append(case)
        except DataError as error:
            faults.append(error)
    if len(faults) > MAX_TOO_LONG * len(cases):
        raise faults[0]
    for fault in faults:
        logger.warning("set aside %s", fault.message)
    return kept, measured
