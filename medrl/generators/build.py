"""The generator that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from medrl.generators.extractive import ExtractiveGenerator, RuleName
from medrl.generators.generator import Generator
from medrl.judges.build import check_judge, load_frozen
from medrl.judges.reaching import key_of
from medrl.judges.spec import JudgeSpec

NAMED, WRITTEN = "by name", "as a judge"


def _spelling(value: Any) -> str:
    """Which of the two a recipe means, so that a wrong key is told by its own name."""
    return NAMED if isinstance(value, str) else WRITTEN


AnyGenerator = Annotated[
    Annotated[RuleName, Tag(NAMED)] | Annotated[JudgeSpec, Tag(WRITTEN)],
    Discriminator(_spelling),
]
"""A rule by its name, or a model as a judge is written."""


def check_generator(spec: RuleName | JudgeSpec) -> None:
    """Refuse a spec that cannot write answers.

    Raises:
        ValueError: in the words of the schema: what is wrong; what to do.
    """
    if isinstance(spec, JudgeSpec) and spec.kind == "rule":
        raise ValueError("a generator of kind rule is given by name; write generator: topic")
    if isinstance(spec, JudgeSpec) and spec.kind == "model" and spec.mode != "text":
        raise ValueError("a generator writes its answers; set mode: text")


def build_generator(
    spec: RuleName | JudgeSpec, model_folder: Callable[[str], str] = str
) -> Generator:
    """A generator, ready to be asked. Models are loaded, endpoints are not called yet.

    Raises:
        JudgeError: a key that is not there, or an address that texts may not be sent to.
        ModelError: see :func:`medrl.learning.policy.load_policy`.
    """
    if not isinstance(spec, JudgeSpec):
        return ExtractiveGenerator(spec)
    check_judge(spec)
    # Imported here: a model brings the learner's modules along, a rule needs none of them.
    from medrl.generators.written import EndpointGenerator, ModelGenerator

    if spec.kind == "endpoint":
        return EndpointGenerator(spec, key_of(spec))
    return ModelGenerator(spec, load_frozen(spec, model_folder))
