"""Who plays a patient, behind an OpenAI-compatible chat endpoint.

Reached by the rules of :mod:`medrl.judges.reaching`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import httpx

from medrl.errors import JudgeError
from medrl.judges.call import Line
from medrl.judges.chat import Completion
from medrl.judges.reaching import body_of, check_endpoint, client_of
from medrl.judges.reply import Message
from medrl.judges.spec import JudgeSpec
from medrl.sampling.address import is_this_machine


class EndpointSpeaker:
    """Asks a server; see :class:`medrl.patients.played.Speaker`.

    Each question is a request of its own, so a slow one holds up nobody else.

    Args:
        spec: of kind ``endpoint``.
        api_key: sent as bearer token; kept in memory only.

    Raises:
        JudgeError: an address that texts may not be sent to, or a key that no header can carry.
    """

    specials: Sequence[str] = ()

    def __init__(self, spec: JudgeSpec, api_key: str | None = None) -> None:
        self.url = check_endpoint(spec, api_key)
        self.spec, self._api_key = spec, api_key
        # Once: it reads all certificates, and every question has a connection of its own.
        self._ssl = httpx.create_ssl_context(trust_env=not is_this_machine(self.url))
        self._free: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def say(self, asked: Sequence[Message]) -> str:
        """See :class:`medrl.patients.played.Speaker`."""
        spec, loop = self.spec, asyncio.get_running_loop()
        async with self._free.setdefault(loop, asyncio.Semaphore(spec.concurrency)):
            try:
                client = client_of(spec, self._api_key, self._ssl)
                async with asyncio.timeout(spec.deadline_s), client:
                    line = Line(spec, client, time.monotonic() + spec.deadline_s)
                    reply = await line.reply(body_of(spec, asked))
            except TimeoutError:
                raise self._silent(f"no reply within {spec.deadline_s:g} s") from None
        if isinstance(reply, Completion):
            return reply.text
        raise self._silent(reply.reason)

    def _silent(self, reason: str) -> JudgeError:
        return JudgeError(
            f"the patient behind {self.url} says nothing: {reason}",
            f"see that model {self.spec.model} is served there, then resume the run",
        )
