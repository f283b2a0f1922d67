"""The kinds of environment that a recipe may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from medrl.environments.consulting import ConsultationSpec
from medrl.environments.search_spec import SearchSpec
from medrl.environments.spec import EnvironmentSpec

AnyEnvironment = Annotated[ConsultationSpec | SearchSpec, Field(discriminator="kind")]
"""The spec of one kind or another, told by ``kind``."""

ENVIRONMENTS: dict[str, type[EnvironmentSpec]] = {
    "consultation": ConsultationSpec,
    "search": SearchSpec,
}
