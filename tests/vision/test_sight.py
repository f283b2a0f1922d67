"""What a policy reads of pictures, against the processors of ``transformers``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor

from medrl.errors import DataError, ModelError
from medrl.learning.policy import Policy, load_policy, save_model
from medrl.prompt import kinds
from medrl.schema import ModelSpec
from tests.tiny_vision import SEEING, noise
from tests.vision.conftest import LoadSeeing

CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}MARK{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    " / {% endfor %}assistant:"
)


def official(policy: Policy, kind: str) -> Any:
    """The processor that ``transformers`` builds of the same parts."""
    assert policy.sight is not None
    parts = policy.sight.image_processor, policy.tokenizer
    if kind == "idefics3":
        return Idefics3Processor(*parts, image_seq_len=4)
    if kind == "llava":
        return LlavaProcessor(
            *parts,
            patch_size=4,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )
    if kind == "gemma3":
        return Gemma3Processor(*parts, image_seq_length=16)
    pytest.importorskip(
        "torchvision",
        reason="needs torchvision: transformers loads the video half of this processor with it",
    )
    folder = Path(policy.sight.home)
    return AutoProcessor.from_pretrained(folder, backend="pil")


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize(
    "pictures", [[noise(0)], [noise(1, 16, 16), noise(2, 64, 32)], [noise(3, 32, 64)]]
)
def test_as_the_models_own_processor_writes_it(
    kind: str, pictures: list[Image.Image], load_seeing: LoadSeeing
) -> None:
    policy = load_seeing(kind)
    assert policy.sight is not None
    marked = policy.sight.family.frame(policy.sight.mark) * len(pictures) + "What helps?"
    wanted = official(policy, kind)(
        text=[marked], images=[pictures], add_special_tokens=False, return_tensors="pt"
    )
    prompt = policy.prompt("What helps?", pictures)
    assert list(prompt.token_ids) == wanted["input_ids"][0].tolist()
    assert prompt.media is not None
    for name, value in prompt.media.inputs.items():
        torch.testing.assert_close(value, wanted[name])
    assert prompt.text == "What helps?"


@pytest.mark.parametrize("kind", SEEING)
def test_a_chat_shows_pictures_where_its_template_says(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    assert policy.sight is not None
    frame = policy.sight.family.frame(policy.sight.mark)
    policy.tokenizer.chat_template = CHAT.replace("MARK", frame)
    chatting = Policy(**{**vars(policy), "chat": True})
    prompt = chatting.prompt("What helps?", [noise(0)])
    plain = policy.prompt("What helps?", [noise(0)])
    said = policy.tokenizer.decode(prompt.token_ids)
    assert said.startswith("user: ") and said.endswith("What helps? / assistant:")
    mark = policy.model.config.image_token_id
    assert prompt.token_ids.count(mark) == plain.token_ids.count(mark) > 0
    policy.tokenizer.chat_template = CHAT.replace("MARK", "")
    with pytest.raises(DataError, match="shows 0 of 1 pictures"):
        chatting.prompt("What helps?", [noise(0)])
    policy.tokenizer.chat_template = None


def test_a_question_cannot_hold_the_mark(load_seeing: LoadSeeing) -> None:
    policy = load_seeing("llava")
    with pytest.raises(DataError, match="holds '<image>'"):
        policy.prompt("What is in <image>?", [noise(0)])


def test_gemmas_pictures_are_not_cut_whatever_is_saved(
    seeing: Callable[[str], Path], tmp_path: Path
) -> None:
    """Its own processor does not cut them either. The folder is as the hub's are."""
    shutil.copytree(seeing("gemma3"), tmp_path, dirs_exist_ok=True)
    cutting = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 8}
    cutting |= {"pan_and_scan_max_num_crops": 4, "pan_and_scan_min_ratio_to_activate": 1.2}
    saved = {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 32, "width": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved | cutting))
    policy = load_policy(ModelSpec(path=str(tmp_path)))
    assert policy.sight is not None
    wide = [noise(0, 96, 32)]
    wanted = official(policy, "gemma3")(text=["<start_of_image>A"], images=[wide])
    assert list(policy.prompt("A", wide).token_ids) == wanted["input_ids"][0]
    assert sum(wanted["token_type_ids"][0]) == 16
    with pytest.raises(DataError, match="holds '<start_of_image>'"):
        policy.prompt("<start_of_image>A", wide)


def test_a_tokenizer_of_another_model_is_noticed(load_seeing: LoadSeeing) -> None:
    policy = load_seeing("llava")
    policy.model.config.image_token_id = 5
    with pytest.raises(DataError, match="0 image tokens, its pictures make 16 features"):
        policy.prompt("What helps?", [noise(0)])


def test_a_model_of_text_says_that_it_cannot_see(policy_of_text: Policy) -> None:
    with pytest.raises(ModelError, match="reads text only"):
        policy_of_text.prompt("What helps?", [noise(0)])


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize("lora_rank", [0, 2])
def test_what_is_saved_is_loaded_again(
    kind: str, lora_rank: int, load_seeing: LoadSeeing, tmp_path: Path
) -> None:
    policy = load_seeing(kind, lora_rank=lora_rank)
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.add_(0.01)
    save_model(policy, tmp_path)
    again = load_policy(ModelSpec(path=str(tmp_path)))
    prompt = policy.prompt("What helps?", [noise(0)])
    same = again.prompt("What helps?", [noise(0)])
    assert same.token_ids == prompt.token_ids
    assert prompt.media is not None and same.media is not None
    ids = torch.tensor([prompt.token_ids])
    inputs = {**prompt.media.inputs, **kinds([prompt.media], len(prompt), "cpu")}
    theirs = AutoModelForImageTextToText.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(input_ids=ids, **inputs).logits,
            policy.model(input_ids=ids, **inputs).logits,
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_model_without_its_image_processor_is_refused(
    load_seeing: LoadSeeing, tmp_path: Path
) -> None:
    policy = load_seeing("llava")
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="image processor cannot be loaded"):
        load_policy(ModelSpec(path=str(tmp_path)))
