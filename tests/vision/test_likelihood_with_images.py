"""Likelihood of options behind pictures: the numbers of the model itself, without its mark."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medrl.cases import Case, Provenance, Reference
from medrl.cases.sources import Form
from medrl.errors import DataError, ModelError
from medrl.evaluation.likelihood import choices, prompt_of, score
from medrl.learning.policy import Policy
from medrl.prompt import kinds
from tests.test_cli import medrl
from tests.tiny_vision import SEEING, noise
from tests.vision.conftest import LoadSeeing
from tests.vision.pictures import Shown
from tests.vision.test_sight import CHAT

LETTERS = Form("t")
TEXTS = Form("t", "Question: {question}\nAnswer:", "text")
SIZES = [[(24, 16)], [], [(16, 16), (40, 24)]]
CASES = [
    Case(
        f"c{number}",
        f"Does this film {'really ' * number}show pneumonia?",
        Reference("option", "B", ("yes, it does", "no", "maybe")[: 2 + number % 2]),
        Provenance("toy"),
        images=tuple(Shown(noise(i, *size), f"{number}.{i}") for i, size in enumerate(sizes)),
    )
    for number, sizes in enumerate(SIZES)
]
"""One picture, none, two of other sizes."""


def by_the_model_itself(policy: Policy, case: Case, form: Form) -> list[float]:
    """Prompt and option read together, one row per option, through the model's own forward; the
    mark of a picture is no token that anybody writes."""
    pictures = [picture.open() for picture in case.images]
    prompt, found = prompt_of(case, form), []
    start = len(policy.prompt(prompt, pictures))
    for text in choices(case, form):
        read = policy.prompt(f"{prompt} {text}", pictures)
        ids = torch.tensor([read.token_ids])
        inputs: dict[str, Any] = dict(read.media.inputs) if read.media else {}
        inputs |= kinds([read.media], len(read), "cpu")
        with torch.no_grad():
            logits = policy.model(input_ids=ids, **inputs).logits[0, start - 1 : -1]
        logits[:, policy.model.config.image_token_id] = -torch.inf
        log_probs = logits.log_softmax(-1).gather(1, ids[0, start:, None])
        found.append(float(log_probs.double().sum()))
    return found


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize("form", [LETTERS, TEXTS], ids=["letters", "texts"])
def test_the_numbers_are_those_of_the_model(kind: str, form: Form, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    for mode in ("shared", "packed", "plain"):
        rows = score(policy, CASES, form, mode=mode)
        for row, asked in zip(rows, CASES, strict=True):
            expected = by_the_model_itself(policy, asked, form)
            assert row.log_likelihoods == pytest.approx(expected, abs=2e-4)


def test_another_picture_is_another_likelihood(load_seeing: LoadSeeing) -> None:
    policy = load_seeing("qwen2_vl")
    shown = [replace(CASES[0], images=(Shown(noise(seed), str(seed)),)) for seed in (0, 9)]
    first, second = score(policy, shown, LETTERS)
    assert first.prompt_tokens == second.prompt_tokens
    assert first.log_likelihoods != pytest.approx(second.log_likelihoods, abs=1e-3)


def test_pictures_are_neither_ignored_nor_guessed(
    policy_of_text: Policy, load_seeing: LoadSeeing
) -> None:
    with pytest.raises(ModelError, match="reads text only"):
        score(policy_of_text, CASES, LETTERS)
    marked = replace(CASES[0], question="What is in <image>?")
    with pytest.raises(DataError, match=r"toy \(case c0\): the question holds '<image>'"):
        score(load_seeing("llava"), [marked], LETTERS)


def test_the_frame_of_a_chat_is_left_out(load_seeing: LoadSeeing) -> None:
    """Behind the frame of a chat the options would all be the same few tokens of its end."""
    policy = load_seeing("qwen2_vl")
    assert policy.sight is not None
    frame = policy.sight.family.frame(policy.sight.mark)
    policy.tokenizer.chat_template = CHAT.replace("MARK", frame)
    chatting = score(replace(policy, chat=True), CASES, LETTERS)
    policy.tokenizer.chat_template = None
    assert chatting == score(policy, CASES, LETTERS)


@pytest.mark.parametrize("protocol", ["likelihood", "generated"])
def test_a_set_of_pictures_by_either_protocol(
    protocol: str, seeing: Callable[[str], Path], tmp_path: Path
) -> None:
    np.savez(
        tmp_path / "pneumoniamnist.npz",
        test_images=np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8),
        test_labels=np.arange(6)[:, None] % 2,
        val_images=np.zeros((2, 28, 28), np.uint8),
        val_labels=np.zeros((2, 1), int),
    )
    left = medrl(
        "eval", "med-rlvr", "evaluation.max_new_tokens=4", "--model", seeing("qwen2_vl"),
        "--data", "pneumoniamnist", "--data-path", tmp_path / "pneumoniamnist.npz",
        "--split", "test", "--protocol", protocol, "--to", tmp_path / "rows.jsonl",
    )  # fmt: skip
    assert left.code == 0, left.err
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["gold"] for row in rows] == ["B", "A"] * 3
