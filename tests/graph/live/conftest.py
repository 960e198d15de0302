"""What live tests stand on: a migrated cluster that nobody else reads, a writer and a user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.pool import Database
from db.embedded.database import destroy_embedded
from db.migrations.migrate import migrate
from graph.live.hub import EventHub
from settings import Settings
from tests.graph.live.deployment import Deployment, running


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("live") / "data"
    deployment = Deployment(Settings(data_directory=folder))
    yield deployment
    deployment.cluster.stop()
    destroy_embedded(deployment.settings)


@pytest.fixture(scope="session")
async def pool(deployment: Deployment) -> AsyncIterator[Database]:
    await migrate(deployment.owner_url, deployment.settings)
    database = await Database.connect(deployment.owner_url, deployment.settings)
    yield database
    await database.close()


@pytest.fixture
async def writer(deployment: Deployment, pool: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await deployment.connect()
    yield connection
    connection.terminate()


@pytest.fixture
async def user_id(writer: asyncpg.Connection) -> UUID:
    identifier = uuid4()
    await writer.execute(
        "insert into users (id, email) values ($1, $2)", identifier, f"{identifier}@example.test"
    )
    return identifier


@pytest.fixture
async def hub(pool: Database) -> AsyncIterator[EventHub]:
    async with running(pool) as hub:
        yield hub
