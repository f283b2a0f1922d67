"""Load a policy: model, tokenizer, device, arithmetic; refuse what would go wrong later."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import logging as transformers_logging

from medrl.errors import ModelError
from medrl.learning.paths import install_paths, install_score_path
from medrl.model import causal_lm
from medrl.prompt import Prompt
from medrl.schema import ModelSpec
from medrl.vision import Sight, load_sight

CLINIC_MODELS = Path(__file__).parent.parent / "clinic" / "models"


@dataclass(frozen=True)
class Policy:
    """The model in training with what belongs to it.

    Attributes:
        stop_ids: ids that end an answer; ``stop_ids[0]`` is the tokenizer's own end of text.
        start_ids: what the tokenizer puts before every text (Llama, Gemma: the begin-of-text
            token, without which they are not themselves), or nothing.
        context: most tokens of prompt and answer together.
        chat: whether a prompt is a user's message in the tokenizer's chat template.
        sight: how pictures are taken; none for a model of text.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    stop_ids: tuple[int, ...]
    start_ids: tuple[int, ...]
    pad_id: int
    context: int
    chat: bool = False
    sight: Sight | None = None

    def arithmetic(self) -> AbstractContextManager[object]:
        """bf16 autocast where the dtype asks for it; nothing in fp32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def trainable(self) -> list[torch.nn.Parameter]:
        """Parameters that training changes, in a fixed order."""
        return trainable(self.model)

    def sizes(self) -> tuple[int, int]:
        """Parameters that training changes, and all of them."""
        trained = sum(p.numel() for p in self.trainable())
        return trained, sum(p.numel() for p in self.model.parameters())

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, no special tokens added."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompt(self, text: str, pictures: Sequence[Image.Image] = ()) -> Prompt:
        """A text that begins a context, pictures in front: ``start_ids`` first, if it lacks them.

        With ``chat`` it is what a user says, and the answer is due.

        Raises:
            ModelError: pictures for a model of text.
            DataError: see :meth:`medrl.vision.Sight.read`.
        """
        if self.sight is not None:
            return self.sight.read(text, pictures, self.chat, self.start_ids)
        if pictures:
            raise ModelError(
                f"{type(causal_lm(self.model)).__name__} reads text only, and this prompt has "
                f"{len(pictures)} pictures",
                "use a vision-language model, e.g. clinic:vision-base, or cases without pictures",
            )
        said = text
        if self.chat:
            turn = [{"role": "user", "content": text}]
            said = str(
                self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            )
        ids = self.encode(said)
        start = list(self.start_ids)
        return Prompt(text, tuple(ids if ids[: len(start)] == start else start + ids))

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt without pictures."""
        return list(self.prompt(text).token_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of answer tokens; a trailing stop token is left out, all else is kept."""
        kept = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        return str(self.tokenizer.decode(list(kept), skip_special_tokens=False))


def pick_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_policy(
    spec: ModelSpec, device: torch.device | None = None, scores: bool = False
) -> Policy:
    """Load model and tokenizer and check them.

    Args:
        scores: load what gives a text one number (``AutoModelForSequenceClassification``) instead
            of what writes; a model that has no such head yet gets one of zeros.

    Raises:
        ModelError: nothing there, no tokenizer, no end-of-text token, no chat template though one
            is asked for, weights that are not safetensors, or an architecture whose logits medrl
            cannot reproduce.
    """
    device = device or pick_device()
    path = _resolve(spec.path)
    tokenizer = _load_tokenizer(path)
    if spec.chat and not tokenizer.chat_template:
        raise ModelError(
            f"{path}: chat is asked for, but the tokenizer has no chat template",
            "leave model.chat out, or use the instruct version of the model",
        )
    seeing = _sees(path)
    if scores and seeing:
        raise ModelError(
            f"{path}: scores are read from models of text, and this one takes pictures",
            "train preference and verifier models from a text model",
        )
    model = _load_scorer(path) if scores else _load_model(path, seeing)
    sight = load_sight(path, model, tokenizer) if seeing else None
    stop_ids, pad_id = _stop_and_pad(path, tokenizer, model)
    if spec.dtype == "auto":
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    else:
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[spec.dtype]
    torch.nn.Module.to(model, device)
    if scores:
        model.config.pad_token_id = pad_id
        install_score_path(model, len(tokenizer))
    else:
        install_paths(model, len(tokenizer), [] if sight is None else [sight.trial()])
    policy_model: PreTrainedModel | PeftModel = model
    if spec.lora_rank:
        config = LoraConfig(
            r=spec.lora_rank,
            lora_alpha=2 * spec.lora_rank,
            target_modules=_adapted(model) if spec.lora_on == "attention" else "all-linear",
            task_type="CAUSAL_LM",
        )
        policy_model = get_peft_model(model, config)
    policy_model.eval()  # no dropout: the learner must see the distribution that was sampled from
    if spec.gradient_checkpointing:
        checkpoint_layers(policy_model)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 10**9
    return Policy(
        policy_model,
        tokenizer,
        device,
        dtype,
        stop_ids,
        _start_ids(tokenizer),
        pad_id,
        int(context),
        spec.chat,
        sight,
    )


def _adapted(model: PreTrainedModel) -> list[str]:
    """Names of the linear layers in the attention of the part that reads text.

    Raises:
        ModelError: there are none.
    """
    readers = [
        module
        for module in model.get_decoder().modules()
        if type(module).__name__.endswith("Attention")
    ]
    layers = {id(x) for r in readers for x in r.modules() if isinstance(x, torch.nn.Linear)}
    names = [name for name, module in model.named_modules() if id(module) in layers]
    if not names:
        raise ModelError(
            f"{type(model).__name__} has no linear layers in its attention to adapt",
            "set model.lora_on: all",
        )
    return names


def _resolve(path: str) -> str:
    if path.startswith("clinic:"):
        folder = CLINIC_MODELS / path.removeprefix("clinic:")
        if not (folder / "config.json").is_file():
            known = sorted(p.parent.name for p in CLINIC_MODELS.glob("*/config.json"))
            raise ModelError(f"no clinic model {path!r}", f"known: {', '.join(known)}")
        return str(folder)
    return path


def _load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    folder = Path(path)
    if folder.is_dir() and not any(
        (folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json", "vocab.json")
    ):
        raise ModelError(
            f"{path}: no tokenizer in this folder",
            "save the tokenizer beside the model: tokenizer.save_pretrained(folder)",
        )
    try:
        kind = get_tokenizer_config(path).get("tokenizer_class")
        # A tokenizer of no special class is all in tokenizer.json. AutoTokenizer would believe the
        # architecture instead, and for Qwen2 split numbers otherwise than in the model's training.
        plain = kind in ("TokenizersBackend", "PreTrainedTokenizerFast")
        loader = PreTrainedTokenizerFast if plain else AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(path)
        return tokenizer
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: the tokenizer cannot be loaded: {error}".split("\n")[0]
        ) from error


def _sees(path: str) -> bool:
    """Whether a model takes pictures."""
    try:
        return hasattr(AutoConfig.from_pretrained(path), "vision_config")
    except (OSError, ValueError, KeyError):
        return False  # loading the model says what is wrong


def _load_model(path: str, seeing: bool) -> PreTrainedModel:
    loader = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
    try:
        return loader.from_pretrained(path, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: the model cannot be loaded: {str(error).splitlines()[0]}",
            "give a folder with config.json and *.safetensors, a hub id, or clinic:text-base",
        ) from error


def _load_scorer(path: str) -> PreTrainedModel:
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a missing head is what we expect
    try:
        model: PreTrainedModel
        model, found = AutoModelForSequenceClassification.from_pretrained(
            path,
            num_labels=1,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: a model that scores texts cannot be loaded: {str(error).splitlines()[0]}",
            "give a folder with config.json and *.safetensors of a family that transformers can "
            "classify sequences with",
        ) from error
    finally:
        transformers_logging.set_verbosity(level)
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            f"{type(model).__name__} has no linear head named 'score'",
            "use a decoder family such as Qwen2, Llama, Mistral or Gemma",
        )
    if "score.weight" in found["missing_keys"]:
        torch.nn.init.zeros_(head.weight)
    return model


def _stop_and_pad(
    path: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> tuple[tuple[int, ...], int]:
    """Stop ids from tokenizer and generation config; a pad id that is not a stop id if possible."""
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{path}: the tokenizer has no end-of-text token, so answers could never end",
            "set eos_token in tokenizer_config.json",
        )
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    extra = configured if isinstance(configured, list) else [configured]
    stops = dict.fromkeys([tokenizer.eos_token_id, *(i for i in extra if i is not None)])
    vocabulary = model.get_input_embeddings().num_embeddings
    highest = max(*stops, len(tokenizer) - 1)
    if highest >= vocabulary:
        raise ModelError(
            f"{path}: token id {highest} does not fit the model's {vocabulary} embeddings",
            "tokenizer and model do not belong together; or resize the embeddings",
        )
    # Padding is masked everywhere, so sharing an id with the stop token does no harm here.
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return tuple(stops), int(pad)


def _start_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What the tokenizer itself would put before a text (not what it might put after it)."""
    ids: list[int] = tokenizer("a")["input_ids"]
    begin = tokenizer.bos_token_id
    return (begin,) if begin is not None and ids[:1] == [begin] else ()


class ReferenceModel:
    """The policy as it is now, frozen.

    While adapters add nothing yet (a stage that starts from the base model) nothing is copied: they
    are switched off instead.
    """

    def __init__(self, policy: Policy) -> None:
        self._adapted: PeftModel | None = None
        self._copy: PreTrainedModel | PeftModel | None = None
        if isinstance(policy.model, PeftModel) and _adapters_are_idle(policy.model):
            self._adapted = policy.model
        else:
            self._copy = copy.deepcopy(policy.model).requires_grad_(False).eval()

    @contextlib.contextmanager
    def active(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The frozen model, to be used inside the ``with`` block."""
        if self._copy is not None:
            yield self._copy
        elif self._adapted is not None:
            with self._adapted.disable_adapter():
                yield self._adapted


def checkpoint_layers(model: PreTrainedModel | PeftModel) -> None:
    """Keep one hidden state per layer in the forward pass and compute the rest again backwards.

    ``transformers`` does so in training mode only, so dropout, which that mode would bring along,
    is set to 0 everywhere.
    """
    lm = causal_lm(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    lm.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()


def _adapters_are_idle(model: PeftModel) -> bool:
    """Whether LoRA's second matrices are still zero, so that base and policy are the same."""
    return not any(p.any() for name, p in model.named_parameters() if "lora_B" in name)


def trainable(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Parameters that training changes, in a fixed order."""
    return [p for p in module.parameters() if p.requires_grad]


def trained(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by name; the tensors are not copied."""
    return {name: p.data for name, p in module.named_parameters() if p.requires_grad}


def load_trained(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what ``trained`` returned."""
    for name, parameter in trained(module).items():
        parameter.copy_(tensors[name])


def save_model(policy: Policy, folder: Path) -> None:
    """Write weights (safetensors) and tokenizer or processor so that ``transformers`` loads them.

    Adapters are merged into the weights of a copy.
    """
    model = policy.model
    if isinstance(model, PeftModel):
        model = copy.deepcopy(model).merge_and_unload()
    causal_lm(model).save_pretrained(folder)
    if policy.sight is not None:
        policy.sight.save(folder)
    else:
        policy.tokenizer.save_pretrained(folder)
