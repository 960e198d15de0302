"""The worker: takes jobs from the queue, survives its database, stops without losing work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
import structlog
from pgqueuer import PgQueuer
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job, Schedule

from db.pool import Database
from db.queue import RUN_GENERATION, connect_queue, open_queue
from db.storage import Storage
from jobs.generations import GenerationServices, run_generation
from jobs.providers.base import Provider
from jobs.schedule import SCHEDULE, ScheduledWork
from settings import Settings

ATTEMPTS = 3
CONCURRENT_JOBS = 4
# pgqueuer wants room for two batches among the concurrent jobs.
BATCH_SIZE = CONCURRENT_JOBS // 2
# A killed worker's job is taken over when its heartbeat is this old and somebody looks.
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
DEQUEUE_TIMEOUT = timedelta(seconds=2)
RETRY_DELAY_SECONDS = 1.0
LONGEST_RETRY_DELAY_SECONDS = 60.0
RECONNECT_DELAY_SECONDS = 0.2
LONGEST_RECONNECT_DELAY_SECONDS = 5.0
# A connection that lasted this long was a good one: the next is tried soon again.
STEADY_SECONDS = 10.0
DRAIN_SECONDS = 20.0

log = structlog.get_logger(__name__)


class Worker:
    """Runs jobs and scheduled work until it is stopped. It handles no signals: its process does."""

    def __init__(
        self,
        settings: Settings,
        direct_url: str,
        database: Database,
        storage: Storage,
        provider: Provider,
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._direct_url = direct_url
        self._services = GenerationServices(database, storage, provider, wake)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._connection: asyncpg.Connection | None = None
        self._queue: PgQueuer | None = None
        # What pgqueuer says of failed jobs and lost connections is said here, once and shorter.
        logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)

    async def run(self) -> None:
        """Work until `stop`; a lost connection is opened again, later and later."""
        self._ended.clear()
        delay = RECONNECT_DELAY_SECONDS
        clock = asyncio.get_running_loop().time
        try:
            while not self._stopping.is_set():
                began = clock()
                try:
                    await self._serve(await connect_queue(self._direct_url, self._settings))
                except Exception as error:
                    log.warning("worker lost its queue", error=repr(error))
                if clock() - began > STEADY_SECONDS:
                    delay = RECONNECT_DELAY_SECONDS
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
                delay = min(delay * 2, LONGEST_RECONNECT_DELAY_SECONDS)
        finally:
            for work in self._running.values():
                work.cancel()
            self._ended.set()

    async def stop(self) -> None:
        """Take no more jobs and let running ones end; what takes too long is left to others."""
        self._stopping.set()
        if self._queue is not None:
            self._queue.shutdown.set()
        try:
            await asyncio.wait_for(self._ended.wait(), DRAIN_SECONDS)
        except TimeoutError:
            # Without a connection nothing can be reported, so another worker takes the jobs over.
            if self._connection is not None:
                self._connection.terminate()
            await self._ended.wait()

    async def _serve(self, connection: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        queue = open_queue(connection)

        def when_lost(_: object) -> None:
            lost.set()
            queue.shutdown.set()

        connection.add_termination_listener(when_lost)
        self._connection, self._queue = connection, queue
        self._register(queue, lost)
        if self._stopping.is_set():
            queue.shutdown.set()
        try:
            log.info("worker ready")
            await queue.run(
                dequeue_timeout=DEQUEUE_TIMEOUT,
                batch_size=BATCH_SIZE,
                max_concurrent_tasks=CONCURRENT_JOBS,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                shutdown_on_listener_failure=True,
            )
        finally:
            self._connection = self._queue = None
            with suppress(Exception):
                await connection.close(timeout=2)

    def _register(self, queue: PgQueuer, lost: asyncio.Event) -> None:
        async def handle(job: Job) -> None:
            await self._run_generation(job, lost)

        queue.entrypoint(RUN_GENERATION, on_failure="hold", accepts_context=False)(handle)
        for work in SCHEDULE:
            queue.schedule(work.name, work.times, accepts_context=False)(self._scheduled(work))

    def _scheduled(self, work: ScheduledWork) -> Callable[[Schedule], Awaitable[None]]:
        async def run(_: Schedule) -> None:
            try:
                await work.run(self._services.database, self._services.storage)
            except Exception:
                log.exception("scheduled work failed", name=work.name)
            finally:
                self._services.wake()

        return run

    async def _run_generation(self, job: Job, lost: asyncio.Event) -> None:
        try:
            generation_id = UUID(orjson.loads(job.payload or b"")["generation_id"])
        except (KeyError, TypeError, ValueError):
            log.error("job cannot be read; it is kept as failed", job_id=job.id)
            raise
        work = self._running.get(generation_id) or self._begin(generation_id, job.attempts)
        await _ended_or_lost(work, lost)
        try:
            await work
        except Exception as error:
            delay = min(RETRY_DELAY_SECONDS * 2**job.attempts, LONGEST_RETRY_DELAY_SECONDS)
            log.warning(
                "generation will be tried again",
                generation_id=str(generation_id),
                error=repr(error),
                delay_seconds=delay,
            )
            raise RetryRequested(timedelta(seconds=delay), type(error).__name__) from error

    def _begin(self, generation_id: UUID, attempts_before: int) -> asyncio.Task[None]:
        """Work that outlives a lost connection: the job, taken again, finds it still running."""
        work = asyncio.create_task(
            run_generation(
                self._services, generation_id, attempts_left=ATTEMPTS - 1 - attempts_before
            )
        )
        self._running[generation_id] = work

        def ended(task: asyncio.Task[None]) -> None:
            del self._running[generation_id]
            if not task.cancelled():
                task.exception()  # seen, even when nobody awaits it any more

        work.add_done_callback(ended)
        return work


async def _ended_or_lost(work: asyncio.Task[None], lost: asyncio.Event) -> None:
    """Wait for the work; when the connection is lost first, end this handler without a word."""
    losing = asyncio.create_task(lost.wait())
    try:
        await asyncio.wait((work, losing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        losing.cancel()
    if not work.done():
        raise asyncio.CancelledError
