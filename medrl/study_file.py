"""What may stand in a study file, and reading one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from medrl.cases.spec import DataSpec, DrawSpec, refuse_noise
from medrl.errors import DataError, RecipeError
from medrl.evaluation.claims import AnyClaim, Cell, Claim, LevelClaim, QualityClaim
from medrl.evaluation.readings import Contrast, Reading, TrainingClaim
from medrl.part import Part, Positive
from medrl.recipe import first_problem
from medrl.report.study_figures import CurveSpec, FigureSpec
from medrl.rewards.reward import RewardSpec
from medrl.schema import Recipe

STUDIES_DIR = Path(__file__).parent / "studies"


class Arm(Part):
    """The recipe with other settings or stages, or untrained; or another arm half-way."""

    train: bool = True
    overrides: tuple[str, ...] = ()
    stages: list[dict[str, Any]] | None = None
    of: str = ""
    """Another arm, as it was after one of its stages; nothing is trained again."""
    after: str = ""
    """With ``of``: the stage, by name; one that changes the policy, and not the last."""

    @model_validator(mode="after")
    def _half_way_or_not(self) -> Arm:
        if bool(self.of) != bool(self.after):
            raise ValueError("of and after go together: which arm, after which of its stages")
        if self.of and (self.overrides or self.stages or not self.train):
            raise ValueError(f"an arm of {self.of!r} has its settings; give no others")
        return self


class Start(Part):
    """How a model is asked, how its answer is made to begin, and where it is cut off; empty: as the
    recipe asks, and as the model likes."""

    prompt: str = ""
    """Template or pool (``pool:unseen``) for all arms; empty: what their recipe evaluates with."""
    prefill: str = ""
    until: str = ""
    max_new_tokens: Positive | None = None
    """None: as the recipe evaluates. Few leave no room to reason inside the answer."""


class SetSpec(DataSpec):
    """A set of test questions, or those of them at some difficulty levels."""

    levels: tuple[Positive, ...] | None = None
    """Levels for the recipe's own model, see ``draws``; 1: it always answers rightly. None: all."""


class Study(Part):
    """A study file."""

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    """Settings of all arms, ``key=value`` as on the command line."""
    arms: dict[str, Arm] = Field(min_length=1)
    sets: dict[str, SetSpec] = Field(min_length=1)
    draws: DrawSpec = DrawSpec(answers=5)
    """How the recipe's own model is asked for the levels of ``sets``."""
    starts: dict[str, Start]
    score: RewardSpec | None = None
    """A reward within [0, 1] that every answer is also measured by."""
    claims: list[AnyClaim]
    figures: tuple[FigureSpec, ...] = ()
    by: str = ""
    """Tag of the cases by whose values results are told as well, as ``cognitive_level``."""
    training: tuple[str, ...] = ()
    """Metrics of training steps that the results list for every trained arm."""
    curves: tuple[CurveSpec, ...] = ()
    """Metrics over training steps, drawn behind the figures."""

    @model_validator(mode="after")
    def _sets_can_be_had(self) -> Study:
        refuse_noise(self.sets)
        for name, arm in self.arms.items():
            there = self.arms.get(arm.of)
            if arm.of and (there is None or there.of or not there.train):
                raise ValueError(f"arms.{name}: {arm.of!r} is no arm that is trained")
        for name, spec in self.sets.items():
            if spec.levels and max(spec.levels) > self.draws.answers + 1:
                raise ValueError(
                    f"sets.{name}.levels has {max(spec.levels)}, but {self.draws.answers} draws "
                    f"make the levels 1 to {self.draws.answers + 1}; raise draws.answers"
                )
        if self.score is None and any(claim.of == "score" for claim in self.claims):
            raise ValueError("a claim is of score, but the study has none; add score: {terms: ...}")
        return self

    @property
    def trained(self) -> Iterator[tuple[str, str]]:
        """Every arm that a claim or curve looks at while it trains, with that one's name."""
        for claim in self.claims:
            if isinstance(claim, LevelClaim | QualityClaim):
                yield claim.name, claim.arm
            elif isinstance(claim, TrainingClaim):
                yield from ((claim.name, reading.arm) for reading in claim.readings)
        for each in self.curves:
            yield from ((each.title, arm) for arm in each.arms)

    @property
    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Every cell that a claim or figure speaks of, with the name of the claim or figure."""
        for claim in self.claims:
            if isinstance(claim, Claim):
                yield from ((claim.name, c) for p in claim.pairs for c in (p.more, p.less))
        for figure in self.figures:
            for arm in figure.arms:
                for name in figure.sets:
                    yield figure.title, Cell(arm=arm, set=name, start=figure.start)


STUDY_PARTS: tuple[type[Part], ...] = (
    *(Study, Arm, Start, Claim, LevelClaim, QualityClaim, TrainingClaim),
    *(RewardSpec, Cell, Contrast, Reading, SetSpec, DrawSpec, FigureSpec, CurveSpec),
)
"""All mappings of a study file."""


def load_study(name: str) -> Study:
    """Read a shipped study or a YAML file.

    Raises:
        RecipeError: unknown study, unknown key, or a claim about an arm, set or start that the
            study does not have.
    """
    path = STUDIES_DIR / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in STUDIES_DIR.glob("*.yaml")))
        raise RecipeError(f"no study {name!r}", f"known: {known}; or give a file")
    try:
        study = Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        keys = [key for part in STUDY_PARTS for key in part.model_fields]
        message, fix = first_problem(error, keys)
        raise RecipeError(f"{path}: {message}", fix) from error
    for title, cell in study.cells:
        there = cell.arm in study.arms and cell.set in study.sets and cell.start in study.starts
        if not there:
            raise RecipeError(f"{path}: {title!r} speaks of unknown {cell}")
    for title, name in study.trained:
        arm = study.arms.get(name)
        if arm is None or arm.of or not arm.train:
            raise RecipeError(f"{path}: {title!r} is about training, {name} has none")
    return study


def located_study(study: Study, paths: Mapping[str, str]) -> Study:
    """The study with a path for each set that leaves it open, so that no study names a machine.

    Args:
        paths: file or folder by name of a data set.

    Raises:
        DataError: a data set that the study does not ask about.
    """
    for name in paths.keys() - {spec.source for spec in study.sets.values()}:
        known = sorted({spec.source for spec in study.sets.values()})
        raise DataError(f"{study.name} asks nothing about {name!r}", f"it has {', '.join(known)}")
    return Study.model_validate(_located(study.model_dump(), paths))


def located_recipe(recipe: Recipe, paths: Mapping[str, str]) -> Recipe:
    """The same for the sets of a recipe, those of its stages included."""
    return Recipe.model_validate(_located(recipe.model_dump(), paths))


def _located(content: Any, paths: Mapping[str, str]) -> Any:
    """Mappings as they are, but for ``path`` beside a ``source`` that has one."""
    if isinstance(content, Mapping):
        found = {key: _located(value, paths) for key, value in content.items()}
        if "path" in found and found["path"] is None and found.get("source") in paths:
            found["path"] = paths[found["source"]]
        return found
    if isinstance(content, list | tuple):
        return [_located(value, paths) for value in content]
    return content
