"""Calls to payment providers: a deadline, a bound on what is read, JSON or nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from payments.base import provider_failed

CALL_SECONDS = 15.0
LONGEST_ANSWER_BYTES = 1_048_576
# Not compressed, so that a small answer is not a large one once it is opened.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class PaymentAnswer:
    """What a provider answered: JSON, whatever the status below 500."""

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        """Whether HTTP says so."""
        return 200 <= self.status < 300


async def call_provider(
    provider: str,
    method: str,
    url: str,
    *,
    json: Mapping[str, Any] | None = None,
    headers: Mapping[str, str],
) -> PaymentAnswer:
    """One request; PROVIDER_FAILED unless JSON comes in time.

    No redirect is followed: what is sent along stays with who was meant.
    """
    import httpx

    body = None if json is None else orjson.dumps(json)
    sent = {**_HEADERS, **({"content-type": "application/json"} if body else {}), **headers}
    try:
        async with asyncio.timeout(CALL_SECONDS):
            status, answer = await _exchange(method, url, body, sent)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
        raise provider_failed(provider, type(error).__name__) from None
    if status >= 500 or 300 <= status < 400 or status == 429:
        raise provider_failed(provider, f"status {status}")
    try:
        return PaymentAnswer(status, orjson.loads(answer) if answer else None)
    except orjson.JSONDecodeError:
        raise provider_failed(provider, f"no JSON, status {status}") from None


async def _exchange(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    import httpx

    async with (
        httpx.AsyncClient(verify=_certificates(), timeout=CALL_SECONDS) as client,
        client.stream(method, url, content=body, headers=headers) as response,
    ):
        answer = bytearray()
        async for chunk in response.aiter_raw():
            answer += chunk
            if len(answer) > LONGEST_ANSWER_BYTES:
                raise ValueError("the answer is too large")
        return response.status_code, bytes(answer)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a call."""
    import httpx

    return httpx.create_ssl_context()
