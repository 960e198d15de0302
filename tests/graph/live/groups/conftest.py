"""Tables of groups in the live tests' cluster, a hub that knows them, and users in teams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.live.hub import EventHub
from tests.graph.live.deployment import Deployment, running
from tests.graph.live.groups.tables import Tables, build_schema, make_tables
from tests.graph.live.groups.watching import (
    MakeTeam,
    Stream,
    Team,
)


@pytest.fixture(scope="session")
async def tables(deployment: Deployment, pool: Database) -> None:
    owner = await deployment.connect()
    await make_tables(owner)
    await owner.close()


@pytest.fixture
async def hub(pool: Database, tables: None) -> AsyncIterator[EventHub]:
    async with running(pool, metadata=Tables.metadata) as hub:
        yield hub


@pytest.fixture(scope="session")
def engine(pool: Database) -> Engine:
    return Engine(build_schema(), pool, introspection=False)


@pytest.fixture
def stream(engine: Engine, hub: EventHub) -> Callable[..., Stream]:
    return partial(Stream, engine, hub)


@pytest.fixture
def make_team(writer: asyncpg.Connection, tables: None) -> MakeTeam:
    async def make(*members: UUID, role: str = "member") -> Team:
        team = await Team(writer).make()
        for user_id in members:
            await team.join(user_id, role)
        return team

    return make


@pytest.fixture
def make_user(writer: asyncpg.Connection) -> Callable[[], Awaitable[UUID]]:
    async def make() -> UUID:
        identifier = uuid4()
        await writer.execute(
            "insert into users (id, email) values ($1, $2)", identifier, f"{identifier}@one.test"
        )
        return identifier

    return make
