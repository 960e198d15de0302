"""A worker takes no more than it has places for, a user three at once, a provider what it allows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from pgqueuer.adapters.persistence.queries import Queries

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from jobs.core.worker import Worker
from jobs.providers.base import GenerationOutcome, GenerationRequest, ProviderLimits, Providers
from settings import Settings

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    Start,
    create_generation,
    ended,
    enqueued,
    eventually,
    ready_upload,
    wallet,
)


async def test_never_more_than_three_of_a_users_run_at_once(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    provider = Counting(seconds=0.05)
    start(provider)
    start(provider)
    ids = await asyncio.gather(
        *(
            create_generation(database, actor, upload_id, parameters={"color": f"#{n:06x}"})
            for n in range(10)
        )
    )
    for generation_id in ids:
        assert (await ended(owner, generation_id, 30))["status"] == "SUCCEEDED"
    assert provider.most_at_once == 3
    assert await wallet(owner, actor) == (0, 0)


async def test_a_worker_without_places_waits_for_one_and_asks_nothing(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    clean_queue: None,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    dequeue = Queries.dequeue

    async def counted(queries: Queries, **arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await dequeue(queries, **arguments)

    monkeypatch.setattr(Queries, "dequeue", counted)
    provider = Held()
    ids = [await enqueued(database, storage, await make_user()) for _ in range(5)]
    two_places = settings.model_copy(update={"worker_jobs": 2})
    worker = Worker(
        two_places, cluster.owner_url, database, storage, Providers(provider), lambda: None
    )
    running = asyncio.create_task(worker.run())
    try:
        await eventually(lambda: provider.has(2), 30)
        asked = 0
        await asyncio.sleep(0.7)
        assert (provider.calls, asked) == (2, 0)
        provider.places.release()
        await eventually(lambda: provider.has(3), 1.5)  # it looks every two seconds as well
        for _ in ids:
            provider.places.release()
        for generation_id in ids:
            assert (await ended(owner, generation_id, 20))["status"] == "SUCCEEDED"
    finally:
        await worker.stop()
        await running


async def test_a_worker_without_places_stops_when_it_is_told(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    clean_queue: None,
) -> None:
    provider = Held()
    for _ in range(3):
        await enqueued(database, storage, await make_user())
    two_places = settings.model_copy(update={"worker_jobs": 2})
    worker = Worker(
        two_places, cluster.owner_url, database, storage, Providers(provider), lambda: None
    )
    running = asyncio.create_task(worker.run())
    await eventually(lambda: provider.has(2), 30)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.1)
    for _ in range(3):
        provider.places.release()
    await asyncio.wait_for(stopping, 10)
    await running
    assert provider.calls == 2, "the third was left to others"


@dataclass
class Held(FakeProvider):
    """Answers when it is let."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def has(self, calls: int) -> bool:
        return self.calls == calls

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        outcome = await super().generate(request)
        await self.places.acquire()
        return outcome


@dataclass
class Counting(FakeProvider):
    """Knows how many of its calls ran at once."""

    now: int = 0
    most_at_once: int = 0

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            return await super().generate(request)
        finally:
            self.now -= 1


async def test_a_provider_is_asked_no_more_at_once_than_it_allows(
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    start: Start,
) -> None:
    provider = Counting(seconds=0.05, limits=ProviderLimits(30, concurrent_calls=2))
    start(provider)
    ids = [await enqueued(database, storage, await make_user()) for _ in range(6)]
    for generation_id in ids:
        assert (await ended(owner, generation_id, 30))["status"] == "SUCCEEDED"
    assert provider.most_at_once == 2
