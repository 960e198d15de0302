"""The worker: takes jobs from the queue, survives its database, stops without losing work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any

import asyncpg
import structlog
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job

from db.core.pool import Database
from db.core.queue import RUN_SCHEDULED, BoundedQueue, connect_queue, open_queue
from db.files.storage import Storage
from db.jobs.operations import move_to_dead_letters
from jobs.core.declare import (
    DeclaredJob,
    DeclaredWork,
    RetryLater,
    UnreadableJob,
    Work,
    WorkerServices,
    declared_work,
    make_job,
)
from jobs.core.scheduler import Scheduler
from jobs.providers.base import Providers
from settings import Settings

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


class WorkerState(StrEnum):
    """What a worker says of itself to who watches over its process."""

    READY = "ready"
    NO_QUEUE = "queue unavailable"
    DRAINING = "draining"


class Worker:
    """Runs jobs and scheduled work until it is stopped. It handles no signals: its process does."""

    def __init__(
        self,
        settings: Settings,
        direct_url: str,
        database: Database,
        storage: Storage,
        providers: Providers,
        wake: Callable[[], None],
        declared: DeclaredWork | None = None,
    ) -> None:
        self._settings = settings
        self._direct_url = direct_url
        self._services = WorkerServices(database, storage, providers, wake, settings)
        self._declared = declared or declared_work()
        self._scheduler = Scheduler(self._services, self._declared.schedule)
        self._scheduled = make_job(RUN_SCHEDULED, self._run_scheduled)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._hearing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._connection: asyncpg.Connection | None = None
        self._queue: BoundedQueue | None = None
        # What pgqueuer says of failed jobs and lost connections is said here, once and shorter.
        logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)

    @property
    def state(self) -> WorkerState:
        """Whether it takes jobs now."""
        if self._stopping.is_set():
            return WorkerState.DRAINING
        return WorkerState.NO_QUEUE if self._queue is None else WorkerState.READY

    async def run(self) -> None:
        """Work until `stop`; a lost connection is opened again, later and later."""
        self._ended.clear()
        clock = asyncio.create_task(self._scheduler.run(self._stopping), name="scheduler")
        try:
            await self._take_jobs()
        finally:
            clock.cancel()
            for work in self._running.values():
                work.cancel()
            self._ended.set()

    async def _take_jobs(self) -> None:
        delay = RECONNECT_DELAY_SECONDS
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            began = clock()
            try:
                await self._serve(await connect_queue(self._direct_url, self._settings))
            except Exception as error:
                log.warning("worker lost its queue", error=error)
            if clock() - began > STEADY_SECONDS:
                delay = RECONNECT_DELAY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, LONGEST_RECONNECT_DELAY_SECONDS)

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
        queue = open_queue(connection, self._settings.worker_jobs)

        def when_lost(_: object) -> None:
            lost.set()
            queue.shutdown.set()

        connection.add_termination_listener(when_lost)
        for connected in self._declared.on_connect:
            await self._services.run(connected)
        await self._listen(connection)
        self._connection, self._queue = connection, queue
        self._register(queue, lost)
        if self._stopping.is_set():
            queue.shutdown.set()
        try:
            log.info("worker ready")
            await queue.run(
                dequeue_timeout=DEQUEUE_TIMEOUT,
                batch_size=max(self._settings.worker_jobs // 2, 1),
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                shutdown_on_listener_failure=True,
            )
        finally:
            self._connection = self._queue = None
            with suppress(Exception):
                await connection.close(timeout=2)

    def _register(self, queue: BoundedQueue, lost: asyncio.Event) -> None:
        for kind in (self._scheduled, *self._declared.jobs.values()):

            async def handle(job: Job, kind: DeclaredJob = kind) -> None:
                await self._handle(job, kind, lost)

            queue.entrypoint(kind.name, accepts_context=False)(handle)

    async def _listen(self, connection: asyncpg.Connection) -> None:
        for channel, heard in self._declared.listeners.items():

            def note(*notified: object, heard: Work = heard) -> None:
                *_, channel, payload = notified
                hearing = asyncio.create_task(self._hear(heard, str(channel), str(payload)))
                self._hearing.add(hearing)
                hearing.add_done_callback(self._hearing.discard)

            await connection.add_listener(channel, note)

    async def _hear(self, heard: Work, channel: str, payload: str) -> None:
        try:
            await self._services.run(heard, payload=payload)
        except Exception as error:  # a hint was lost; what it hinted at is in the database
            log.warning("a notification was not heard", channel=channel, exc_info=error)

    async def _handle(self, job: Job, kind: DeclaredJob, lost: asyncio.Event) -> None:
        """Do a job; the same one, taken again after a lost connection, is waited for."""
        work = self._running.get(job.id) or self._begin(job.id, self._run_job(job, kind))
        await _ended_or_lost(work, lost)
        try:
            await work
        except RetryLater as later:
            raise RetryRequested(timedelta(seconds=later.seconds), str(later)) from later
        except UnreadableJob:
            log.error("job cannot be read; it is kept for an admin", job_id=job.id)
            await self._keep(job, 1, "cannot be read")
        except Exception as error:
            log.warning("job will be tried again", entrypoint=job.entrypoint, exc_info=error)
            doubled = min(job.attempts, 10)  # later tries may be thousands: no float has room
            delay = min(RETRY_DELAY_SECONDS * 2**doubled, LONGEST_RETRY_DELAY_SECONDS)
            raise RetryRequested(timedelta(seconds=delay), type(error).__name__) from error

    def _begin(self, job_id: int, running: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that outlives a lost connection: the job, taken again, finds it still running."""
        work = asyncio.create_task(running)
        self._running[job_id] = work

        def ended(task: asyncio.Task[None]) -> None:
            del self._running[job_id]
            if not task.cancelled():
                task.exception()  # seen, even when nobody awaits it any more

        work.add_done_callback(ended)
        return work

    async def _run_job(self, job: Job, kind: DeclaredJob) -> None:
        arguments = kind.arguments(job.payload)
        try:
            await self._services.run(kind.run, **arguments)
        except RetryLater:
            raise
        except Exception as error:
            if job.attempts + 1 < kind.attempts:
                raise
            log.error("job given up", entrypoint=job.entrypoint, job_id=job.id, exc_info=error)
            if kind.when_dead is None:
                await self._keep(job, job.attempts + 1, type(error).__name__)
            else:
                await self._services.run(kind.when_dead, error=error, **arguments)

    async def _keep(self, job: Job, attempts: int, error: str) -> None:
        await move_to_dead_letters(
            self._services.database, job.entrypoint, job.payload or b"", attempts, error
        )

    async def _run_scheduled(self, *, name: str) -> None:
        await self._scheduler.run_work(name)
        self._services.wake()


async def _ended_or_lost(work: asyncio.Task[None], lost: asyncio.Event) -> None:
    """Wait for the work; when the connection is lost first, end this handler without a word."""
    losing = asyncio.create_task(lost.wait())
    try:
        await asyncio.wait((work, losing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        losing.cancel()
    if not work.done():
        raise asyncio.CancelledError
