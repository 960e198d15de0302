"""A deployment of its own for live tests, and the moves they are made of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg

from db.core.pool import Database, role_url
from db.embedded.cluster import Cluster
from db.embedded.database import EmbeddedDatabase, start_embedded
from db.embedded.process import make_public_directory
from graph.live.bus import WakeBus
from graph.live.hub import EventHub
from graph.live.subscriptions import DeliveredEvent, EventSubscription
from settings import Settings
from tests.prepared import prepare

TOPIC = "credits.changed"
WRITE = """
insert into events (topic, user_id, entity_id, snapshot) values ($1, $2, $3, $4::jsonb) returning id
"""


class Deployment:
    """A cluster of its own, since a transaction held open delays every reader of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        prepare(settings)
        _remember_port(settings)
        self.cluster: EmbeddedDatabase = start_embedded(settings, durable=False)
        self.owner_url = self.cluster.owner_url

    @property
    def service_url(self) -> str:
        return role_url(
            self.owner_url, "service", self.settings.secret("database-service-password")
        )

    def restart(self) -> None:
        self.cluster.stop()
        self._start_again()

    def crash(self) -> None:
        """Ends the server at once, so that it must recover from its log when it starts again."""
        pid = int((Cluster.of(self.settings).data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        self.cluster.stop()
        self._start_again()

    def _start_again(self) -> None:
        self.cluster = start_embedded(self.settings, durable=False)
        assert self.cluster.owner_url == self.owner_url

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.owner_url)


def _remember_port(settings: Settings) -> None:
    """A port outside of those that other workers' clusters take: it is still free at a restart."""
    folder = Cluster.of(settings).directory
    make_public_directory(folder)
    (folder / "port").write_text(str(random.randrange(20_000, 32_000)))


@contextlib.asynccontextmanager
async def running(
    pool: Database, bus: WakeBus | None = None, **options: Any
) -> AsyncIterator[EventHub]:
    hub = EventHub(pool, bus or WakeBus.memory(), **options)
    await hub.start()
    await hub.ready()
    try:
        yield hub
    finally:
        await hub.stop()


async def write(
    connection: asyncpg.Connection,
    user_id: UUID | None,
    number: int = 0,
    entity_id: str | None = None,
) -> int:
    snapshot = f'{{"number": {number}}}'
    return int(await connection.fetchval(WRITE, TOPIC, user_id, entity_id, snapshot))


async def take(
    subscription: EventSubscription, count: int, seconds: float = 10
) -> list[DeliveredEvent]:
    async with asyncio.timeout(seconds):
        return [await anext(subscription) for _ in range(count)]


async def nothing_comes(subscription: EventSubscription, seconds: float = 0.15) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await anext(subscription)
            return False
    return True
