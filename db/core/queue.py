"""The job queue: where pgqueuer keeps it, and the connection through which a worker reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Context, Job
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import JobId
from pgqueuer.ports.repository import EntrypointExecutionParameter

from db.core.pool import CONNECT_TIMEOUT_SECONDS, role_url
from settings import Settings

SCHEMA = "queue"
RUN_SCHEDULED = "run_scheduled"
COMMAND_TIMEOUT_SECONDS = 10.0

# Constructed, not validated: pgqueuer would take names from variables like FUNCTION or TRIGGER,
# which may mean something else in a deployment's environment.
QUEUE_SETTINGS = DBSettings.model_construct(db_schema=SCHEMA)


async def connect_queue(direct_url: str, settings: Settings) -> asyncpg.Connection:
    """A connection as `service`, for a worker alone; it must not go through PgBouncer (LISTEN)."""
    return await asyncpg.connect(
        role_url(direct_url, "service", settings.secret("database-service-password")),
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings={"application_name": "tallygraph worker"},
    )


class BoundedQueue(QueueManager):
    """Takes no more jobs than the worker has places for, and waits for a place without a look.

    Pgqueuer's own bound lets a worker without places ask the queue every 100 ms.
    """

    def __init__(self, queries: Queries, places: int) -> None:
        super().__init__(queries, QUEUE_SETTINGS.channel)
        self._places = places
        self._place_left = asyncio.Event()

    async def fetch_jobs(
        self,
        batch_size: int,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> AsyncGenerator[Job, None]:
        """Jobs as long as there are any, each when there is a place for it."""
        kinds = {name: EntrypointExecutionParameter(0) for name in self.entrypoint_registry}
        while places := await self._free_places():
            jobs = await self.queries.dequeue(
                batch_size=min(batch_size, places),
                entrypoints=kinds,
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=global_concurrency_limit,
                heartbeat_timeout=heartbeat_timeout,
            )
            if not jobs:
                return
            for job in jobs:
                yield job

    async def _free_places(self) -> int:
        """How many jobs may be taken, as soon as it is one; 0 when the worker is to stop."""
        while not self.shutdown.is_set():
            if (free := self._places - len(self.job_context)) > 0:
                return free
            self._place_left.clear()
            waits = [
                asyncio.create_task(event.wait()) for event in (self._place_left, self.shutdown)
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return 0

    def forget_job(self, job_id: JobId, context: Context, task: asyncio.Task[None]) -> None:
        """A job has ended: its place is free."""
        super().forget_job(job_id, context, task)
        self._place_left.set()


def open_queue(connection: asyncpg.Connection, places: int) -> BoundedQueue:
    """The queue over a worker's connection, for a worker that runs so many jobs at once."""
    driver = AsyncpgDriver(connection)
    queries = Queries(
        driver,
        qbe=QueryBuilderEnvironment(settings=QUEUE_SETTINGS),
        qbq=QueryQueueBuilder(settings=QUEUE_SETTINGS),
        qbs=QuerySchedulerBuilder(settings=QUEUE_SETTINGS),
    )
    return BoundedQueue(queries, places)
