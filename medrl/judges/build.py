"""The judge that a recipe asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from medrl.errors import JudgeError
from medrl.grading import Grader
from medrl.judges.judge import Judge
from medrl.judges.reaching import key_of
from medrl.judges.reasoning import findings_rule, reasoning_rule
from medrl.judges.rule import Rule, RuleJudge, grader_rule, implied, keywords_rule, overlap_rule
from medrl.judges.spec import JudgeSpec

if TYPE_CHECKING:
    from medrl.learning.policy import Policy

_LOADED: WeakValueDictionary[tuple[str, str], Policy] = WeakValueDictionary()
"""Frozen models in use, so that two who ask the same model load it once."""


def check_judge(spec: JudgeSpec) -> None:
    """Refuse what can be known to fail before anything is loaded.

    Raises:
        JudgeError: the environment variable that should hold the key is not set.
    """
    if spec.api_key_env and not os.environ.get(spec.api_key_env):
        raise JudgeError(
            f"api_key_env is {spec.api_key_env}, which is not set",
            f"export {spec.api_key_env}=... before medrl is started, or leave api_key_env out",
        )


def build_judge(spec: JudgeSpec, grader: Grader, model_folder: Callable[[str], str] = str) -> Judge:
    """A judge, ready to be asked. Models are loaded, endpoints are not called yet.

    Args:
        grader: the run's, for the rule that repeats what it says.
        model_folder: see :class:`medrl.rewards.term.RewardContext`.

    Raises:
        JudgeError: a key that is not there, or a cache that cannot be used.
        ModelError: see :func:`medrl.learning.policy.load_policy`.
    """
    check_judge(spec)
    if spec.kind == "rule":
        return RuleJudge(_rule(spec, grader))
    if spec.kind == "endpoint":
        from medrl.judges.endpoint import EndpointJudge

        return EndpointJudge(spec, key_of(spec))
    # Imported here: it needs the schema, which needs the specs of the judges.
    from medrl.judges.model import ModelJudge

    return ModelJudge(spec, load_frozen(spec, model_folder))


def load_frozen(spec: JudgeSpec, model_folder: Callable[[str], str] = str) -> Policy:
    """The frozen model of a spec of kind ``model``; one in use already is not loaded again.

    Raises:
        ModelError: see :func:`medrl.learning.policy.load_policy`.
    """
    # Imported here: these need the schema, which needs the specs of the judges.
    from medrl.learning.policy import load_policy
    from medrl.schema import ModelSpec

    assert spec.model is not None  # the schema saw to it
    path = model_folder(spec.model)
    policy = _LOADED.get((path, spec.dtype))
    if policy is None:
        policy = load_policy(ModelSpec(path=path, dtype=spec.dtype))
        _freeze(policy)
        _LOADED[path, spec.dtype] = policy
    return policy


def _freeze(policy: Policy) -> None:
    """No gradients, and weights as they are computed with: only what is trained needs fp32."""
    policy.model.requires_grad_(False)
    for parameter in policy.model.parameters():  # and no buffers: positions need fp32
        parameter.data = parameter.data.to(policy.dtype)


def _rule(spec: JudgeSpec, grader: Grader) -> Rule:
    if spec.rule == "grader":
        return grader_rule(grader)
    if spec.rule == "implied":
        return implied
    if spec.rule == "overlap":
        return overlap_rule(spec.threshold)
    if spec.rule == "reasoning":
        return reasoning_rule(spec.least_words)
    if spec.rule == "findings":
        return findings_rule(spec.threshold)
    return keywords_rule(spec.keywords)
