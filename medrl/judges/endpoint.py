"""A judge behind an OpenAI-compatible chat endpoint.

Whatever the server does, a call of ``ask`` is over by its deadline and says of each question what
became of it. Errors never hold the texts that were sent, the server's own words (which may repeat
those texts), or the key.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import httpx

from medrl.errors import JudgeError
from medrl.judges.cache import ReplyCache
from medrl.judges.call import Call, Request
from medrl.judges.judge import Counting, Counts, Judgement, Question
from medrl.judges.reply import ask_for_json, read_reply
from medrl.judges.spec import JudgeSpec, check_url
from medrl.run.coroutines import run_to_end
from medrl.sampling.address import is_this_machine

logger = logging.getLogger("medrl")

T = TypeVar("T")


def checked(spec: JudgeSpec, api_key: str | None) -> str:
    """The address of an endpoint, which texts may be sent to.

    Raises:
        JudgeError: they may not, or the key is one that no header can carry.
    """
    assert spec.url is not None and spec.model is not None  # the schema saw to it
    try:  # again: a copy of a spec with other values is not validated
        check_url(spec.url, spec.allow_remote)
    except ValueError as error:
        message, _, fix = str(error).partition("; ")
        raise JudgeError(message, fix) from None
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise JudgeError(
            "the key of the judge holds characters that cannot be sent",
            "set its environment variable again, without line breaks",
        )
    return spec.url


class EndpointJudge(Counting):
    """Asks a server, many questions at a time.

    Args:
        spec: of kind ``endpoint``.
        api_key: sent as bearer token; kept in memory only.

    Raises:
        JudgeError: an address that texts may not be sent to, a key that no header can carry, or a
            cache that cannot be opened.
    """

    def __init__(self, spec: JudgeSpec, api_key: str | None = None) -> None:
        super().__init__()
        checked(spec, api_key)
        self.spec, self._api_key = spec, api_key
        self.cache = None if spec.cache is None else Path(spec.cache)
        if self.cache is not None:
            ReplyCache(self.cache).close()

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """See :class:`medrl.judges.judge.Judge`. Equal questions are sent once.

        Raises:
            JudgeError: the cache is gone.
        """
        started = time.monotonic()
        requests = [self._request(question) for question in questions]
        by_key = {request.key: request for request in requests}
        kept = _Kept(self.cache)
        try:
            judged = kept.judged(by_key)
            missing = [request for key, request in by_key.items() if key not in judged]
            spent = Counts()
            if missing:
                fresh, spent = run_to_end(self._ask(missing, started, kept))
                judged |= fresh
        finally:
            kept.close()
        counts = spent + Counts(
            cached=len(questions) - len(missing), seconds=time.monotonic() - started
        )
        return self._count([judged[request.key] for request in requests], counts)

    def _request(self, question: Question) -> Request:
        spec = self.spec
        asked = ask_for_json(question)
        usual = {"temperature": spec.temperature, "max_tokens": spec.max_new_tokens}
        settings = {k: v for k, v in (usual | spec.extra_body).items() if v is not None}
        body = {"model": spec.model, "messages": list(asked.messages), **settings}
        key = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return Request(key, body, question.rubric, asked.token)

    async def _ask(
        self, requests: Sequence[Request], started: float, kept: _Kept
    ) -> tuple[dict[str, Judgement], Counts]:
        spec = self.spec
        assert spec.url is not None
        async with httpx.AsyncClient(
            base_url=spec.url,
            headers={"Authorization": f"Bearer {self._api_key}"} if self._api_key else {},
            timeout=httpx.Timeout(None, connect=10.0),  # all else: chat.complete
            limits=httpx.Limits(max_connections=spec.concurrency),
            # No redirect takes a text elsewhere (httpx follows none), nor does a proxy one that
            # is to stay here; a hospital's way out may be a proxy with certificates of its own.
            trust_env=not is_this_machine(spec.url),
        ) as client:
            call = Call(spec, client, started + spec.deadline_s, kept.keep)
            await call.run(requests)
        cost = call.prompt_tokens * spec.prompt_price
        cost += call.completion_tokens * spec.completion_price
        return call.judged, Counts(
            requests=call.requests,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.completion_tokens,
            cost=cost / 1e6,
        )


class _Kept:
    """The cache during one call. Where it fails, the call goes on without it and says so."""

    def __init__(self, path: Path | None) -> None:
        self._cache = None if path is None else ReplyCache(path)

    def judged(self, wanted: Mapping[str, Request]) -> dict[str, Judgement]:
        """Judgements from the replies that are there and can be read."""
        found: dict[str, str] = self._try(lambda cache: cache.get(wanted)) or {}
        read = {k: read_reply(r, wanted[k].rubric, wanted[k].token) for k, r in found.items()}
        return {key: judgement for key, judgement in read.items() if judgement.failure is None}

    def keep(self, key: str, reply: str) -> None:
        """Keep a reply."""
        self._try(lambda cache: cache.put(key, reply))

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def _try(self, action: Callable[[ReplyCache], T]) -> T | None:
        if self._cache is None:
            return None
        try:
            return action(self._cache)
        except sqlite3.Error as error:
            logger.warning("%s: the judge goes on without this cache: %s", self._cache.path, error)
            self.close()
            return None
