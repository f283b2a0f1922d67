"""Let a freshly loaded model take our layouts, and prove at once that nothing changed.

Every way of computing is compared with the model's own logits on a few tokens. An architecture
that does something we do not know between tokens or behind its trunk is refused, not trained
wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from medrl.attention import DecodeCache, forward, install, read_prompts
from medrl.errors import ModelError
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, Mode, lay_out
from medrl.learning.logprobs import hidden_states
from medrl.model import causal_lm, head_logits, without_marks
from medrl.prompt import Prompt, join_media, kinds

PROMPT, ANSWERS = 6, (5, 3)
"""Tokens of the prompt and the answers that are tried."""


@torch.no_grad()
def install_paths(model: PreTrainedModel, vocabulary: int, seen: Sequence[Prompt] = ()) -> None:
    """Install our attention and compare every path with the model as it came.

    Args:
        seen: prompts with images, for a model that takes them.

    Raises:
        ModelError: a path gives other logits than the model itself, or there is no such path.
    """
    was_training = model.training
    model.eval()
    ids = _ids(vocabulary, getattr(model.config, "image_token_id", None))
    prompts = [Prompt("", tuple(ids[:PROMPT])), *seen]
    answers = [ids[PROMPT + sum(ANSWERS[:i]) :][:n] for i, n in enumerate(ANSWERS)]
    expected = [[_own_logits(model, prompt.begun(a)) for a in answers] for prompt in prompts]
    install(model)
    for prompt, logits in zip(prompts, expected, strict=True):
        behind = len(prompt)
        wanted = torch.cat([found[behind - 1 : -1] for found in logits])
        members = [_member(prompt, answer) for answer in answers]
        for mode in ("plain", "packed", "shared"):
            _compare(model, mode, _logits(model, members, mode), wanted)
        first = torch.stack([found[behind] for found in logits])
        _compare(model, "decoding", _decoded(model, prompt, answers), first)
    model.train(was_training)


def _own_logits(model: PreTrainedModel, prompt: Prompt) -> torch.Tensor:
    """What the model says when it is asked as its authors ask it, [T, V]."""
    ids_1T = torch.tensor([prompt.token_ids], device=model.device)
    media = [prompt.media]
    inputs = join_media(media, model.device) | kinds(media, len(prompt), model.device)
    logits_TV = model(input_ids=ids_1T, **inputs).logits[0].float()
    return without_marks(model.config, logits_TV)


@torch.no_grad()
def install_score_path(model: PreTrainedModel, vocabulary: int) -> None:
    """The same for a model that gives a text one number.

    Raises:
        ModelError: see :func:`install_paths`.
    """
    ids = _ids(vocabulary, None)
    texts = [[*ids[:PROMPT], *ids[-n:]] for n in ANSWERS]
    head = model.get_submodule("score")
    assert isinstance(head, torch.nn.Linear)
    before = head.weight.clone()
    if not head.weight.any():  # a new head would agree with everything
        head.weight.fill_(1.0)
    model.eval()
    wanted = [
        model(input_ids=torch.tensor([text], device=model.device)).logits[0] for text in texts
    ]
    install(model)
    # The token behind a text is never read: what scores it is the state that would predict it.
    prompt = Prompt("", tuple(ids[:PROMPT]))
    members = [_member(prompt, [*text[PROMPT:], 0]) for text in texts]
    for mode in ("plain", "packed", "shared"):
        layout = lay_out(members, mode, 0, model.device)
        mine = head(hidden_states(model, layout)[layout.last_B])
        _compare(model, f"{mode} scoring", mine, torch.stack(wanted))
    head.weight.copy_(before)


def _ids(vocabulary: int, mark: int | None) -> list[int]:
    """Ids for a prompt and its answers, drawn at random; never the mark of a picture."""
    draw = torch.Generator().manual_seed(0)
    drawn: list[int] = torch.randint(vocabulary, (PROMPT + sum(ANSWERS),), generator=draw).tolist()
    return [(i + 1) % vocabulary if i == mark else i for i in drawn]


def _member(prompt: Prompt, answer: list[int]) -> Member:
    ids = (*prompt.token_ids, *answer)
    origins = (Origin.TEMPLATE,) * len(prompt) + (Origin.POLICY,) * len(answer)
    return Member(ids, origins, (0.0,) * len(ids), 0, len(prompt), prompt.media)


def _logits(model: PreTrainedModel, members: list[Member], mode: Mode) -> torch.Tensor:
    layout = lay_out(members, mode, 0, model.device)
    return head_logits(model, hidden_states(model, layout))


def _decoded(model: PreTrainedModel, prompt: Prompt, answers: list[list[int]]) -> torch.Tensor:
    """Logits behind the first token of each answer, as the sampler computes them."""
    trunk, device = causal_lm(model).base_model, model.device
    prefill, _ = read_prompts(trunk, [prompt.token_ids], [prompt.media], device)
    cache = DecodeCache(prefill, len(answers))
    cache.begin()
    tokens_1R = torch.tensor([[answer[0] for answer in answers]], device=device)
    hidden_1RD = forward(trunk, tokens_1R, cache.positions_R[None], cache)
    return head_logits(model, hidden_1RD[0])


def _compare(model: PreTrainedModel, path: str, mine: torch.Tensor, theirs: torch.Tensor) -> None:
    # The mark of a picture has the least logit there is; beside it every difference would be small.
    size = float(theirs[theirs > torch.finfo(theirs.dtype).min].abs().max())
    if not torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4 * size):
        raise ModelError(
            f"{type(model).__name__}: the {path} path gives logits that differ from the model's "
            f"own by {float((mine - theirs).abs().max()):.2g}",
            "this architecture is not supported yet; please open an issue naming it",
        )
