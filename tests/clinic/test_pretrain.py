"""Making the clinic's base model: what its losses, rates and rows are, and a pass of seconds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from medrl.clinic import making, pretrain
from medrl.clinic.knowledge import clinic
from medrl.clinic.pretrain import PretrainConfig
from medrl.clinic.textbook import AnswerHabits, Library
from medrl.learning.policy import CLINIC_MODELS, load_policy
from medrl.schema import ModelSpec

SMALL = PretrainConfig(
    hidden=48, layers=2, heads=3, intermediate=64, rows=2, row_tokens=48, exercise_steps=1,
    mixture_steps=1,
)  # fmt: skip
BRACKET = 7


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """The shipped model's own; learning one anew takes a minute."""
    return PreTrainedTokenizerFast.from_pretrained(CLINIC_MODELS / "text-base")


def logits(favourites: list[int], vocabulary: int = 9) -> torch.Tensor:
    """One row that favours these tokens, each by odds of 8 to 1 against any other."""
    out = torch.zeros(1, len(favourites), vocabulary)
    out[0, range(len(favourites)), favourites] = math.log(8)
    return out


def test_the_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    rates = [making.rate(step, 104, 1.0, 4) for step in range(105)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[54] == pytest.approx(0.55) and rates[104] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_losses_by_hand() -> None:
    rows = torch.tensor([[1, 2, BRACKET, 4]])
    guess = logits([2, BRACKET, 5])  # right, right, and the wrong letter after the bracket
    right, wrong = math.log(16 / 8), math.log(16)
    assert pretrain.text_loss(guess, rows).item() == pytest.approx((2 * right + wrong) / 3)
    assert pretrain.letter_loss(guess, rows, BRACKET).item() == pytest.approx(wrong)
    assert pretrain.letter_accuracy(guess, rows, BRACKET) == 0
    assert pretrain.letter_accuracy(logits([0, 0, 4]), rows, BRACKET) == 1


def test_a_row_without_letters_has_no_letter_loss() -> None:
    rows = torch.tensor([[1, 2, 3]])
    assert pretrain.letter_loss(logits([2, 3]), rows, BRACKET).item() == 0
    assert pretrain.letter_accuracy(logits([2, 3]), rows, BRACKET) == 0


def test_rows_are_documents_end_to_end(tokenizer: PreTrainedTokenizerFast) -> None:
    shares = {"drill": 0.5, "exercise": 0.5}
    rows = pretrain.packed_rows(Library(clinic(), 3), tokenizer, shares, 2, 40)
    assert rows.shape == (2, 41)
    source = Library(clinic(), 3).documents(shares)
    expected: list[int] = []
    while len(expected) < 82:
        expected += [*tokenizer(next(source))["input_ids"], tokenizer.eos_token_id]
    assert rows.flatten().tolist() == expected[:82]


def test_exercises_come_first_and_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    found = list(pretrain.batches(Library(clinic(), 0), tokenizer, SMALL))
    assert [name for name, _ in found] == ["exercises", "mixture"]
    assert all(rows.shape == (2, 49) and rows.dtype == torch.int64 for _, rows in found)


def test_the_model_starts_with_a_head_that_looks_one_token_back(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = pretrain.build_model(tokenizer, PretrainConfig(layers=2, intermediate=64))
    model.set_attn_implementation("eager")
    ids = torch.arange(50, 66)[None]
    with torch.no_grad():
        weights = model(input_ids=ids, output_attentions=True).attentions[0][0, 0]
    before = weights.diagonal(-1)
    assert bool((weights[1:].argmax(-1) == torch.arange(15)).all()) and before.mean() > 0.5


def test_norms_and_biases_do_not_decay(tokenizer: PreTrainedTokenizerFast) -> None:
    model = pretrain.build_model(tokenizer, SMALL)
    matrices, vectors = making.build_optimizer(model, 1e-3, 0.05).param_groups
    assert matrices["weight_decay"] == 0.05 and vectors["weight_decay"] == 0
    assert all(p.dim() > 1 for p in matrices["params"])
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))


def test_a_pass_leaves_a_model_with_its_record_and_can_be_followed_by_another(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain, "build_tokenizer", lambda knowledge, config: tokenizer)
    record = pretrain.pretrain(tmp_path / "one", SMALL, AnswerHabits())
    assert record["tokens"] == 2 * 2 * 48
    assert json.loads((tmp_path / "one" / "made.json").read_text()) == {"passes": [record]}
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    assert saved.dtype == torch.bfloat16 and saved.num_parameters() == record["parameters"]
    assert load_policy(ModelSpec(path=str(tmp_path / "one"))).context == SMALL.context

    same = pretrain.pretrain(tmp_path / "two", SMALL, AnswerHabits(), start=tmp_path / "one")
    assert same["data_sha256"] == record["data_sha256"]  # the text depends on the seed alone
    made = json.loads((tmp_path / "two" / "made.json").read_text())
    assert [p["data_sha256"] for p in made["passes"]] == [record["data_sha256"]] * 2
