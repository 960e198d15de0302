"""Calls to push providers: deadlines, a bound on what is read, and what is known when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from db.core.http_calls import certificates, seconds_to_wait

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 65_536
# A provider that asks for more has lost its mind or its clock.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0

# What these log has URLs and headers in it, and so tokens.
for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class NotSent(Exception):
    """Nothing left this machine; the reason is our own."""


class NoAnswer(Exception):
    """The request may have been read, and nothing was said to it."""


@dataclass(frozen=True)
class HttpAnswer:
    """A status, the headers, and a JSON object; an empty one for what is none."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: dict[str, Any] = field(repr=False)

    @property
    def retry_after_seconds(self) -> float | None:
        """What the header Retry-After says."""
        seconds = seconds_to_wait(self.headers.get("retry-after", ""))
        return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_SECONDS)


def open_client(url: str, *, http1: bool) -> httpx.AsyncClient:
    """A client for one provider, whose connections it keeps. Without `http1` it is HTTP/2 alone."""
    return httpx.AsyncClient(
        base_url=url,
        http1=http1,
        http2=True,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        verify=certificates(),
    )


async def post(
    client: httpx.AsyncClient, path: str, *, headers: Mapping[str, str], **content: Any
) -> HttpAnswer:
    """POSTs once; NotSent when nothing left, NoAnswer when nobody knows what became of it.

    No redirect is followed. Where a connection is lost in the middle of an answer, its status is
    known and its body empty.
    """
    body = bytearray()
    try:
        async with (
            asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS),
            client.stream("POST", path, headers=headers, **content) as response,
        ):
            try:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LONGEST_ANSWER_BYTES:
                        break
            except httpx.HTTPError:
                body.clear()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(type(error).__name__) from None
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise NoAnswer(type(error).__name__) from None
    return HttpAnswer(response.status_code, response.headers, _json_object(bytes(body)))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
