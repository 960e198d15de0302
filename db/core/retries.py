"""Retries what lost to a concurrent transaction, a few times, with growing pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg

# 40001 and 40P01: Postgres undid the transaction because of another one; it may do better alone.
RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.01


async def retried[T](attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns; it is made again after a deadlock or a serialization failure.

    An attempt must be a whole transaction: what it did before it failed has been undone. Pauses
    double and vary by half, so that those who collided once do not collide again.
    """
    for number in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except RETRIED:
            pause = FIRST_PAUSE_SECONDS * 2**number
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311
    return await attempt()
