"""What a recipe file may say.

A recipe is one YAML file with a ``common`` part and one part per scale; a scale's keys are laid
over the common ones, command-line overrides (``key=value``) over both. Unknown keys are refused
with the line they stand in and the nearest known name.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medrl.errors import RecipeError
from medrl.learning.critic import CriticKind
from medrl.learning.objectives.weights import Aggregation

RECIPES_DIR = Path(__file__).parent / "recipes"

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(_Part):
    """Which policy is trained and how it is loaded."""

    path: str
    """Folder, hub id, or ``clinic:text-base`` for the embedded base model."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; ``auto``: fp32 on CPU, bf16 on GPU. Weights stay fp32."""
    lora_rank: Annotated[int, Field(ge=0)] = 0
    """Rank of LoRA adapters on all linear layers; 0 trains every weight."""


class DataSpec(_Part):
    """One set of cases."""

    source: str
    """``clinic:<exam set>`` or a data set name (``medrl data`` lists them)."""
    path: str | None = None
    """Local file or folder; empty: the hub."""
    split: str | None = "train"
    """``train``, ``validation`` or ``test``; null: all rows of a file that names no split."""
    size: Positive | None = None
    """Most cases to use; needed for clinic sets, which are endless."""
    seed: int = 0


class DifficultySpec(_Part):
    """Train only on cases that the starting model answers rightly ``lo`` to ``hi`` times."""

    answers: Annotated[int, Field(ge=2)] = 10
    """Answers sampled to each case (CAPO: 10)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    lo: Annotated[int, Field(ge=0)] = 1
    hi: Annotated[int, Field(ge=0)] = 9

    @model_validator(mode="after")
    def _a_band(self) -> DifficultySpec:
        if not self.lo <= self.hi <= self.answers:
            raise ValueError(f"lo {self.lo} to hi {self.hi} is no band of {self.answers} answers")
        return self


class GraderSpec(_Part):
    """The one grader of the run, for reward and metric alike."""

    format: Literal["think_answer", "boxed", "free"] = "think_answer"
    strict_start: bool = False
    """True: text before the think tag breaks the format (then phase 5 cannot pay)."""


class RewardSpec(_Part):
    """Rule reward of a multiple-choice answer: malformed, wrong or right."""

    correct: float = 1.0
    wrong: float = 0.0
    malformed: float = -1.0


class Stage(_Part):
    """What every stage has."""

    steps: Positive
    prompts_per_step: Positive
    """Cases per step."""
    learning_rate: Rate
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Linear warm-up; constant afterwards."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    token_budget: Positive = 16_384
    """Most tokens, padding included, in one micro-batch; a hard cap."""
    checkpoint_every: Positive = 10
    """Steps between checkpoints."""


class PPOStage(Stage):
    """PPO with a critic and the rule reward."""

    objective: Literal["ppo"]
    answers_per_prompt: Positive = 1
    max_new_tokens: Positive
    temperature: Annotated[float, Field(gt=0)] = 1.0
    critic: CriticKind = "shared"
    critic_learning_rate: Rate = 1e-5
    epochs_per_step: Positive = 1
    """Passes over the episodes of a step."""
    minibatches: Positive = 1
    """Optimiser updates per pass."""
    clip_low: Share = 0.2
    clip_high: Annotated[float, Field(ge=0)] = 0.2
    value_clip: Annotated[float, Field(gt=0)] = 0.5
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the value loss; matters to the policy only with a shared critic."""
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.001
    """beta of the per-token KL penalty to the model at the start of the stage."""
    gamma: Share = 1.0
    lam: Share = 1.0
    aggregation: Aggregation = "response"
    """Mean over tokens of each response (Med-RLVR's 1/|o|) or over all tokens."""

    @model_validator(mode="after")
    def _enough_episodes(self) -> PPOStage:
        episodes = self.prompts_per_step * self.answers_per_prompt
        if self.minibatches > episodes:
            raise ValueError(
                f"minibatches is {self.minibatches} but a step has only {episodes} episodes; "
                "lower minibatches or raise prompts_per_step"
            )
        return self


class SFTStage(Stage):
    """Supervised fine-tuning on targets written from the cases."""

    objective: Literal["sft"]
    targets: Literal["answer", "full"] = "answer"
    """``answer``: the answer block alone. ``full``: reasoning from the case, then the answer."""
    aggregation: Aggregation = "token"


STAGES: dict[str, type[Stage]] = {"ppo": PPOStage, "sft": SFTStage}
"""Kinds of stage by objective."""


class EvaluationSpec(_Part):
    """How the model is evaluated before and after training."""

    sets: dict[str, DataSpec] = Field(default_factory=dict)
    max_new_tokens: Positive = 128
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy."""


class Recipe(_Part):
    """A resolved recipe: everything a run depends on."""

    name: str
    summary: str
    scale: str
    seed: int = 0
    clinic_seed: int = 0
    """Which pairings of condition and question the clinic keeps for the out-of-distribution set."""
    model: ModelSpec
    prompt: str = "think-answer"
    """Template name or a text with {question} and {options}."""
    train: DataSpec
    difficulty: DifficultySpec | None = None
    """Filter of the training cases by pass rate; none: all are used."""
    grader: GraderSpec = GraderSpec()
    reward: RewardSpec = RewardSpec()
    stages: tuple[Annotated[PPOStage | SFTStage, Field(discriminator="objective")], ...] = Field(
        min_length=1
    )
    evaluation: EvaluationSpec = EvaluationSpec()
    keep_checkpoints: Positive = 2
    episodes_kept: Annotated[int, Field(ge=0)] = 2
    """Episodes of each step written to the run folder for browsing."""

    def to_yaml(self) -> str:
        """The resolved recipe as YAML, readable and loadable."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


def available() -> dict[str, str]:
    """Name and one-line summary of each recipe that ships with medrl."""
    found = {}
    for path in sorted(RECIPES_DIR.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[path.stem] = str(document["common"]["summary"])
    return found


def load_recipe(name: str, scale: str = "rehearsal", overrides: Sequence[str] = ()) -> Recipe:
    """Read, overlay and validate a recipe.

    Args:
        name: a shipped recipe, the path of a YAML file, or a run's resolved ``recipe.yaml``.
        scale: ``rehearsal`` or ``paper``; ignored for a resolved recipe.
        overrides: ``key=value`` texts; keys are dotted paths (``train.size=500``). A field of a
            stage may be named alone (``learning_rate=1e-4``) and then applies to every stage
            that has it.

    Raises:
        RecipeError: unknown recipe, scale or key, value out of range; names key, line and fix.
    """
    path = _find(name)
    text = path.read_text(encoding="utf-8")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise RecipeError(f"{path}: not valid YAML: {why}", "mend the line named") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys", "start from a shipped recipe")
    content = _overlay(document, scale, path) if "common" in document else document
    for override in overrides:
        _apply(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise _explain(error, path, text, scale, overrides) from error


def _find(name: str) -> Path:
    shipped = RECIPES_DIR / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = sorted(available())
    near = difflib.get_close_matches(name, known, n=1)
    raise RecipeError(
        f"no recipe {name!r}",
        f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}; or give a file",
    )


def _overlay(document: dict[str, Any], scale: str, path: Path) -> dict[str, Any]:
    unknown = set(document) - {"common", "scales"}
    if unknown:
        raise RecipeError(
            f"{path}: unknown top-level key {sorted(unknown)[0]!r}",
            "a recipe file has the keys 'common' and 'scales'",
        )
    common, scales = document["common"] or {}, document.get("scales") or {}
    if not isinstance(common, dict) or not isinstance(scales, dict):
        raise RecipeError(
            f"{path}: 'common' and 'scales' are mappings of keys", "start from a shipped recipe"
        )
    if scale not in scales:
        raise RecipeError(f"{path}: no scale {scale!r}", f"known: {', '.join(scales)}")
    return _merged(common, {**(scales[scale] or {}), "scale": scale})


def _merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _merged(out[key], value) if both else value
    return out


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    if not equals:
        raise RecipeError(f"override {override!r} has no '='", "write key=value")
    value = _read_value(override, raw)
    if key not in Recipe.model_fields and any(key in kind.model_fields for kind in STAGES.values()):
        _apply_to_stages(content, key, value)
        return
    *parents, last = key.split(".")
    node: Any = content
    try:
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        node[int(last) if isinstance(node, list) else last] = value
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise RecipeError(
            f"override {override!r}: the recipe has no place {key!r}",
            "name a key as in the recipe file, parts joined by dots: train.size, stages.0.steps",
        ) from error


def _read_value(override: str, raw: str) -> Any:
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"override {override!r}: the value is not valid YAML", "put text in quotes"
        ) from error
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        with suppress(ValueError):
            if math.isfinite(number := float(value)):
                return number
    return value


def _apply_to_stages(content: Mapping[str, Any], key: str, value: Any) -> None:
    found = False
    for stage in content.get("stages") or ():
        kind = STAGES.get(str(stage.get("objective"))) if isinstance(stage, dict) else None
        if kind is not None and key in kind.model_fields:
            stage[key], found = value, True
    if not found:
        raise RecipeError(
            f"override {key!r}: no stage of this recipe has that field",
            "--dry-run shows the stages and their fields",
        )


def first_problem(error: ValidationError, known_keys: Sequence[str]) -> tuple[str, str]:
    """What a file says wrongly, first problem only, in one line, and what would be right."""
    problem = error.errors()[0]
    loc = _without_tags(problem["loc"])
    key = ".".join(map(str, loc))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), known_keys, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "remove it; the docs list the keys"
        return f"unknown key {key!r}", fix
    if problem["type"] == "missing":
        return f"{key!r} is missing", "add it"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key or 'top level'}: {message} (got {problem['input']!r})"[:500], ""


def _explain(
    error: ValidationError, path: Path, text: str, scale: str, overrides: Sequence[str]
) -> RecipeError:
    """The first problem, with its key, where it was written, and what would be right."""
    loc = _without_tags(error.errors()[0]["loc"])
    key = ".".join(map(str, loc))
    given = [o for o in overrides if o.split("=")[0] in (key, *map(str, loc[-1:]))]
    line = _line_of(text, scale, loc)
    place = f"override {given[-1]!r}" if given else f"{path}{f', line {line}' if line else ''}"
    message, fix = first_problem(error, list(_known_keys()))
    return RecipeError(f"{place}: {message}", fix)


def _without_tags(loc: Sequence[str | int]) -> list[str | int]:
    """Pydantic names the kind of a stage after its number; a recipe file does not."""
    return [
        part
        for i, part in enumerate(loc)
        if not (i and isinstance(loc[i - 1], int) and part in STAGES)
    ]


def _line_of(text: str, scale: str, loc: Sequence[str | int]) -> int | None:
    """Line of the deepest part of a key that the file has; a scale hides the common part."""
    root = yaml.compose(text, yaml.SafeLoader)
    deepest, line = 0, None
    for start in (["scales", scale], ["common"], []):
        depth, found = _follow(root, [*start, *loc])
        if depth - len(start) > deepest:
            deepest, line = depth - len(start), found
    return line


def _follow(node: yaml.Node | None, path: Sequence[str | int]) -> tuple[int, int]:
    """How many parts of ``path`` there are, and the line of the last of them."""
    line = 1
    for depth, part in enumerate(path):
        entry: tuple[yaml.Node, yaml.Node] | None = None
        if isinstance(node, yaml.MappingNode):
            entry = next(((k, v) for k, v in node.value if k.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
            entry = (node.value[int(part)], node.value[int(part)])
        if entry is None:
            return depth, line
        line, node = entry[0].start_mark.line + 1, entry[1]
    return len(path), line


_PARTS = (Recipe, ModelSpec, DataSpec, DifficultySpec, GraderSpec, RewardSpec, EvaluationSpec)


def _known_keys() -> Iterator[str]:
    for part in _PARTS:
        yield from part.model_fields
    for stage in STAGES.values():
        yield from stage.model_fields
