"""A mutex for each key with a bounded queue: whoever waits holds no database connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from auth.networks import Shares
from db.core.errors import RateLimited


class Turns[Key: Hashable]:
    """Lets one holder of a key work and the next ones wait, up to `waiting` of them.

    What would meet at one row's lock anyway meets here first, so that a flood of one address leaves
    the pool to the others.
    """

    def __init__(self, waiting: int) -> None:
        self._shares = Shares[Key](waiting + 1)
        self._locks: dict[Key, asyncio.Lock] = {}

    @asynccontextmanager
    async def of(self, key: Key) -> AsyncIterator[None]:
        """A block within a key's turn; RATE_LIMITED when too many wait for theirs."""
        if not self._shares.take(key):
            raise RateLimited("Too much at once from this address; try again in a moment.", 1)
        try:
            async with self._locks.setdefault(key, asyncio.Lock()):
                yield
        finally:
            self._shares.give_back(key)
            if not self._shares.held(key):
                del self._locks[key]

    def __len__(self) -> int:
        return len(self._locks)
