"""The worker: takes jobs from the queue, survives its database, stops without losing work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job

from db.catalog.operations import note_made_tools
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.core.queue import (
    GENERATION_CANCELLED,
    RUN_GENERATION,
    RUN_SCHEDULED,
    BoundedQueue,
    connect_queue,
    open_queue,
)
from db.files.storage import Storage
from db.generations.operations import fail_generation, is_cancelled
from db.jobs.operations import move_to_dead_letters
from jobs.generations import GenerationRun, GenerationServices, RetryLater
from jobs.providers.base import LimitedProvider, Provider
from jobs.schedule import SCHEDULE
from jobs.scheduler import Scheduler
from settings import Settings

# A killed worker's job is taken over when its heartbeat is this old and somebody looks.
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
DEQUEUE_TIMEOUT = timedelta(seconds=2)
RETRY_DELAY_SECONDS = 1.0
LONGEST_RETRY_DELAY_SECONDS = 60.0
# A job that still cannot even be begun after so many tries, about ten minutes, is given up.
JOB_ATTEMPTS = 15
RECONNECT_DELAY_SECONDS = 0.2
LONGEST_RECONNECT_DELAY_SECONDS = 5.0
# A connection that lasted this long was a good one: the next is tried soon again.
STEADY_SECONDS = 10.0
DRAIN_SECONDS = 20.0

_FAILED = "The generation could not be made. No credit was spent; try again in a moment."

log = structlog.get_logger(__name__)


Run = Callable[[Job], Coroutine[Any, Any, None]]


class WorkerState(StrEnum):
    """What a worker says of itself to who watches over its process."""

    READY = "ready"
    NO_QUEUE = "queue unavailable"
    DRAINING = "draining"


class Unreadable(Exception):
    """A job whose payload is not what its kind of job has."""


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
        self._services = GenerationServices(database, storage, LimitedProvider(provider), wake)
        self._scheduler = Scheduler(database, storage, SCHEDULE)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._runs: dict[UUID, GenerationRun] = {}
        self._asking: set[asyncio.Task[None]] = set()
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
        await note_made_tools(self._services.database, self._services.provider.makes)
        await connection.add_listener(GENERATION_CANCELLED, self._call_off)
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
        kinds: dict[str, Run] = {
            RUN_GENERATION: self._run_generation,
            RUN_SCHEDULED: self._run_scheduled,
        }
        for name, run in kinds.items():

            async def handle(job: Job, run: Run = run) -> None:
                await self._handle(job, run, lost)

            queue.entrypoint(name, accepts_context=False)(handle)

    def _call_off(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):
            if (run := self._runs.get(UUID(str(payload)))) is not None:
                asking = asyncio.create_task(self._call_off_cancelled(run))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)

    async def _call_off_cancelled(self, run: GenerationRun) -> None:
        """Anybody may send a notification: only the row says what was called off."""
        try:
            if await is_cancelled(self._services.database, run.generation_id):
                run.call_off()
        except Exception as error:  # the attempt goes on, and ends as one that came too late
            log.warning("cannot tell whether a generation was called off", exc_info=error)

    async def _handle(self, job: Job, run: Run, lost: asyncio.Event) -> None:
        """Do a job; the same one, taken again after a lost connection, is waited for."""
        work = self._running.get(job.id) or self._begin(job.id, run(job))
        await _ended_or_lost(work, lost)
        try:
            await work
        except RetryLater as later:
            raise RetryRequested(timedelta(seconds=later.seconds), str(later)) from later
        except Unreadable:
            log.error("job cannot be read; it is kept for an admin", job_id=job.id)
            await move_to_dead_letters(
                self._services.database, job.entrypoint, job.payload or b"", 1, "cannot be read"
            )
        except Exception as error:
            log.warning("job will be tried again", entrypoint=job.entrypoint, exc_info=error)
            delay = min(RETRY_DELAY_SECONDS * 2**job.attempts, LONGEST_RETRY_DELAY_SECONDS)
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

    async def _run_generation(self, job: Job) -> None:
        generation_id = UUID(str(_payload_value(job, "generation_id")))
        run = self._runs[generation_id] = GenerationRun(self._services, generation_id)
        try:
            await run.run()
        except RetryLater:
            raise
        except Exception as error:
            if job.attempts < JOB_ATTEMPTS:
                raise
            log.error("generation given up", generation_id=str(generation_id), exc_info=error)
            await fail_generation(
                self._services.database,
                generation_id,
                ErrorCode.PROVIDER_FAILED,
                _FAILED,
                dead_error=type(error).__name__,
            )
            self._services.wake()
        finally:
            del self._runs[generation_id]

    async def _run_scheduled(self, job: Job) -> None:
        await self._scheduler.run_work(str(_payload_value(job, "name")))
        self._services.wake()


def _payload_value(job: Job, name: str) -> Any:
    try:
        value = orjson.loads(job.payload or b"")[name]
        return UUID(value) if name.endswith("_id") else value
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable from error


async def _ended_or_lost(work: asyncio.Task[None], lost: asyncio.Event) -> None:
    """Wait for the work; when the connection is lost first, end this handler without a word."""
    losing = asyncio.create_task(lost.wait())
    try:
        await asyncio.wait((work, losing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        losing.cancel()
    if not work.done():
        raise asyncio.CancelledError
