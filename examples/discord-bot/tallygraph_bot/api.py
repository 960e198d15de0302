"""Tallygraph as the bot asks it: over pooled connections, again after a while when it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

RETRIES = 5
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
POOL_CONNECTIONS = 10
ANSWER_SECONDS = 20.0
BAD_GATEWAY, TOO_MANY = 500, 429
# What is gone by itself; all else stays as it is however often it is asked.
PASSING = frozenset({"SERVICE_UNAVAILABLE", "RATE_LIMITED"})

Sleep = Callable[[float], Awaitable[None]]


class Away(Exception):
    """The server did not answer, however often it was asked."""


class Refused(Exception):
    """The server refused, for good: its code, its sentence, and where the field at fault is."""

    def __init__(self, code: str, message: str, path: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.path = code, message, tuple(path)


def wait_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: 1 s, then twice as long, 30 s at most."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** (failures - 1), LONGEST_WAIT_SECONDS)


class Tallygraph:
    """One server, by its address and a bot's key."""

    def __init__(self, url: str, key: str, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_connections=POOL_CONNECTIONS),
            timeout=ANSWER_SECONDS,
        )

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def ask(self, document: str, **variables: Any) -> Any:
        """What a query answers."""
        for failures in range(1, RETRIES + 2):
            try:
                return await self._asked(document, variables)
            except (Away, httpx.TransportError) as error:
                if failures > RETRIES:
                    raise Away(str(error)) from None
            await self._sleep(wait_seconds(failures))
        raise AssertionError("the last failure is raised")  # pragma: no cover

    async def do(self, document: str, **given: Any) -> Any:
        """The payload of a mutation whose field is called `done`; `Refused` with its first error.

        It is sent again when the answer was lost, so each mutation is one that may be repeated.
        """
        payload = (await self.ask(document, input=given))["done"]
        if payload["errors"]:
            error = payload["errors"][0]
            raise Refused(error["code"], error["message"], error["path"] or ())
        return payload

    async def watch(self, document: str, after: str | None) -> AsyncIterator[Any]:
        """The items of a subscription whose field is called `item`, until the connection ends."""
        request = {"query": document, "variables": {"after": after}}
        headers = {"accept": "text/event-stream"}
        timeout = httpx.Timeout(ANSWER_SECONDS, read=60.0)
        async with self._http.stream(
            "POST", "/graphql", json=request, headers=headers, timeout=timeout
        ) as response:
            if response.is_error:
                await response.aread()
                _answered(response)
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield _data_of(line.removeprefix("data: "))["item"]

    async def _asked(self, document: str, variables: Mapping[str, Any]) -> Any:
        request = {"query": document, "variables": variables}
        return _answered(await self._http.post("/graphql", json=request))


def _answered(response: httpx.Response) -> Any:
    """The data of an answer, whatever its status; `Away` for one that will be another soon."""
    if response.status_code >= BAD_GATEWAY or response.status_code == TOO_MANY:
        raise Away(f"status {response.status_code}")
    return _data_of(response.text)


def _data_of(text: str) -> Any:
    """The data of an answer; its first error is raised.

    What is no answer of the server's is a proxy's in front of it, and `Away`.
    """
    try:
        answer = json.loads(text)
        if not answer.get("errors"):
            return answer["data"]
        error = answer["errors"][0]
        said, more = str(error["message"]), error.get("extensions", {})
        code = str(more.get("code", ""))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Away("it is not Tallygraph that answers") from None
    if code in PASSING:
        raise Away(code)
    raise Refused(code, said, more.get("path") or ())
