"""What the tests of jobs share: storage, a user with a photo, an empty queue, and workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from pydantic import SecretStr

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage, open_storage
from jobs.core.declare import WorkerServices
from jobs.core.worker import Worker
from jobs.providers.base import Provider, Providers
from settings import Settings

from ..conftest import MakeUser
from ..fakes.gemini import KEY, FakeGemini, fake_gemini
from .helpers import PROVIDER, MakeServices, MakeSettings, Someone, Start, ready_upload


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """A folder."""
    return open_storage(settings)


@pytest.fixture
async def someone(database: Database, storage: Storage, make_user: MakeUser) -> Someone:
    """A user with ten credits and a photo."""
    actor = await make_user()
    return actor, await ready_upload(database, storage, actor)


@pytest.fixture
async def clean_queue(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Each test has an empty queue and knows nothing against a provider."""
    await owner.execute("delete from queue.pgqueuer")
    await owner.execute("delete from provider_circuits where provider = $1", PROVIDER)
    yield
    await owner.execute("delete from provider_circuits where provider = $1", PROVIDER)


@pytest.fixture
async def services(owner: asyncpg.Connection, database: Database, storage: Storage) -> MakeServices:
    """What a generation is run with, by its provider; nothing is known against one."""
    await owner.execute("delete from provider_circuits where provider = $1", PROVIDER)
    return lambda provider: WorkerServices(database, storage, Providers(provider), lambda: None)


@pytest.fixture
async def start(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    clean_queue: None,
) -> AsyncIterator[Start]:
    """Starts workers on an empty queue; they are stopped after the test."""
    running: list[tuple[Worker, asyncio.Task[None]]] = []

    def begin(provider: Provider) -> Worker:
        providers = Providers(provider)
        worker = Worker(settings, cluster.owner_url, database, storage, providers, lambda: None)
        running.append((worker, asyncio.create_task(worker.run())))
        return worker

    yield begin
    for worker, task in running:
        await worker.stop()
        await task


@pytest.fixture(scope="session")
def api() -> Iterator[FakeGemini]:
    with fake_gemini() as fake:
        yield fake


@pytest.fixture
def gemini(api: FakeGemini) -> FakeGemini:
    """The API that remembers nothing of the test before."""
    api.forget()
    return api


@pytest.fixture
async def with_gemini(
    settings: Settings, gemini: FakeGemini, owner: asyncpg.Connection
) -> MakeSettings:
    """Settings with the fake's address and key; nothing is known against Gemini."""
    await owner.execute("delete from provider_circuits where provider = 'gemini'")
    await owner.execute("delete from rate_budgets where kind = 'provider_calls'")
    return lambda **more: settings.model_copy(
        update={"gemini_api_key": SecretStr(KEY), "gemini_api_url": gemini.url, **more}
    )
