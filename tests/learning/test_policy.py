"""Loading, refusing, adapting, referring to and saving a policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tokenizers import processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from medrl.errors import DataError, ModelError
from medrl.learning.policy import (
    Policy,
    ReferenceModel,
    load_policy,
    load_trained,
    save_model,
    trained,
)
from medrl.learning.rollout import encode_prompt
from medrl.schema import ModelSpec
from tests.learning.conftest import LoadTiny, MakeRecipe, rl_learner
from tests.tiny import ARCHITECTURES, END, case, tokenizer

IDS = torch.arange(1, 13).reshape(2, 6)


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a model folder, to be damaged."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "model"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def refused(path: Path | str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_policy(ModelSpec(path=str(path)))
    assert str(path) in caught.value.message or "clinic:" in str(path)
    return caught.value


# --- loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_policy_knows_its_stops_and_its_room(architecture: str, load_tiny: LoadTiny) -> None:
    policy = load_tiny(architecture)
    assert policy.stop_ids == (tokenizer().eos_token_id,) and policy.context == 1024
    assert not policy.model.training and policy.trainable()
    assert all(p.dtype == torch.float32 for p in policy.trainable())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_texts_are_read_as_the_saved_tokenizer_reads_them(
    architecture: str, load_tiny: LoadTiny
) -> None:
    policy = load_tiny(architecture)
    for text in ("User: 54-year-old, 38.5 °C\nA. x", "<think>a  b</think><answer>B</answer>", ""):
        ids = policy.encode(text)
        assert ids == tokenizer()(text, add_special_tokens=False)["input_ids"]
        assert policy.decode(ids) == text
        assert policy.decode([*ids, policy.stop_ids[0]]) == text
    assert (
        policy.decode([policy.stop_ids[0], policy.stop_ids[0]]) == END
    )  # only the last is left out


def test_a_pad_token_of_its_own_is_used(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", pad_token="A")
    assert load_policy(ModelSpec(path=str(folder))).pad_id == tokenizer().convert_tokens_to_ids("A")


def test_stop_ids_of_the_generation_config_count_too(folder: Path) -> None:
    edit_json(folder / "generation_config.json", eos_token_id=[7, 0])
    assert load_policy(ModelSpec(path=str(folder))).stop_ids == (0, 7)


def test_bfloat16_arithmetic_is_what_the_dtype_asks_for(tiny: Callable[[str], Path]) -> None:
    policy = load_policy(ModelSpec(path=str(tiny("llama")), dtype="bfloat16"))
    with torch.no_grad(), policy.arithmetic():
        assert policy.model(input_ids=IDS).logits.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in policy.trainable())  # the weights stay


# --- refusing ------------------------------------------------------------------------------------


def test_a_folder_without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    error = refused(folder)
    assert "no tokenizer in this folder" in error.message and "save_pretrained" in error.fix


def test_a_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    assert "the tokenizer cannot be loaded" in refused(folder).message


def test_a_tokenizer_without_end(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", eos_token=None)
    assert "no end-of-text token" in refused(folder).message


def test_token_ids_beyond_the_embeddings(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer()) - 5)
    model.save_pretrained(folder)
    last = len(tokenizer()) - 1
    assert (
        f"token id {last} does not fit the model's {last - 4} embeddings" in refused(folder).message
    )


def test_weights_that_are_not_safetensors(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    error = refused(folder)
    assert "the model cannot be loaded" in error.message and "safetensors" in error.fix


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere")


def test_an_unknown_clinic_model() -> None:
    assert "no clinic model 'clinic:text-bass'" in refused("clinic:text-bass").message


def test_an_architecture_that_cannot_take_layouts(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="StableLm"):
        load_policy(ModelSpec(path=str(tiny("stablelm"))))


def test_a_prompt_without_room_for_its_answer_names_the_case(policy: Policy) -> None:
    prompt = encode_prompt(policy, case(question="long"), "{question}", 10)
    assert prompt.text == "long" and list(prompt.token_ids) == policy.encode("long")
    encode_prompt(policy, case(question="long"), "{question}", policy.context - len(prompt))
    with pytest.raises(DataError, match=r"toy \(case case-1\): the prompt has .* of 1024"):
        encode_prompt(policy, case(question="long"), "{question}", policy.context - len(prompt) + 1)


# --- the reference -------------------------------------------------------------------------------


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def disturb(policy: Policy) -> None:
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_the_reference_stays_where_the_stage_started(lora_rank: int, load_tiny: LoadTiny) -> None:
    policy = load_tiny(lora_rank=lora_rank)
    start = logits(policy.model)
    reference = ReferenceModel(policy)
    disturb(policy)
    with reference.active() as model:
        torch.testing.assert_close(logits(model), start)
    assert not torch.allclose(logits(policy.model), start)


def test_a_later_stage_refers_to_trained_adapters_not_to_the_base(load_tiny: LoadTiny) -> None:
    policy = load_tiny(lora_rank=2)
    disturb(policy)  # an earlier stage
    start = logits(policy.model)
    reference = ReferenceModel(policy)
    disturb(policy)
    with reference.active() as model:
        torch.testing.assert_close(logits(model), start)


# --- adapters and saving -------------------------------------------------------------------------


def test_adapters_alone_are_trained_and_merge_into_a_plain_model(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe({"learning_rate": 0.05, "answers_per_prompt": 4}, lora_rank=2)
    learner = rl_learner(recipe)
    policy = learner.policy
    assert isinstance(policy.model, PeftModel)
    names = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    assert names and all("lora_" in name for name in names)
    frozen = {n: p.clone() for n, p in policy.model.named_parameters() if "lora_" not in n}
    before = {n: p.clone() for n, p in trained(policy.model).items()}
    letters = [case(g, name=g) for g in "ABCD"]
    for step in range(2):
        learner.update(learner.rollout(lambda batch: letters, step), step)
    assert any(not torch.equal(p, before[n]) for n, p in trained(policy.model).items())
    for name, parameter in policy.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, frozen[name]), name

    save_model(policy, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(plain), logits(policy.model), rtol=1e-4, atol=1e-4)
    assert isinstance(policy.model, PeftModel)  # saving changed nothing
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_loads_as_the_same(
    architecture: str, load_tiny: LoadTiny, tmp_path: Path
) -> None:
    policy = load_tiny(architecture)
    disturb(policy)
    save_model(policy, tmp_path)
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path)), logits(policy.model)
    )
    text = "What is 5? <think>"
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text, add_special_tokens=False)["input_ids"] == policy.encode(text)


def test_trained_weights_can_be_put_back(load_tiny: LoadTiny) -> None:
    policy = load_tiny()
    kept = {name: tensor.clone() for name, tensor in trained(policy.model).items()}
    start = logits(policy.model)
    disturb(policy)
    load_trained(policy.model, kept)
    assert torch.equal(logits(policy.model), start)


def test_with_chat_a_prompt_is_what_a_user_says_and_its_start_token_stands_once(
    folder: Path,
) -> None:
    with pytest.raises(ModelError, match="no chat template"):
        load_policy(ModelSpec(path=str(folder), chat=True))
    made = PreTrainedTokenizerFast.from_pretrained(folder)
    begin = made.eos_token
    made.chat_template = (
        "{{ '" + begin + "' }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    made.save_pretrained(folder)
    chatting = load_policy(ModelSpec(path=str(folder), chat=True))
    plain = load_policy(ModelSpec(path=str(folder)))
    ids = chatting.encode_prompt("What helps?")
    assert chatting.tokenizer.decode(ids) == f"{begin}[user] What helps?\n[assistant]"
    assert plain.encode_prompt("What helps?") == plain.encode("What helps?")
    assert chatting.encode("an answer") == plain.encode("an answer")
    prompt = encode_prompt(chatting, case(), "boxed-question", 8)
    assert chatting.tokenizer.decode(prompt.token_ids).endswith(f"{prompt.text}\n[assistant]")


def test_the_start_token_stands_once_before_a_prompt_and_never_before_an_answer(
    folder: Path, tiny: Callable[[str], Path]
) -> None:
    """As Llama's and Gemma's tokenizers do: without it these models are not themselves."""
    starting = PreTrainedTokenizerFast.from_pretrained(folder)
    begin = starting.eos_token_id
    starting.bos_token = starting.eos_token
    starting.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{starting.bos_token} $A", special_tokens=[(starting.bos_token, begin)]
    )
    starting.save_pretrained(folder)
    policy = load_policy(ModelSpec(path=str(folder)))
    plain = load_policy(ModelSpec(path=str(tiny("llama"))))
    assert policy.start_ids == (begin,) and plain.start_ids == ()
    text = "Which one?"
    assert policy.encode_prompt(text) == [begin, *policy.encode(text)]
    assert policy.encode_prompt(starting.bos_token + text) == policy.encode_prompt(text)
    assert policy.encode(text) == plain.encode(text) == plain.encode_prompt(text)
