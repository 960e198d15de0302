"""One request to Gemini through its SDK, within bounds; what goes wrong becomes a `ProviderError`.

The SDK is imported for the first request, in a thread: that takes longer than a server may stall.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from db.core.http_calls import certificates, seconds_to_wait
from jobs.providers.base import ProviderError, ProviderFailed, ProviderRefused, ProviderTimedOut

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import Content, GenerateContentConfig, GenerateContentResponse

API_VERSION = "v1beta"
CONNECT_SECONDS = 10.0
# Who asks to be left alone for longer is not asked again: a user's credits are held meanwhile.
LONGEST_WAIT_SECONDS = 300.0
BUSY = "The AI provider is busy. No credit was spent; try again in a moment."
AWAY = "The AI provider could not be reached. No credit was spent; try again in a moment."
BROKEN = "The AI provider did not give a usable answer. No credit was spent; try again in a moment."
UNUSABLE = "The AI provider could not work with this photo. No credit was spent; try another one."
_BUSY, _BAD_REQUEST = 429, (400, "INVALID_ARGUMENT")
_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_STATUS = re.compile(r"[A-Z][A-Z_]{0,40}")


class AnswerTooLarge(Exception):
    """An answer with more bytes than are read, or packed, so that nobody knows how many it has."""


class GeminiClient:
    """Asks models. It keeps connections, and belongs to one event loop."""

    def __init__(self, key: str, url: str, timeout_seconds: float, most_bytes: int) -> None:
        self._key = key
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._most_bytes = most_bytes
        self._opening = asyncio.Lock()
        self._opened: Client | None = None

    async def open(self) -> None:
        """Makes the SDK ready: before its types are used, and again for nothing."""
        async with self._opening:
            if self._opened is None:
                self._opened = await asyncio.to_thread(self._open)

    def _open(self) -> Client:
        from google import genai
        from google.genai.types import HttpOptions

        context = certificates()
        asking = httpx.AsyncClient(
            verify=context,
            # A packed answer would be bounded before it is unpacked only.
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [self._bound]},
        )
        return genai.Client(
            # Said outright, as the SDK else looks for each in the environment.
            vertexai=False,
            api_key=self._key,
            http_options=HttpOptions(
                base_url=self._url,
                api_version=API_VERSION,
                timeout=round(self._timeout_seconds * 1000),
                # Nothing is tried again here: the worker tries, which holds nothing meanwhile.
                retry_options=None,
                httpx_async_client=asking,
                httpx_client=httpx.Client(verify=context),
            ),
        )

    async def ask(
        self, model: str, contents: list[Content], config: GenerateContentConfig
    ) -> GenerateContentResponse:
        """The model's answer, whatever it says; a `ProviderError` without one."""
        await self.open()
        assert self._opened is not None
        from google.genai.errors import APIError

        # Nothing of what the SDK or the API say is passed on: they repeat requests, even a key.
        try:
            return await self._opened.aio.models.generate_content(
                model=model,
                contents=contents,
                config=config,
            )
        except APIError as error:
            raise _failure(error) from None
        except httpx.TimeoutException:
            raise ProviderTimedOut(AWAY, detail="no answer in time") from None
        except httpx.HTTPError as error:
            raise ProviderFailed(AWAY, detail=type(error).__name__) from None
        except AnswerTooLarge as error:
            raise ProviderFailed(BROKEN, detail=str(error)) from None
        except Exception as error:  # what the SDK makes of an answer that is none
            raise ProviderFailed(BROKEN, detail=type(error).__name__) from None

    async def _bound(self, response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise AnswerTooLarge("the answer is packed")
        if int(response.headers.get("content-length") or 0) > self._most_bytes:
            raise AnswerTooLarge("the answer is too large")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _BoundedStream(response.stream, self._most_bytes)


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > self._most_bytes:
                raise AnswerTooLarge("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _failure(error: Any) -> ProviderError:
    """What an error of the API means for a generation."""
    code: int = error.code
    details = _details(error.details)
    detail = _told(code, error.status)
    if (code, error.status) == _BAD_REQUEST and not _is_of_key(details):
        return ProviderRefused(UNUSABLE, detail=detail)
    wait = _asked_wait(error.response, details)
    return ProviderFailed(
        BUSY if code == _BUSY else AWAY,
        wait,
        may_pass=code in _MAY_PASS and (wait or 0) <= LONGEST_WAIT_SECONDS,
        detail=detail,
    )


def _told(code: int, status: object) -> str:
    known = isinstance(status, str) and _STATUS.fullmatch(status)
    return f"HTTP {code} {status}" if known else f"HTTP {code}"


def _details(body: object) -> list[Mapping[str, Any]]:
    """The details of a google.rpc.Status, each by its type."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []


def _is_of_key(details: list[Mapping[str, Any]]) -> bool:
    return any(str(one.get("reason", "")).startswith("API_KEY_") for one in details)


def _asked_wait(response: object, details: list[Mapping[str, Any]]) -> float | None:
    """The seconds that `Retry-After` (RFC 9110, 10.2.3) or google.rpc.RetryInfo ask for."""
    waits = []
    if isinstance(response, httpx.Response) and (said := response.headers.get("retry-after")):
        waits.append(seconds_to_wait(said) or 0.0)
    for one in details:
        if str(one.get("@type", "")).endswith("/google.rpc.RetryInfo"):
            duration = _DURATION.fullmatch(str(one.get("retryDelay", "")))
            waits.append(float(duration[1]) if duration else 0.0)
    return max(waits, default=None)
