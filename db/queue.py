"""The job queue: where pgqueuer keeps it, and the connection through which a worker reads it."""

from __future__ import annotations

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings

from db.pool import CONNECT_TIMEOUT_SECONDS, role_url
from settings import Settings

SCHEMA = "queue"
RUN_GENERATION = "run_generation"
RUN_SCHEDULED = "run_scheduled"
# The channel on which workers hear that a user called a generation off; its id is the payload.
GENERATION_CANCELLED = "generation_cancelled"
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


def open_queue(connection: asyncpg.Connection) -> PgQueuer:
    """The queue over a worker's connection."""
    driver = AsyncpgDriver(connection)
    queries = Queries(
        driver,
        qbe=QueryBuilderEnvironment(settings=QUEUE_SETTINGS),
        qbq=QueryQueueBuilder(settings=QUEUE_SETTINGS),
        qbs=QuerySchedulerBuilder(settings=QUEUE_SETTINGS),
    )
    return PgQueuer(driver, channel=QUEUE_SETTINGS.channel, queries=queries)
