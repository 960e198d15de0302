"""/metrics tells the operator how the live side is doing, and nobody else anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from db.pool import Database
from graph.app import Server
from graph.live.bus import WakeBus
from jobs.ledger import prove_recent
from settings import Settings

from ..conftest import MakeUser


@pytest.fixture
async def server(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """A whole application in this process."""
    server = Server(settings, database, None, WakeBus.memory())  # type: ignore[arg-type]
    await server.start()
    await server.services.hub.ready()
    yield server
    await server.stop()


async def ask(server: Server, address: str = "127.0.0.1", token: str = "") -> httpx.Response:
    """The page, as somebody at an address with a token sees it."""
    transport = httpx.ASGITransport(app=server.app, client=(address, 1234))
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.get("/metrics", headers=headers)


async def test_it_says_how_large_the_log_is_and_who_listens(server: Server) -> None:
    async with server.services.hub.subscribe(topic="tools.changed", user_id=None):
        page = await ask(server)
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }
    assert found["tallygraph_live_subscriptions"] == 1
    assert found["tallygraph_live_connections"] == 0
    assert found["tallygraph_live_delivered_total"] == 0
    assert found["tallygraph_events_bytes"] > 0
    assert found["tallygraph_events_days"] >= 4
    assert 0 <= found["tallygraph_live_behind_seconds"] < 60
    assert 'tallygraph_database_connections{role="anon",state="busy"}' in page.text


async def test_it_says_when_the_books_are_unsound(
    server: Server, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    async def figures() -> dict[str, float]:
        families = text_string_to_metric_families((await ask(server)).text)
        return {sample.name: sample.value for family in families for sample in family.samples}

    await owner.execute("delete from ledger_proofs")
    assert (await figures())["tallygraph_ledger_faults"] == 0
    assert "tallygraph_ledger_proof_age_seconds" not in await figures()
    victim = await make_user(credits=10)
    spoil = "update wallets set balance = $2, updated_at = now() where user_id = $1"
    await owner.execute(spoil, victim.user_id, 11)
    await prove_recent(server.services.database)
    await owner.execute(spoil, victim.user_id, 10)
    await prove_recent(server.services.database)
    found = await figures()
    assert found["tallygraph_ledger_faults"] >= 2
    assert 0 <= found["tallygraph_ledger_proof_age_seconds"] < 60
    await owner.execute("delete from ledger_proofs")


@pytest.mark.parametrize(
    ("address", "token", "status"),
    [
        ("127.0.0.1", "", 404),
        ("127.0.0.1", "wrong", 404),
        ("203.0.113.7", "secret", 200),
    ],
)
async def test_with_a_token_only_who_knows_it_may_read(
    server: Server,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    token: str,
    status: int,
) -> None:
    monkeypatch.setattr(settings, "metrics_token", "secret")
    assert (await ask(server, address, token)).status_code == status


async def test_without_a_token_only_this_machine_may_read_and_in_production_nobody(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask(server, "203.0.113.7")).status_code == 404
    assert (await ask(server, "::1")).status_code == 200
    monkeypatch.setattr(settings, "environment", "production")
    assert (await ask(server)).status_code == 404
