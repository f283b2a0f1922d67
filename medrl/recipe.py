"""Read recipe files.

A recipe is one YAML file with a ``common`` part and one part per scale; a scale's keys are laid
over the common ones, command-line overrides (``key=value``) over both. Unknown keys are refused
with the line they stand in and the nearest known name.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medrl.cases.spec import ONE, SEVERAL
from medrl.environments.kinds import ENVIRONMENTS
from medrl.errors import RecipeError
from medrl.generators.build import NAMED, WRITTEN
from medrl.rewards.reward import TERMS
from medrl.schema import PARTS, Recipe
from medrl.stages import STAGES

RECIPES_DIR = Path(__file__).parent / "recipes"


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
            "name a key as in the recipe file, parts joined by dots: train.size, "
            "train.0.size where train is a list, stages.0.steps",
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
    loc = _place(problem)
    key = ".".join(map(str, loc))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), known_keys, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "remove it; the docs list the keys"
        return f"unknown key {key!r}", fix
    if problem["type"] in ("missing", "union_tag_not_found"):
        return f"{key!r} is missing", "add it"
    if problem["type"] == "union_tag_invalid":
        given, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"].replace("'", "")
        near = difflib.get_close_matches(given, known.split(", "), n=1)
        fix = f"did you mean {near[0]!r}? " if near else ""
        return f"{key}: {given!r} is not known", f"{fix}known: {known}"
    if problem["type"] == "value_error":  # the schema's own words: "what is wrong; what to do"
        message, _, fix = str(problem["ctx"]["error"]).partition("; ")
        return f"{key or 'top level'}: {message}", fix
    return f"{key or 'top level'}: {problem['msg']} (got {problem['input']!r})"[:500], ""


def _explain(
    error: ValidationError, path: Path, text: str, scale: str, overrides: Sequence[str]
) -> RecipeError:
    """The first problem, with its key, where it was written, and what would be right."""
    problem = error.errors()[0]
    loc = _place(problem)
    key = ".".join(map(str, loc))
    blamed = {key, *map(str, loc[-1:])}
    if problem["type"] == "value_error":  # values that do not go together: the message names them
        named = re.findall(r"\w+", problem["msg"])
        blamed |= {*named, *(f"{key}.{name}" for name in named)}
    given = [o for o in overrides if o.split("=")[0] in blamed]
    line = _line_of(text, scale, loc)
    place = f"override {given[-1]!r}" if given else f"{path}{f', line {line}' if line else ''}"
    message, fix = first_problem(error, list(_known_keys()))
    return RecipeError(f"{place}: {message}", fix)


def _place(problem: Mapping[str, Any]) -> list[str | int]:
    """Where a problem is, in the words of a recipe file.

    Pydantic names the kind of a stage or term after its number, that of an environment after its
    key, and how ``train`` or a generator is spelt, which the file does not; but not the field that
    should have told the kind.
    """
    loc = problem["loc"]
    place = [
        part
        for i, part in enumerate(loc)
        if not (i and isinstance(loc[i - 1], int) and (part in STAGES or part in TERMS))
        and not (i and loc[i - 1] == "environment" and part in ENVIRONMENTS)
        and part not in (ONE, SEVERAL, NAMED, WRITTEN)
    ]
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        place.append(problem["ctx"]["discriminator"].strip("'"))
    return place


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


def _known_keys() -> Iterator[str]:
    for part in PARTS:
        yield from part.model_fields
    for kind in (*STAGES.values(), *TERMS.values()):
        yield from kind.model_fields
