"""Adds what this process has answered to the counts of all, every ten seconds in one statement."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog

from db.core.pool import Database
from db.monitoring.operations import count_operations
from graph.shared.traffic import Traffic

COUNT_EVERY_SECONDS = 10.0
Label = tuple[str, str]
Seen = tuple[list[int], int]
_NOTHING: Seen = ([], 0)

log = structlog.get_logger("tallygraph.server")


class OperationCounts:
    """The counts of one process; requests write nothing."""

    def __init__(self, database: Database, traffic: Traffic) -> None:
        self._database = database
        self._traffic = traffic
        self._told: dict[Label, Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to count."""
        self._task = asyncio.create_task(self._count(), name="operation-counts")

    async def stop(self) -> None:
        """Counts what is left, and ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.tell()

    async def tell(self) -> None:
        """Adds what came since the last time; what can't be added now is with the next."""
        seen = {
            label: (list(found.counts), found.failed)
            for label, found in self._traffic.operations.items()
        }
        counts = [
            _since(label, now, self._told.get(label, _NOTHING))
            for label, now in seen.items()
            if now != self._told.get(label)
        ]
        if not counts:
            return
        try:
            await count_operations(self._database, counts)
        except Exception as error:
            log.warning("operations not counted", error=type(error).__name__)
        else:
            self._told = seen

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_EVERY_SECONDS)
            await self.tell()


def _since(label: Label, now: Seen, before: Seen) -> dict[str, Any]:
    earlier = before[0] or [0] * len(now[0])
    buckets = [new - old for new, old in zip(now[0], earlier, strict=True)]
    kind, field = label
    return {
        "kind": kind,
        "field": field,
        "answered": sum(buckets),
        "failed": now[1] - before[1],
        "buckets": buckets,
    }
