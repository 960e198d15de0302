"""Calls to providers: a deadline, a bound on what is read, JSON or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.networks import Shares
from auth.providers.base import provider_failed
from db.core.http_calls import CallFailed, call

CALL_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 262_144
# At the same time; a provider that is slow holds no more than these.
CALLS_PER_PROVIDER = 64
_calls = Shares[str](CALLS_PER_PROVIDER)


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
    """GETs, or POSTs a form; PROVIDER_FAILED unless a JSON object comes in time."""
    if not _calls.take(provider):
        raise provider_failed(provider, "too many calls at once")
    try:
        status, body = await call(
            "GET" if form is None else "POST",
            url,
            form=form,
            headers=headers or {},
            seconds=CALL_SECONDS,
            most_bytes=LONGEST_ANSWER_BYTES,
        )
    except CallFailed as error:
        raise provider_failed(provider, str(error)) from None
    finally:
        _calls.give_back(provider)
    return ProviderAnswer(status, _json_object(provider, status, body))


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
