"""Calls to providers: a deadline, a bound on what is read, JSON or nothing."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from auth.networks import Shares
from auth.providers.base import provider_failed

CALL_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 262_144
# At the same time; a provider that is slow holds no more than these.
CALLS_PER_PROVIDER = 64
_calls = Shares[str](CALLS_PER_PROVIDER)
# Not compressed, so that a small answer is not a large one once it is opened.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider answered: a JSON object, whatever the status."""

    status: int
    body: dict[str, Any]


async def call_provider(
    provider: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProviderAnswer:
    """GETs, or POSTs a form; PROVIDER_FAILED unless a JSON object comes in time.

    No redirect is followed: what is asked for and sent along stays with who was meant.
    """
    import httpx

    if not _calls.take(provider):
        raise provider_failed(provider, "too many calls at once")
    try:
        async with asyncio.timeout(CALL_SECONDS):
            status, body = await _exchange(url, form, {**_HEADERS, **(headers or {})})
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
        raise provider_failed(provider, type(error).__name__) from None
    finally:
        _calls.give_back(provider)
    return ProviderAnswer(status, _json_object(provider, status, body))


async def _exchange(
    url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    import httpx

    method = "GET" if form is None else "POST"
    async with (
        httpx.AsyncClient(verify=_certificates(), timeout=CALL_SECONDS) as client,
        client.stream(method, url, data=form, headers=headers) as response,
    ):
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > LONGEST_ANSWER_BYTES:
                raise ValueError("the answer is too large")
        return response.status_code, bytes(body)


def _json_object(provider: str, status: int, body: bytes) -> dict[str, Any]:
    if status >= 500 or 300 <= status < 400:
        raise provider_failed(provider, f"status {status}")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise provider_failed(provider, f"no JSON, status {status}") from None
    if not isinstance(parsed, dict):
        raise provider_failed(provider, f"no JSON object, status {status}")
    return parsed


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a call."""
    import httpx

    return httpx.create_ssl_context()
