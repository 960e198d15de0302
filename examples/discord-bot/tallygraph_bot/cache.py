"""What was read lately, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

TTL_SECONDS = 60.0


class TtlCache[Value]:
    """Values by key, each as good as when it was read until its time is over or it is forgotten.

    What was forgotten while it was being read is not kept.
    """

    def __init__(
        self, ttl_seconds: float = TTL_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl, self._clock = ttl_seconds, clock
        self._kept: dict[str, tuple[float, Value]] = {}
        self._forgotten = 0

    async def get(self, key: str, read: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, read anew when there is none that is good."""
        found = self._kept.get(key)
        if found is not None and found[0] > self._clock():
            return found[1]
        before = self._forgotten
        value = await read()
        if before == self._forgotten:
            self._kept[key] = (self._clock() + self._ttl, value)
        return value

    def forget(self) -> None:
        """Reads everything anew: something has changed."""
        self._forgotten += 1
        self._kept.clear()
