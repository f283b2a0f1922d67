"""What a recipe may say about any environment; each kind adds its own fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, field_validator

from medrl.environments.environment import World
from medrl.grading import Grader
from medrl.part import Part, Positive

PLAIN = "\nUser: {reply}\nAssistant:"
"""For models without a chat template; prompts in the usual shape begin with ``User:`` too."""


class EnvironmentSpec(Part, ABC):
    """Whom the policy talks to, turn by turn."""

    kind: str
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds it may take for a reply; an episode that waited in vain is counted, not learned."""
    tokens: Positive | None = None
    """Most tokens of an episode, prompt and replies included; none: the model's context."""
    frame: str = PLAIN
    """What stands around a ``{reply}`` for a model without a chat template."""

    @field_validator("frame")
    @classmethod
    def _has_a_place(cls, frame: str) -> str:
        if "{reply}" not in frame:
            raise ValueError(
                f"frame {frame!r} has no {{reply}} in it; write one, as in "
                "'\\nUser: {reply}\\nAssistant:'"
            )
        return frame

    @abstractmethod
    def build(self, grader: Grader, model_folder: Callable[[str], str] = str) -> World:
        """The world itself, ready to open environments.

        Args:
            model_folder: see :class:`medrl.rewards.term.RewardContext`.

        Raises:
            MedrlError: what the recipe says cannot be had.
        """
