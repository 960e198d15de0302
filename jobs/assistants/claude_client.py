"""One request to Claude through Anthropic's SDK; what goes wrong becomes a `ProviderError`.

The SDK is imported for the first request, in a thread: that takes longer than a server may stall.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from db.core.http_calls import seconds_to_wait
from jobs.providers.base import ProviderError, ProviderFailed, ProviderTimedOut

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

CONNECT_SECONDS = 10.0
# Who asks to be left alone for longer is not asked again: a user's credits are held meanwhile.
LONGEST_WAIT_SECONDS = 60.0
BUSY = "The AI provider is busy. No credit was spent; try again in a moment."
AWAY = "The AI provider could not be reached. No credit was spent; try again in a moment."
BROKEN = "The AI provider did not give a usable answer. No credit was spent; try again in a moment."
# What the API names its errors, also in the middle of a stream (Anthropic, "Errors").
_BUSY_TYPES = frozenset({"overloaded_error", "rate_limit_error"})
_PASSING_TYPES = _BUSY_TYPES | {"api_error", "timeout_error"}
_BUSY_STATUS = frozenset({429, 529})
_PASSING_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class ClaudeClient:
    """Asks models. It keeps connections, and belongs to one event loop."""

    def __init__(self, key: str, url: str, idle_seconds: float) -> None:
        self._key = key
        self._url = url
        self._idle_seconds = idle_seconds
        self._opening = asyncio.Lock()
        self._opened: AsyncAnthropic | None = None

    async def _client(self) -> AsyncAnthropic:
        async with self._opening:
            if self._opened is None:
                self._opened = await asyncio.to_thread(self._open)
        return self._opened

    def _open(self) -> AsyncAnthropic:
        import httpx2
        from anthropic import AsyncAnthropic

        # At its lower levels the SDK logs whole requests.
        logging.getLogger("anthropic").setLevel(logging.WARNING)
        return AsyncAnthropic(
            # Said outright, as the SDK else looks for each in the environment.
            api_key=self._key,
            base_url=self._url,
            timeout=httpx2.Timeout(self._idle_seconds, connect=CONNECT_SECONDS),
            # Nothing is tried again here: the worker tries, which holds nothing meanwhile.
            max_retries=0,
        )

    @asynccontextmanager
    async def stream(self, **request: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a streamed answer; it is hung up when the block ends."""
        client = await self._client()
        with _failures():
            stream = await client.messages.create(stream=True, **request)
        try:
            yield _guarded(stream)
        finally:
            await stream.close()


async def _guarded(stream: Any) -> AsyncIterator[Any]:
    with _failures():
        async for event in stream:
            yield event


class _failures:  # noqa: N801 - used as a function
    """Makes a `ProviderError` of what the SDK raises.

    Nothing of what the SDK or the API say is passed on: they repeat requests, even a key.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        import httpx2
        from anthropic import APIConnectionError, APIStatusError, APITimeoutError

        if not isinstance(error, Exception) or isinstance(error, ProviderError):
            return
        if isinstance(error, APIStatusError):
            raise _refusal(error) from None
        if isinstance(error, APITimeoutError | httpx2.TimeoutException):
            raise ProviderTimedOut(AWAY, detail="no answer in time") from None
        if isinstance(error, APIConnectionError | httpx2.HTTPError):
            raise ProviderFailed(AWAY, detail=type(error).__name__) from None
        raise ProviderFailed(BROKEN, detail=type(error).__name__) from None


def _refusal(error: Any) -> ProviderFailed:
    status: int = error.status_code
    kind = error.type if error.type in _PASSING_TYPES else None
    is_busy = status in _BUSY_STATUS or kind in _BUSY_TYPES
    wait = seconds_to_wait(error.response.headers.get("retry-after") or "")
    passes = status in _PASSING_STATUS or kind is not None
    return ProviderFailed(
        BUSY if is_busy else AWAY,
        wait,
        may_pass=passes and (wait or 0) <= LONGEST_WAIT_SECONDS,
        detail=f"HTTP {status} {kind}" if kind else f"HTTP {status}",
    )
