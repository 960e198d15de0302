"""Delayed refusals: a client that repeats a refused request at once is answered slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from random import uniform

from auth.networks import RateLimit, Shares


class Pace[Key: Hashable]:
    """Lets each key have so many a second; who is beyond them waits, up to some time.

    No more than `waiting` of a key wait at a time. What is beyond that does not wait.
    """

    def __init__(self, per_second: int, longest_seconds: float, waiting: int) -> None:
        self._rate = RateLimit[Key](per_second, 1.0)
        self._longest_seconds = longest_seconds
        self._waiting = Shares[Key](waiting)

    async def wait(self, key: Key) -> None:
        """Returns when it is this one's time."""
        seconds = self._rate.reserve(key, self._longest_seconds)
        if seconds == self._longest_seconds:
            # Otherwise all that wait for so long would come back together.
            seconds *= uniform(0.5, 1)  # noqa: S311 -- no secret
        if seconds and self._waiting.take(key):
            try:
                await asyncio.sleep(seconds)
            finally:
                self._waiting.give_back(key)
