"""The scheduler: turns the schedule into jobs, one for each tick, on any number of workers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter

import structlog
from croniter import croniter

from db.jobs import operations
from jobs.core.declare import ScheduledWork, WorkerServices

# Every node looks this often even when nothing is due: an hour may pass before the clock is right.
LONGEST_SLEEP_SECONDS = 60.0
# The database's clock and ours may differ; a look that comes too early is repeated this soon.
SHORTEST_SLEEP_SECONDS = 0.1
RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)


def next_tick(times: str, after: datetime) -> datetime:
    """The first time of a cron expression, in UTC, that is later than `after`."""
    found: datetime = croniter(times, after.astimezone(UTC)).get_next(datetime)
    return found


class Scheduler:
    """Makes a job of every tick of the schedule that no other worker has taken.

    Only the database's clock counts. What was missed while no worker ran is made up for once.
    """

    def __init__(self, services: WorkerServices, schedule: Mapping[str, ScheduledWork]) -> None:
        self._services = services
        self._database = services.database
        self._schedule = schedule

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, through every loss of the database."""
        while not stopping.is_set():
            try:
                seconds = await self.tick()
            except Exception as error:
                log.warning("the schedule could not be read", error=error)
                seconds = RETRY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), seconds)

    async def tick(self) -> float:
        """Enqueue what is due; answers how many seconds to sleep."""
        now, known = await operations.read_schedule(self._database)
        upcoming = []
        for work in self._schedule.values():
            tick = next_tick(work.times, now)
            row = known.get(work.name)
            if row is None or row.times != work.times:
                await operations.set_schedule(self._database, work.name, work.times, tick)
            elif row.next_run_at <= now:
                await operations.enqueue_tick(self._database, work.name, row.next_run_at, tick)
            else:
                tick = row.next_run_at
            upcoming.append((tick - now).total_seconds())
        return min(max(min(upcoming), SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)

    async def run_work(self, name: str) -> None:
        """Do a scheduled work and write down how it went."""
        work = self._schedule.get(name)
        if work is None:
            log.warning("there is no such scheduled work", name=name)
            return
        await operations.record_start(self._database, name)
        started = perf_counter()
        error: str | None = None
        try:
            await self._services.run(work.run)
        except Exception as failure:
            log.exception("scheduled work failed", name=name)
            error = type(failure).__name__
        milliseconds = round((perf_counter() - started) * 1000)
        await operations.record_end(self._database, name, milliseconds, error)
