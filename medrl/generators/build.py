"""The generator that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable

from medrl.generators.extractive import ExtractiveGenerator, RuleName
from medrl.generators.generator import Generator
from medrl.judges.build import check_judge, key_of, load_frozen
from medrl.judges.spec import JudgeSpec


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
