"""The patients that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable

from medrl.judges.build import check_judge, load_frozen
from medrl.judges.reaching import key_of
from medrl.patients.patient import Patients
from medrl.patients.played import PlayedPatients
from medrl.patients.rule import Persona, RulePatients
from medrl.patients.spec import PatientSpec


def build_patients(spec: PatientSpec, model_folder: Callable[[str], str] = str) -> Patients:
    """Patients, ready to be opened. Models are loaded, endpoints are not called yet.

    Args:
        model_folder: see :class:`medrl.rewards.term.RewardContext`.

    Raises:
        JudgeError: a key that is not there, or an address that texts may not be sent to.
        ModelError: see :func:`medrl.learning.policy.load_policy`.
    """
    player = spec.played_by
    if player is None:
        return RulePatients(Persona(spec.talkativeness, spec.recall))
    check_judge(player)
    if player.kind == "endpoint":
        from medrl.patients.endpoint import EndpointSpeaker

        return PlayedPatients(EndpointSpeaker(player, key_of(player)))
    # Imported here: it needs the schema, which needs the specs of the patients.
    from medrl.patients.model import ModelSpeaker

    return PlayedPatients(ModelSpeaker(player, load_frozen(player, model_folder)))
