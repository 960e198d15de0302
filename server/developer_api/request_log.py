"""The history of what developers' keys asked for: gathered in memory, written every second."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

import structlog

from auth.services import AccountServices
from db.core.pool import Database
from db.developers.operations import MadeRequest, log_requests

WRITE_EVERY_SECONDS = 1.0
LAST_WRITE_SECONDS = 2.0
WRITTEN_AT_ONCE = 2_000
# What cannot be written for long is forgotten, the oldest first: a history is no ledger.
MOST_WAITING = 20_000

log = structlog.get_logger(__name__)


class RequestLog:
    """Writes what a process has answered, beside its requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[MadeRequest] = []
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services.database)

    def add(self, made: MadeRequest) -> None:
        """Notes a request; returns at once."""
        self._waiting.append(made)
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[: MOST_WAITING // 10]

    def start(self) -> None:
        """Begin writing."""
        self._task = asyncio.create_task(self._run(), name="developer-request-log")

    async def stop(self) -> None:
        """Stop, having written what there is."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await self.write()

    async def write(self) -> None:
        """Write what waits now; what fails waits for the next time."""
        async with self._writing:
            while self._waiting:
                some = self._waiting[:WRITTEN_AT_ONCE]
                del self._waiting[:WRITTEN_AT_ONCE]
                try:
                    await log_requests(self._database, some)
                except BaseException:
                    self._waiting[:0] = some
                    raise

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            try:
                await self.write()
            except Exception as error:
                log.warning("developer_api.history_not_written", error=type(error).__name__)
