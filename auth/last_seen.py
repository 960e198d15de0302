"""When sessions and API keys were last used: noted in memory, written now and then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Self
from uuid import UUID

import structlog

from auth.api_keys import ApiKeys
from auth.developer_keys import DeveloperKeys
from auth.services import AccountServices
from db.accounts.own_sessions import note_sessions
from db.api_keys.operations import note_keys
from db.core.actor import SERVICE
from db.core.pool import Database, Transaction
from db.developers.operations import note_developer_keys

LOOK_EVERY_SECONDS = 5.0
# Of one session or key. A session's is also written when it is refreshed.
SESSION_SECONDS = 180.0
KEY_SECONDS = 60.0
WRITTEN_AT_ONCE = 1_000
LAST_WRITE_SECONDS = 2.0

log = structlog.get_logger(__name__)

Write = Callable[[Transaction, list[UUID]], Awaitable[None]]


class Sightings:
    """Ids that were seen since they were last taken, each written at most once in some time."""

    def __init__(self, take: Callable[[], set[UUID]], write: Write, each_seconds: float) -> None:
        self._take = take
        self._seen: set[UUID] = set()
        self._write = write
        self._each_seconds = each_seconds
        self._written_at: dict[UUID, float] = {}

    async def write_due(self, database: Database, now: float) -> None:
        """Writes those whose time has come; the others stay noted."""
        self._seen |= self._take()
        latest = now - self._each_seconds
        for key in [key for key, at in self._written_at.items() if at <= latest]:
            del self._written_at[key]
        due = [key for key in self._seen if key not in self._written_at][:WRITTEN_AT_ONCE]
        if not due:
            return
        # Before the write: who is seen meanwhile is written next time.
        self._seen.difference_update(due)
        self._written_at |= dict.fromkeys(due, now)
        async with database.transaction(SERVICE) as transaction:
            await self._write(transaction, due)


class LastSeen:
    """Writes what a process has seen, beside its requests."""

    def __init__(self, database: Database, *sightings: Sightings) -> None:
        self._database = database
        self._sightings = sightings
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(
            services.database,
            Sightings(services.tokens.take_seen, note_sessions, SESSION_SECONDS),
            Sightings(services.of(ApiKeys.of).take_seen, note_keys, KEY_SECONDS),
            Sightings(services.of(DeveloperKeys.of).take_seen, note_developer_keys, KEY_SECONDS),
        )

    def start(self) -> None:
        """Begin writing."""
        self._task = asyncio.create_task(self._run(), name="last-seen")

    async def stop(self) -> None:
        """Stop, having written what is due."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await self.write()

    async def write(self) -> None:
        """Write what is due now."""
        for sightings in self._sightings:
            await sightings.write_due(self._database, time.monotonic())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.write()
            except Exception as error:
                log.warning("last_seen_not_written", error=type(error).__name__)
