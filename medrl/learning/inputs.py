"""Fingerprints of what a run reads, so that a resumed run goes on with the same things."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from medrl.cases.case import Case
from medrl.errors import RunError

INPUTS = "inputs.json"
"""File of a run that holds the fingerprints of its model and data."""

SAMPLED = 4096
"""Most numbers of one tensor that enter a fingerprint: enough to tell trained weights apart."""


def fingerprint_model(model: torch.nn.Module) -> str:
    """16 hex digits from the name, shape and evenly spread values of every tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.flatten()
        spread = flat[:: max(1, -(-flat.numel() // SAMPLED))].float().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(spread.numpy().tobytes())
    return digest.hexdigest()[:16]


def fingerprint_cases(cases: Iterable[Case]) -> str:
    """16 hex digits from all that a case asks and takes for right, in order."""
    digest = hashlib.sha256()
    for case in cases:
        tags = sorted(case.tags.items())  # a rationale is trained on
        asked = (case.id, case.question, case.context, case.reference, tags)
        digest.update(repr(asked).encode())
        if case.record is not None or case.transcript:
            digest.update(repr((case.record, case.transcript)).encode())
        for picture in case.images:
            digest.update(picture.fingerprint.encode())
    return digest.hexdigest()[:16]


def fingerprint(
    model: torch.nn.Module, train_cases: Sequence[Case], sets: Mapping[str, Sequence[Case]]
) -> dict[str, str]:
    """What a run folder keeps as ``inputs.json``."""
    return {
        "model": fingerprint_model(model),
        "training cases": fingerprint_cases(train_cases),
        **{f"cases of {name}": fingerprint_cases(cases) for name, cases in sets.items()},
    }


def check_recorded(run: Path, found: Mapping[str, str]) -> None:
    """``check_same`` against the ``inputs.json`` of a run folder.

    Raises:
        RunError: there is none, or an input has changed.
    """
    path = run / INPUTS
    if not path.is_file():
        raise RunError(
            f"{run} has no {INPUTS}: an older medrl made it, or it was killed as it began",
            "start it again in another folder, or with --overwrite",
        )
    check_same(json.loads(path.read_text(encoding="utf-8")), found, str(run))


def check_same(recorded: Mapping[str, str], found: Mapping[str, str], run: str) -> None:
    """Refuse to go on with other inputs than the run began with.

    Raises:
        RunError: names the first input that has changed.
    """
    for name, value in recorded.items():
        if found.get(name) != value:
            raise RunError(
                f"{run}: the {name} changed since this run began",
                "put it back as it was, or start a new run in another folder",
            )
