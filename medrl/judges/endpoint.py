"""A judge behind an OpenAI-compatible chat endpoint.

Whatever the server does, a call of ``ask`` is over by its deadline and says of each question what
became of it. Errors never hold the texts that were sent, the server's own words (which may repeat
those texts), or the key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from medrl.judges.cache import KeptReplies, ReplyCache
from medrl.judges.call import Call, Request
from medrl.judges.judge import Counting, Counts, Judgement, Question
from medrl.judges.reaching import check_endpoint, client_of, request_of
from medrl.judges.reply import ask_for_json, read_reply
from medrl.judges.spec import JudgeSpec
from medrl.run.coroutines import run_to_end


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
        check_endpoint(spec, api_key)
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
        kept = KeptReplies(self.cache)
        try:
            judged = _read(kept.texts(by_key), by_key)
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
        asked = ask_for_json(question)
        return request_of(self.spec, asked.messages, question.rubric, asked.token)

    async def _ask(
        self, requests: Sequence[Request], started: float, kept: KeptReplies
    ) -> tuple[dict[str, Judgement], Counts]:
        spec = self.spec
        async with client_of(spec, self._api_key) as client:
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


def _read(found: Mapping[str, str], wanted: Mapping[str, Request]) -> dict[str, Judgement]:
    """Judgements from kept replies; what cannot be read is asked again."""
    judged = {}
    for key, reply in found.items():
        request = wanted[key]
        assert request.rubric is not None  # a judge's request has one
        judged[key] = read_reply(reply, request.rubric, request.token)
    return {key: judgement for key, judgement in judged.items() if judgement.failure is None}
