"""How an OpenAI-compatible endpoint is reached: who may be asked, through what, and with what.

One set of rules for judges, played patients and generators: only this machine unless allowed, no
redirects, the key from the environment, errors without any of the texts.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import httpx

from medrl.errors import JudgeError
from medrl.judges.call import Request
from medrl.judges.reply import Message
from medrl.judges.rubrics import Rubric
from medrl.judges.spec import API_KEY, JudgeSpec, check_url
from medrl.sampling.address import is_this_machine


def key_of(spec: JudgeSpec) -> str | None:
    """An endpoint's key, from the environment; ``None`` if it has none."""
    return os.environ.get(spec.api_key_env or API_KEY, "").strip() or None


def check_endpoint(spec: JudgeSpec, api_key: str | None) -> str:
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
            "the key of the endpoint holds characters that cannot be sent",
            "set its environment variable again, without line breaks",
        )
    return spec.url


def client_of(
    spec: JudgeSpec, api_key: str | None, verify: ssl.SSLContext | bool = True
) -> httpx.AsyncClient:
    """What requests go through.

    Args:
        verify: certificates that were read before, for those who open many clients.
    """
    assert spec.url is not None  # the schema saw to it
    return httpx.AsyncClient(
        base_url=spec.url,
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        timeout=httpx.Timeout(None, connect=10.0),  # all else: chat.complete
        limits=httpx.Limits(max_connections=spec.concurrency),
        verify=verify,
        # No redirect takes a text elsewhere (httpx follows none), nor does a proxy one that
        # is to stay here; a hospital's way out may be a proxy with certificates of its own.
        trust_env=not is_this_machine(spec.url),
    )


def body_of(spec: JudgeSpec, messages: Sequence[Message]) -> dict[str, Any]:
    """What is sent: the messages with the endpoint's settings."""
    usual = {"temperature": spec.temperature, "max_tokens": spec.max_new_tokens}
    settings = {k: v for k, v in (usual | spec.extra_body).items() if v is not None}
    return {"model": spec.model, "messages": list(messages), **settings}


def request_of(
    spec: JudgeSpec, messages: Sequence[Message], rubric: Rubric | None = None, token: str = ""
) -> Request:
    """Messages as a request: a judge's if there is a rubric, else one for plain text."""
    body = body_of(spec, messages)
    key = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return Request(key, body, rubric, token)
