"""Learns, within seconds, which sessions another process has revoked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from auth.revocation import RevokedSessions
from db.accounts import sessions as account_sessions
from db.core.actor import SERVICE
from db.core.pool import Database

LOOK_EVERY_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 15.0
LOOK_TIMEOUT_SECONDS = 5.0
# A revocation carries the time it was written, not the time it became visible: look back past the
# longest transaction that may have delayed it.
OVERLAP_SECONDS = 60.0

log = structlog.get_logger(__name__)


class RevocationWatch:
    """Reads, every two seconds, the sessions that any process revoked since the last look."""

    def __init__(
        self,
        database: Database,
        revoked: RevokedSessions,
        *,
        look_every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._revoked = revoked
        self._look_every_seconds = look_every_seconds
        self._last_look: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin watching; tokens revoked before this process started are known on return."""
        assert self._task is None
        await self.look()
        self._task = asyncio.create_task(self._watch(), name="revocation-watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def is_revoked(self, session_id: UUID) -> bool:
        """Whether this session's tokens are to be refused."""
        return session_id in self._revoked

    def on_revoked(self, listener: Callable[[UUID], None]) -> Callable[[], None]:
        """Call `listener(session_id)` at each revocation, from here or elsewhere."""
        return self._revoked.on_revoked(listener)

    async def look(self) -> None:
        """Read once what was revoked since the last successful look."""
        begun = time.monotonic()
        # The first look, and one after a long outage, goes back as far as any token can matter.
        since_seconds = self._revoked.remember_seconds
        if self._last_look is not None:
            since_seconds = min(since_seconds, begun - self._last_look) + OVERLAP_SECONDS
        async with self._database.transaction(SERVICE) as transaction:
            revoked = await account_sessions.list_revoked_sessions(transaction, since_seconds)
        self._last_look = begun
        for session_id in revoked:
            self._revoked.add(session_id)
        self._revoked.forget_old()

    async def _watch(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(min(self._look_every_seconds * 2**failures, LONGEST_WAIT_SECONDS))
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                    await self.look()
            except Exception as error:
                failures = min(failures + 1, 8)
                log.warning("revocation_look_failed", failures=failures, error=type(error).__name__)
            else:
                failures = 0
