"""Other services as the bot asks them: again after a while, and no faster than they allow."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx

from .api import BAD_GATEWAY, TOO_MANY, Away, Sleep, wait_seconds

ANSWER_SECONDS = 10.0
MOST_BYTES = 1_000_000
MINUTE_SECONDS = 60.0


class Outside:
    """One service, by its address. What it says of a key stays between the two: no log has it."""

    def __init__(
        self,
        url: str,
        *,
        retries: int,
        a_minute: int | None = None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retries, self._most = retries, a_minute
        self._sleep, self._clock = sleep, clock
        self._asked: deque[float] = deque()
        self._http = httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS)

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """What it answers, whatever that is; `Away` when it did not, however often it was asked.

        Each request is one that may be repeated.
        """
        for failures in range(1, self._retries + 2):
            await self._in_turn()
            try:
                response = await self._whole(method, path, headers, more)
            except (httpx.HTTPError, TimeoutError):
                response = None
            if response is not None and not _is_passing(response.status_code):
                return response
            if failures <= self._retries:
                await self._sleep(wait_seconds(failures))
        raise Away(f"{self._http.base_url.host} does not answer")

    async def _whole(
        self, method: str, path: str, headers: dict[str, str] | None, more: dict[str, Any]
    ) -> httpx.Response | None:
        """An answer that has come, all of it, in time; nothing for one without end."""
        body = bytearray()
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            self._http.stream(method, path, headers=headers, **more) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    return None
        return httpx.Response(response.status_code, content=bytes(body))

    async def _in_turn(self) -> None:
        """Waits until the minute has room for one more."""
        if self._most is None:
            return
        while True:
            now = self._clock()
            while self._asked and self._asked[0] <= now - MINUTE_SECONDS:
                self._asked.popleft()
            if len(self._asked) < self._most:
                self._asked.append(now)
                return
            await self._sleep(self._asked[0] + MINUTE_SECONDS - now)


def _is_passing(status: int) -> bool:
    return status >= BAD_GATEWAY or status == TOO_MANY
