"""An engine over the test database, and a way to ask it things as anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.execution.engine import Engine
from graph.live.bus import WakeBus
from graph.schema import build_schema
from graph.shared.context import Context
from server.app import make_services
from server.services import Services
from settings import Settings

Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
async def services(database: Database, settings: Settings) -> AsyncIterator[Services]:
    """The services of one process, over the test database."""
    services = make_services(settings, database, open_storage(settings), WakeBus.memory())
    await services.hub.start()
    yield services
    await services.hub.stop()
    services.passwords.close()


@pytest.fixture(scope="session")
def engine(services: Services) -> Engine:
    """The engine over the real schema."""
    return Engine(build_schema(), services.database, introspection=True)


@pytest.fixture
def ask(engine: Engine, services: Services) -> Ask:
    """`await ask(document, variables, actor=…, address=…)` gives the parsed response."""

    async def run(
        text: str,
        variables: dict[str, Any] | None = None,
        *,
        actor: Actor = NOBODY,
        address: str = "",
    ) -> dict[str, Any]:
        context = Context(actor, services, "test", address=address)
        answer: dict[str, Any] = orjson.loads(
            await engine.run(text, variables or {}, None, context)
        )
        return answer

    return run


@pytest.fixture
async def http(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the running server."""
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client
