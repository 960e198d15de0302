"""What calls to other services over HTTP have in common: bounds, certificates, Retry-After."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

# Not compressed, so that a small answer is not a large one once it is opened.
JSON_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


class CallFailed(Exception):
    """No answer came in time, or one that is too large; the message says which, and no more."""


async def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    seconds: float,
    most_bytes: int,
    content: bytes | None = None,
    form: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """The status and body of one answer; `CallFailed` without one.

    No redirect is followed: what is asked for and sent along stays with who was meant.
    """
    import httpx

    answer = bytearray()
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(verify=certificates(), timeout=seconds) as client,
            client.stream(
                method, url, content=content, data=form, headers={**JSON_HEADERS, **headers}
            ) as response,
        ):
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > most_bytes:
                    raise CallFailed("the answer is too large")
            return response.status_code, bytes(answer)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
        raise CallFailed(type(error).__name__) from None


@cache
def certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a call."""
    import httpx

    return httpx.create_ssl_context()


def seconds_to_wait(retry_after: str) -> float | None:
    """What the header Retry-After says, seconds or a date (RFC 9110, 10.2.3); None for neither."""
    said = retry_after.strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    at = until.replace(tzinfo=until.tzinfo or UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)
