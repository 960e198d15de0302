"""Calls to payment providers: JSON out and in, or PROVIDER_FAILED."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from db.core.http_calls import CallFailed, call
from payments.base import provider_failed

CALL_SECONDS = 15.0
LONGEST_ANSWER_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class PaymentAnswer:
    """What a provider answered: JSON, whatever the status below 500."""

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        """Whether HTTP says so."""
        return 200 <= self.status < 300


async def post_json(
    provider: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> PaymentAnswer:
    """POSTs JSON; PROVIDER_FAILED unless JSON comes back in time."""
    told = {"content-type": "application/json", **headers}
    return await _answer(provider, "POST", url, told, content=orjson.dumps(body))


async def post_form(
    provider: str, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> PaymentAnswer:
    """POSTs a form; PROVIDER_FAILED unless JSON comes back in time."""
    return await _answer(provider, "POST", url, headers or {}, form=form)


async def post_raw_json(
    provider: str, url: str, body: bytes, headers: Mapping[str, str]
) -> PaymentAnswer:
    """POSTs JSON that is text already; PROVIDER_FAILED unless JSON comes back in time."""
    told = {"content-type": "application/json", **headers}
    return await _answer(provider, "POST", url, told, content=body)


async def get_json(provider: str, url: str, headers: Mapping[str, str]) -> PaymentAnswer:
    """GETs JSON; PROVIDER_FAILED unless it comes in time."""
    return await _answer(provider, "GET", url, headers)


async def _answer(
    provider: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    content: bytes | None = None,
    form: Mapping[str, str] | None = None,
) -> PaymentAnswer:
    try:
        status, answer = await call(
            method,
            url,
            content=content,
            form=form,
            headers=headers,
            seconds=CALL_SECONDS,
            most_bytes=LONGEST_ANSWER_BYTES,
        )
    except CallFailed as error:
        raise provider_failed(provider, str(error)) from None
    if status >= 500 or 300 <= status < 400 or status == 429:
        raise provider_failed(provider, f"status {status}")
    try:
        return PaymentAnswer(status, orjson.loads(answer) if answer else None)
    except orjson.JSONDecodeError:
        raise provider_failed(provider, f"no JSON, status {status}") from None
