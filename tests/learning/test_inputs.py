"""Fingerprints see every change that matters, and a changed input stops a run from going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medrl.cases.case import Provenance
from medrl.cases.record import Fact, Record, Turn
from medrl.errors import RunError
from medrl.learning.inputs import (
    INPUTS,
    check_recorded,
    check_same,
    fingerprint,
    fingerprint_cases,
    fingerprint_model,
)
from medrl.learning.session import resume_run, run_recipe
from tests.learning.conftest import LoadTiny, MakeRecipe
from tests.learning.test_session import silent
from tests.tiny import case


def test_any_trained_tensor_changes_the_models_fingerprint(load_tiny: LoadTiny) -> None:
    model = load_tiny().model
    before = fingerprint_model(model)
    assert before == fingerprint_model(load_tiny().model)
    for parameter in model.parameters():
        kept = parameter.data.clone()
        parameter.data.add_(0.001)  # an optimiser moves all of a tensor, not one number
        assert fingerprint_model(model) != before
        parameter.data.copy_(kept)
    assert fingerprint_model(model) == before


def test_big_tensors_are_sampled_to_their_end() -> None:
    layer = torch.nn.Linear(300, 300)
    before = fingerprint_model(layer)
    layer.weight.data[-1] += 1
    assert fingerprint_model(layer) != before


def test_cases_are_known_by_what_they_ask_and_in_which_order() -> None:
    one, two = case("B", "one"), case("C", "two")
    known = fingerprint_cases([one, two])
    moved = replace(one, source=Provenance("elsewhere", "copy.jsonl", 7))
    assert fingerprint_cases([moved, two]) == known
    for other in ([two, one], [one], [replace(one, question="Why?"), two], [case("D", "one"), two]):
        assert fingerprint_cases(other) != known


def test_what_patients_know_and_experts_did_counts_where_there_is_any() -> None:
    plain = case("B", "one")
    assert (
        fingerprint_cases([plain]) == "9b1a52a083a36db4"
    )  # runs begun before there were records go on
    asked = replace(plain, record=Record((Fact("How long?", "A week."),)))
    shown = replace(plain, transcript=(Turn("policy", "How long?"),))
    others = [
        replace(plain, record=Record(())),
        replace(plain, record=Record((Fact("How long?", "A day."),))),
        replace(plain, record=Record((Fact("How long?", "A week."),), "", "Rest.")),
        replace(plain, transcript=(Turn("environment", "How long?"),)),
        replace(asked, transcript=shown.transcript),
    ]
    assert len({fingerprint_cases([each]) for each in (plain, asked, shown, *others)}) == 8


def test_the_first_changed_input_is_named(load_tiny: LoadTiny) -> None:
    model = load_tiny().model
    found = fingerprint(model, [case("B")], {"test": [case("C")]})
    check_same(found, found, "runs/x")
    other = fingerprint(model, [case("B")], {"test": [case("D")]})
    with pytest.raises(RunError, match="runs/x: the cases of test changed"):
        check_same(found, other, "runs/x")


def test_a_run_does_not_go_on_with_other_data(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe({"steps": 1})
    run_recipe(recipe, tmp_path / "run", silent())
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / INPUTS).write_text('{"model": "0123456789abcdef"}')
    with pytest.raises(RunError, match="the model changed since"):
        resume_run(recipe, tmp_path / "run", silent())


def test_a_run_that_does_not_know_its_inputs_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no inputs\.json") as refused:
        check_recorded(tmp_path, {})
    assert "--overwrite" in refused.value.fix
