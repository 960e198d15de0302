"""Changes that subscribers watch, committed at a known pace, and when each was committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Self

import asyncpg

from bench.ledger import FIRST_NUMBER, ID_START
from bench.live.figures import BURST, OWN, PUBLIC
from bench.live.servers import Stage
from graph.live.bus import WakeBus

OWN_DOCUMENT = """subscription {
  notificationAdded {
    cursor
    notification { id type titleKey messageKey data read createdAt }
  }
}"""
PUBLIC_DOCUMENT = """subscription {
  toolsChanged {
    cursor
    tool { id nameKey type creditsCost sortOrder }
  }
}"""
# What stands before an event's number in a message.
MARKS = {OWN: '"n":', BURST: '"n":', PUBLIC: '"sortOrder":'}
COMMIT_EVERY_SECONDS = 0.01
_NOTIFY_USERS = f"""
insert into notifications (user_id, type, title_key, message_key, data)
select ('{ID_START}' || {FIRST_NUMBER} + i % $3)::uuid,
       'GENERAL', 'bench.title', 'bench.message', jsonb_build_object('n', $4::int)
from generate_series($1::int, $1::int + $2::int - 1) i
"""
_CHANGE_TOOL = "update tools set sort_order = $1 where id = 'hair-color'"


def messages_of_commit(pattern: str, subscribers: int, per_second: int) -> int:
    """How many messages one transaction makes."""
    if pattern != OWN:
        return subscribers
    return min(subscribers, max(1, round(per_second * COMMIT_EVERY_SECONDS)))


class Writer:
    """Another process that writes, as its subscribers see it: it commits, then wakes them."""

    def __init__(self, connection: asyncpg.Connection, bus: WakeBus, subscribers: int) -> None:
        self._connection = connection
        self._bus = bus
        self.subscribers = subscribers
        self._numbers = count(1)
        self.committed_at: dict[int, float] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, stage: Stage, subscribers: int) -> AsyncIterator[Self]:
        """A writer for a block."""
        bus = WakeBus.postgres(stage.service_url)
        connection = await asyncpg.connect(stage.environment.owner_url)
        await bus.start(lambda: None)
        try:
            yield cls(connection, bus, subscribers)
        finally:
            await bus.stop()
            await connection.close()

    async def write(self, pattern: str, messages: int, per_second: int) -> None:
        """Commits what makes so many messages, in this pattern."""
        everybody = self.subscribers
        each = messages_of_commit(pattern, everybody, per_second)
        pause = each / per_second
        started = time.monotonic()
        for turn in range(messages // each):
            await asyncio.sleep(max(0.0, started + turn * pause - time.monotonic()))
            number = next(self._numbers)
            if pattern == PUBLIC:
                await self._connection.execute(_CHANGE_TOOL, number)
            else:
                await self._connection.execute(_NOTIFY_USERS, turn * each, each, everybody, number)
            self.committed_at[number] = time.monotonic()
            self._bus.publish()
