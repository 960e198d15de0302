"""The whole product through its database's restart, with and without PgBouncer between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import httpx
import pytest

from db.core.seeding import load_seed
from db.embedded.database import destroy_embedded
from db.migrations.migrate import migrate
from settings import ROLES, Settings
from tests.bouncer import Bouncer, running_bouncer, userlist
from tests.graph.live.deployment import Deployment
from tests.running import RunningServer, running_server

from .client import Client
from .test_main_job import WATCH_CREDITS, portrait

DIRECT_PIDS = """select pid from pg_stat_activity
where application_name in ('tallygraph live', 'tallygraph worker') order by pid"""
SPEND = """mutation($key: String!) {
  spendCredits(input: {amount: 1, reason: "outage", idempotencyKey: $key}) {
    credits { balance } errors { code } } }"""


@dataclass
class Product:
    """A server, its database, and what stands between them."""

    server: RunningServer
    place: Deployment
    bouncer: Bouncer | None

    async def direct_sessions(self) -> list[int]:
        """The server processes of the worker and of live updates, once there are two."""
        superuser = await asyncpg.connect(self.place.cluster.superuser_url)
        try:
            async with asyncio.timeout(20):
                while True:
                    found = await superuser.fetch(DIRECT_PIDS)
                    if len(found) >= 2:
                        return [row["pid"] for row in found]
                    await asyncio.sleep(0.05)
        finally:
            await superuser.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cluster of these tests' own, since they stop it."""
    place = Deployment(Settings(data_directory=tmp_path_factory.mktemp("outages") / "data"))
    yield place
    place.cluster.stop()
    destroy_embedded(place.settings)


@pytest.fixture(scope="module", params=["direct", "through PgBouncer"])
async def product(
    request: pytest.FixtureRequest, place: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """The product, configured the way docs/operations.md says."""
    await migrate(place.owner_url, place.settings)
    await load_seed(place.owner_url, "demo")
    variables = {
        f"DATABASE_{role.upper()}_PASSWORD": place.settings.secret(f"database-{role}-password")
        for role in ROLES
    }
    with ExitStack() as stack:
        bouncer, url = None, place.owner_url
        if request.param != "direct":
            users = await userlist(place.cluster)
            bouncer = stack.enter_context(running_bouncer(place.cluster, users, preparing=False))
            url, variables["DATABASE_PREPARED_STATEMENTS"] = bouncer.url, "false"
        variables |= {"DATABASE_URL": url, "DATABASE_DIRECT_URL": place.owner_url}
        folder = tmp_path_factory.mktemp("product") / "data"
        server = stack.enter_context(running_server(folder, **variables))
        yield Product(server, place, bouncer)


async def codes_until_answered(client: Client, stopped: asyncio.Event) -> set[str]:
    """What one client is told, from the moment the database stops until it answers again."""
    codes = set()
    async with asyncio.timeout(60):
        while True:
            for document in ("{ viewer { id } }", SPEND):
                answer = (await client.post(document, {"key": str(uuid4())})).json()
                found = {error["extensions"]["code"] for error in answer.get("errors", ())}
                codes |= found
                if stopped.is_set() and not found:
                    return codes
            await asyncio.sleep(0.02)


async def until_ready(http: httpx.AsyncClient, url: str) -> None:
    """A pooler tries a database that was away once a second, for each role."""
    async with asyncio.timeout(30):
        while (await http.get(f"{url}/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_the_product_outlives_a_restart_of_its_database(product: Product) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        client = Client(product.server.url, http)
        await client.sign_up()
        async with AsyncExitStack() as sockets:
            socket = await sockets.enter_async_context(client.socket())
            await socket.subscribe("credits", WATCH_CREDITS)
            assert (await socket.next_data("credits"))["credits"]["balance"] == 10
            stopped = asyncio.Event()
            told = [asyncio.create_task(codes_until_answered(client, stopped)) for _ in range(4)]
            await asyncio.to_thread(product.place.cluster.stop)
            refused = await client.post("{ viewer { id } }")
            assert refused.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
            assert (await http.get(f"{product.server.url}/readyz")).status_code == 503
            await asyncio.to_thread(product.place.restart)
            stopped.set()
            assert set().union(*await asyncio.gather(*told)) == {"SERVICE_UNAVAILABLE"}
            await until_ready(http, product.server.url)
            # The same server, socket and worker go on as if nothing had been; the socket only if
            # this machine took no longer over the restart than streams wait in silence.
            if socket.raw.close_code is not None:
                assert socket.raw.close_code == 1013
                socket = await sockets.enter_async_context(client.socket())
                await socket.subscribe("credits", WATCH_CREDITS)
            upload_id, _ = await client.upload(portrait())
            held = await client.generate(upload_id)
            assert held["errors"] == []
            async with asyncio.timeout(60):
                while (await socket.next_data("credits"))["credits"]["held"] == 0:
                    pass
                while (await socket.next_data("credits"))["credits"]["held"] != 0:
                    pass
    assert product.server.process.poll() is None
    assert "operation_failed" not in product.server.log.read_text()


async def test_the_worker_and_live_updates_go_past_pgbouncer(product: Product) -> None:
    before = await product.direct_sessions()
    if product.bouncer:
        product.bouncer.kill()
        await asyncio.sleep(1)
        product.bouncer.start()
    assert await product.direct_sessions() == before
