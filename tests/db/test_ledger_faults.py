"""Fifty clients use credits while everything around them is killed: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from bench.deployment import free_port
from db.core.actor import Actor
from db.core.pool import Database
from db.core.seeding import load_seed
from db.embedded.database import EmbeddedDatabase, destroy_embedded, start_embedded
from db.files.storage import open_storage
from db.migrations.migrate import migrate
from jobs.generations import end_overdue_work
from settings import Settings

from ..jobs.helpers import eventually
from ..prepared import prepare
from .ledger_fire import (
    GRANTED,
    Acknowledged,
    Deployment,
    clients,
    deployed,
    until_definite,
)

CLIENTS, USERS = 50, 20
VICTIMS = ("serve", "connections", "worker", "postgres")
SETTLE_SECONDS = 120
SAID_EVERY_SECONDS = 10


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, EmbeddedDatabase]]:
    """A deployment's settings, and a database that keeps what it has acknowledged."""
    folder: Path = tmp_path_factory.mktemp("doomed") / "data"
    settings = Settings(data_directory=folder, access_token_seconds=24 * 3600)
    prepare(settings)
    cluster = start_embedded(settings, durable=True)
    yield settings, cluster
    cluster.stop()
    destroy_embedded(settings)


@pytest.fixture
async def service(doomed: tuple[Settings, EmbeddedDatabase]) -> AsyncIterator[Database]:
    """The server's pools over that database."""
    settings, cluster = doomed
    await migrate(cluster.owner_url, settings)
    await load_seed(cluster.owner_url, "demo")
    database = await Database.connect(cluster.owner_url, settings)
    yield database
    await database.close()


async def make_users(owner_url: str) -> list[Actor]:
    """Users with a wallet that will not run dry."""
    owner = await asyncpg.connect(owner_url)
    users = [Actor("authenticated", uuid4()) for _ in range(USERS)]
    for user in users:
        await owner.execute(
            "insert into users (id, email) values ($1::uuid, $1::text)", user.user_id
        )
        await owner.execute(f"select app.grant_credits($1, 'ADMIN', {GRANTED})", user.user_id)
    await owner.close()
    return users


async def kill_all_in_turn(
    deployment: Deployment, promised: Acknowledged, pause_seconds: float, kills: list[str]
) -> None:
    """Kills one after the other for ever, each once there was work again; notes each kill."""
    while True:
        for victim in VICTIMS:
            seen = len(promised.movements["SPEND"])
            await asyncio.sleep(pause_seconds)
            while len(promised.movements["SPEND"]) < seen + CLIENTS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            with suppress(OSError, asyncpg.PostgresError, TimeoutError):
                await deployment.kill(victim)
                kills.append(victim)


async def say_how_it_goes(fire: Fire, promised: Acknowledged, kills: list[str]) -> None:
    """Says every few seconds how much has been done."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(SAID_EVERY_SECONDS)
        fire.say(
            f"{time.monotonic() - started:4.0f} s: {promised.operations} operations acknowledged,"
            f" {len(kills)} kills"
        )


async def settle(service: Database, owner_url: str) -> None:
    """Waits until the worker has ended every generation, and ends what was forgotten."""

    async def ended() -> bool:
        owner = await asyncpg.connect(owner_url)
        try:
            return not await owner.fetchval(
                "select count(*) from generations where status in ('QUEUED', 'RUNNING')"
            )
        finally:
            await owner.close()

    await eventually(ended, SETTLE_SECONDS, every_seconds=0.5)
    await asyncio.sleep(1.1)  # the last holds that were forgotten last a second
    await until_definite(lambda: end_overdue_work(service))


async def verify(owner_url: str, promised: Acknowledged) -> None:
    """What was promised is there, once, and nothing else is."""
    owner = await asyncpg.connect(owner_url)
    try:
        for kind, movements in promised.movements.items():
            extra = "and reference_id = 'test'" if kind == "CAPTURE" else ""
            rows = await owner.fetch(
                f"select id, used from credit_transactions where type = $1 {extra}", kind
            )
            assert {row["id"]: row["used"] for row in rows} == movements, kind
        generations = await owner.fetch(
            "select 'generation_' || g.id as id, g.user_id, g.status,"
            " (select count(*) from credit_transactions t"
            "  where t.hold_id = g.hold_id and t.type = 'CAPTURE') as captures from generations g"
        )
        assert {row["id"] for row in generations} == promised.generations
        for row in generations:
            assert row["captures"] == (row["status"] == "SUCCEEDED"), row
            promised.used[row["user_id"]] += row["captures"]
        wallets = await owner.fetch("select user_id, balance, held from wallets")
        assert {row["user_id"]: (row["balance"], row["held"]) for row in wallets} == {
            row["user_id"]: (GRANTED - promised.used[row["user_id"]], 0) for row in wallets
        }
        assert await owner.fetchval("select sum(amount) from credit_entries") == 0
        assert not await owner.fetchval("select count(*) from credit_holds where status = 'OPEN'")
        users = [row["user_id"] for row in wallets]
        found = await owner.fetch("select discrepancy from app.ledger_discrepancies($1)", users)
        assert [row["discrepancy"] for row in found] == []
    finally:
        await owner.close()


@dataclass(frozen=True)
class Fire:
    """How long it lasts at least, in three measures; how often something is killed."""

    operations: int
    kills: int
    seconds: float
    pause_seconds: float
    say: Callable[[str], None]


async def run_under_fire(
    doomed: tuple[Settings, EmbeddedDatabase], service: Database, fire: Fire
) -> None:
    """Clients and a killer until there was enough of both; then the books."""
    settings, cluster = doomed
    users, promised, killed = await make_users(cluster.owner_url), Acknowledged(), list[str]()
    started = time.monotonic()

    def go_on() -> bool:
        enough = promised.operations >= fire.operations and len(killed) >= fire.kills
        return not enough or time.monotonic() - started < fire.seconds

    with deployed(settings, cluster, free_port()) as deployment:
        storage = open_storage(settings)
        async with clients(
            deployment, settings, service, storage, users, promised, CLIENTS
        ) as everyone:
            beside = [
                asyncio.create_task(
                    kill_all_in_turn(deployment, promised, fire.pause_seconds, killed)
                ),
                asyncio.create_task(say_how_it_goes(fire, promised, killed)),
            ]
            await asyncio.gather(*(client.run(go_on) for client in everyone))
            for task in beside:
                task.cancel()
        seconds = time.monotonic() - started
        await settle(service, cluster.owner_url)
    await verify(cluster.owner_url, promised)
    fire.say(
        f"{promised.operations} operations acknowledged in {seconds:.0f} s under"
        f" {len(killed)} kills {dict(Counter(killed))}: none lost, none doubled, sum 0, no hold left"
    )


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_while_everything_is_killed(
    doomed: tuple[Settings, EmbeddedDatabase], service: Database, say: Callable[[str], None]
) -> None:
    await run_under_fire(doomed, service, Fire(300, 4, seconds=20, pause_seconds=2, say=say))


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
async def test_nothing_is_lost_or_doubled_in_a_hundred_thousand_operations(
    doomed: tuple[Settings, EmbeddedDatabase], service: Database, say: Callable[[str], None]
) -> None:
    await run_under_fire(doomed, service, Fire(100_000, 24, seconds=0, pause_seconds=12, say=say))
