"""What stands around a reply in a conversation: the end of a turn, the beginning of the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medrl.errors import ModelError, RecipeError
from medrl.learning.groups import Origin
from medrl.learning.policy import Policy

PLAIN = "\nUser: {reply}\nAssistant:"
"""For models without a chat template; prompts in the usual shape begin with ``User:`` too."""
_TURN, _REPLY = "TURN-5f0c", "REPLY-91ad"


@dataclass(frozen=True, slots=True)
class Frame:
    """``before`` goes from the last word of a turn to the reply, ``after`` from there to where the
    next turn begins."""

    before: str
    after: str

    def tokens(
        self, policy: Policy, turn: Sequence[int], text: str
    ) -> tuple[list[int], list[Origin]]:
        """Token ids that follow a turn when ``text`` is the reply, and their origins.

        The token that ends a turn in a chat is left out where the policy has written it.
        """
        before = self.before
        if turn and turn[-1] in policy.stop_ids:
            end = str(policy.tokenizer.decode([turn[-1]], skip_special_tokens=False))
            before = before.removeprefix(end)
        pieces = [
            (before, Origin.TEMPLATE),
            (text, Origin.ENVIRONMENT),
            (self.after, Origin.TEMPLATE),
        ]
        ids: list[int] = []
        origins: list[Origin] = []
        for piece, origin in pieces:
            own = policy.encode(piece)
            ids += own
            origins += [origin] * len(own)
        return ids, origins


def frame_of(policy: Policy, plain: str = PLAIN) -> Frame:
    """The frame of a policy's conversations: its chat template's, or ``plain`` where it has none.

    Args:
        plain: a text with ``{reply}``.

    Raises:
        RecipeError: ``plain`` has no place for the reply.
        ModelError: the chat template does not show what is said in a conversation.
    """
    if not policy.chat:
        before, found, after = plain.partition("{reply}")
        if not found:
            raise RecipeError(
                f"the frame {plain!r} has no {{reply}} in it",
                "as in '\\nUser: {reply}\\nAssistant:'",
            )
        return Frame(before, after)
    said = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": _TURN},
        {"role": "user", "content": _REPLY},
    ]
    text = str(
        policy.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    )
    _, turn, rest = text.partition(_TURN)
    before, reply, after = rest.partition(_REPLY)
    if not (turn and reply):
        raise ModelError(
            "the chat template leaves out what was said before",
            "use a model whose template shows whole conversations, or model.chat=false",
        )
    return Frame(before, after)
