"""Failed attempts on accounts: counted in memory, and written together a moment later.

A guess costs no write of its own, whoever guesses how often; and the request that failed is
answered before anything is written, so that its time tells nothing of the account.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import batched
from uuid import UUID

import structlog

from db.audit.actions import AuditAction
from db.audit.operations import Failures, record_failures
from db.core.actor import SERVICE
from db.core.origin import clean_user_agent, coarse_network, current_origin
from db.core.pool import Database

WRITE_AFTER_SECONDS = 1.0
# How often one count of an account is written at most.
COUNT_SECONDS = 60.0
# Of one account; what comes from further networks is counted together, under no network. Attempts
# on accounts that do not exist share the second.
NETWORKS_PER_ACCOUNT = 4
NETWORKS_OF_NOBODY = 200
MOST_COUNTS = 10_000
ROWS_PER_WRITE = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Key:
    user_id: UUID | None
    action: AuditAction
    subject: str | None
    network: str | None


@dataclass(slots=True)
class _Count:
    """Failures that are not written yet, and when they may be."""

    due_at: float
    times: int = 0
    device: str | None = None


class FailedAttempts:
    """The failures of one process that the audit log is still to be told of."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._counts: OrderedDict[_Key, _Count] = OrderedDict()
        self._networks: Counter[UUID | None] = Counter()
        self._writing: asyncio.Task[None] | None = None
        self.dropped = 0

    def note(self, user_id: UUID | None, action: AuditAction, subject: str | None = None) -> None:
        """Counts a failure on an account, or on none that there is."""
        origin = current_origin()
        network = coarse_network(origin.address) if origin else None
        key = _Key(user_id, action, subject, network)
        if key not in self._counts:
            most = NETWORKS_OF_NOBODY if user_id is None else NETWORKS_PER_ACCOUNT
            if self._networks[user_id] >= most:
                key = _Key(user_id, action, subject, None)
            if key not in self._counts and not self._begin(key):
                return
        count = self._counts[key]
        count.times += 1
        count.device = clean_user_agent(origin.user_agent) if origin else None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_soon(), name="failed-attempts")

    def _begin(self, key: _Key) -> bool:
        if len(self._counts) >= MOST_COUNTS:
            self.dropped += 1
            return False
        self._counts[key] = _Count(due_at=self._clock())
        self._networks[key.user_id] += 1
        return True

    async def _write_soon(self) -> None:
        """Writes every second, while there is anything to count."""
        try:
            while self._counts:
                await asyncio.sleep(WRITE_AFTER_SECONDS)
                try:
                    await self.write()
                except Exception as error:
                    log.warning("failed_attempts_not_written", error=type(error).__name__)
        finally:
            self._writing = None

    async def write(self, *, all_of_them: bool = False) -> None:
        """Writes what is due, or all; a count with nothing new for a minute is forgotten."""
        now = self._clock()
        due = [key for key, one in self._counts.items() if all_of_them or one.due_at <= now]
        noted: list[tuple[_Key, Failures]] = []
        for key in due:
            count = self._counts[key]
            if count.times == 0:
                self._forget(key)
                continue
            noted.append((key, _failures(key, count)))
            count.times, count.due_at = 0, now + COUNT_SECONDS
        for some in batched(noted, ROWS_PER_WRITE):
            await self._write(some)
        if self.dropped:
            log.warning("failed_attempts_dropped", attempts=self.dropped)
            self.dropped = 0

    async def _write(self, noted: tuple[tuple[_Key, Failures], ...]) -> None:
        try:
            async with self._database.transaction(SERVICE) as transaction:
                await record_failures(transaction, [failures for _, failures in noted])
        except BaseException:
            for key, failures in noted:
                if (count := self._counts.get(key)) is not None:
                    count.times, count.due_at = count.times + failures.times, 0.0
            raise

    def _forget(self, key: _Key) -> None:
        del self._counts[key]
        self._networks[key.user_id] -= 1
        if not self._networks[key.user_id]:
            del self._networks[key.user_id]

    async def stop(self) -> None:
        """Writes what there is still to write."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        try:
            await self.write(all_of_them=True)
        except Exception as error:
            log.warning("failed_attempts_not_written", error=type(error).__name__)


def _failures(key: _Key, count: _Count) -> Failures:
    return Failures(key.user_id, key.action, count.times, key.network, count.device, key.subject)
