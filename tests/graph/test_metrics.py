"""/metrics tells the operator how the live side is doing, and nobody else anything."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from db.core.outages import unavailable
from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from graph.shared.traffic import errors_told
from jobs.credits import prove_recent_wallets
from server.app import Server
from server.process_group import ProcessGroup
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload


@contextlib.asynccontextmanager
async def serving(
    database: Database, settings: Settings, socket_path: Path | None = None
) -> AsyncIterator[Server]:
    """A whole application in this process."""
    bus, process_group = WakeBus.memory(), ProcessGroup(socket_path)
    server = Server(settings, database, None, bus, process_group)  # type: ignore[arg-type]
    await server.start()
    await server.services.hub.ready()
    yield server
    await server.stop()


@pytest.fixture
async def server(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """One that is alone behind its port."""
    async with serving(database, settings) as server:
        yield server


def samples(page: httpx.Response) -> dict[tuple[str, str | None], float]:
    """What a page says, by name and process."""
    return {
        (sample.name.removeprefix("tallygraph_"), sample.labels.get("process")): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


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
    found = samples(page)
    assert found["process_up", "0"] == 1
    assert found["live_subscriptions", "0"] == 1
    assert found["live_connections", "0"] == 0
    assert found["live_delivered_total", "0"] == 0
    assert found["events_bytes", None] > 0
    assert found["events_days", None] >= 4
    assert 0 <= found["live_behind_seconds", "0"] < 60
    connections = 'tallygraph_database_connections{process="0",role="anon",state="busy"}'
    assert connections in page.text


async def test_any_of_several_processes_answers_for_all(
    database: Database, settings: Settings
) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        sockets = [Path(folder) / name for name in "01"]
        async with serving(database, settings, sockets[0]) as first:
            async with (
                serving(database, settings, sockets[1]) as second,
                second.services.hub.subscribe(topic="tools.changed", user_id=None),
            ):
                for server in (first, second):
                    found = samples(await ask(server))
                    assert [found["process_up", name] for name in "01"] == [1, 1]
                    assert [found["live_subscriptions", name] for name in "01"] == [0, 1]
            sockets[1].unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as stuck:
                stuck.bind(str(sockets[1]))
                stuck.listen()
                for _ in ("one that never answers", "one that is gone"):
                    found = samples(await ask(first))
                    assert [found["process_up", name] for name in "01"] == [1, 0]
                    assert ("live_subscriptions", "1") not in found
                    stuck.close()
            async with serving(database, settings, sockets[1]):  # over what is left of it
                assert samples(await ask(first))["process_up", "1"] == 1
            shutil.rmtree(folder)
            assert samples(await ask(first))["process_up", "0"] == 1


async def test_it_is_answered_while_the_database_is_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise unavailable()

    monkeypatch.setattr(server.services.database, "transaction", away)
    page = await ask(server)
    assert page.status_code == 200
    assert "tallygraph_live_behind_seconds" in page.text
    assert "tallygraph_events_bytes" not in page.text


async def test_it_says_what_waits_and_how_generations_end(
    server: Server, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, job, provider = await make_user(), f"job_{uuid4().hex}", f"provider_{uuid4().hex}"
    database = server.services.database
    photo = await ready_upload(database, open_storage(settings), user)
    generation = await create_generation(database, user, photo)
    for status, delay in (("queued", "0"), ("queued", "1 hour"), ("queued", "1 hour")):
        await owner.execute(
            "insert into queue.pgqueuer (priority, entrypoint, payload, status, execute_after)"
            " values (0, $1, '', $2, now() + $3::text::interval)",
            job, status, delay,
        )  # fmt: skip
    await owner.executemany(
        "insert into ai_generation_logs"
        " (generation_id, user_id, tool_id, attempt, provider, outcome, latency_milliseconds)"
        " select id, user_id, tool_id, $2, $3, $4, 1 from generations where id = $1",
        [(generation, n, provider, how) for n, how in enumerate(("FAILED", "FAILED", "SUCCEEDED"))],
    )
    page = (await ask(server)).text
    await owner.execute("delete from queue.pgqueuer where entrypoint = $1", job)
    for line in (
        f'tallygraph_jobs{{job="{job}",state="waiting"}} 1.0',
        f'tallygraph_jobs{{job="{job}",state="deferred"}} 2.0',
        f'tallygraph_jobs{{job="{job}",state="running"}} 0.0',
        f'tallygraph_generation_attempts{{outcome="FAILED",provider="{provider}"}} 2.0',
        f'tallygraph_generation_attempts{{outcome="SUCCEEDED",provider="{provider}"}} 1.0',
    ):
        assert line in page.splitlines()


async def test_it_says_when_the_ledger_is_inconsistent(
    server: Server, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    async def figures() -> dict[tuple[str, str | None], float]:
        return samples(await ask(server))

    await owner.execute("delete from ledger_proofs")
    assert (await figures())["ledger_discrepancies", None] == 0
    assert ("ledger_proof_age_seconds", None) not in await figures()
    victim = await make_user(credits=10)
    spoil = "update wallets set balance = $2, updated_at = now() where user_id = $1"
    await owner.execute(spoil, victim.user_id, 11)
    await prove_recent_wallets(server.services.database)
    await owner.execute(spoil, victim.user_id, 10)
    await prove_recent_wallets(server.services.database)
    found = await figures()
    assert found["ledger_discrepancies", None] >= 2
    assert 0 <= found["ledger_proof_age_seconds", None] < 60
    await owner.execute("delete from ledger_proofs")


async def test_it_says_what_providers_delivered_that_nobody_could_use(
    server: Server, owner: asyncpg.Connection
) -> None:
    """What is older than an hour is told of as long as it waits."""
    await owner.executemany(
        "insert into webhook_events (provider, event_id, kind, verified, status, reason, received_at)"
        " values ('metrics', gen_random_uuid()::text, 'test', true, 'RECEIVED', null, now() - $1::interval)",
        [(timedelta(minutes=1),), (timedelta(hours=2),), (timedelta(hours=2),)],
    )
    await owner.execute(
        "update webhook_events set status = 'QUARANTINED', reason = 'FAILED' where provider = 'metrics'"
        " and received_at > now() - interval '1 hour'"
    )
    for status in ("PARKED", "PROCESSED"):
        await owner.execute(
            "update webhook_events set status = $1 where id = (select id from webhook_events"
            " where provider = 'metrics' and status = 'RECEIVED' limit 1)",
            status,
        )
    found = {
        (sample.labels["status"], sample.labels["reason"]): sample.value
        for family in text_string_to_metric_families((await ask(server)).text)
        for sample in family.samples
        if sample.labels.get("provider") == "metrics"
    }
    assert found == {("PARKED", ""): 1, ("QUARANTINED", "FAILED"): 1}
    await owner.execute(
        "insert into webhook_events (provider, event_id, kind, verified, received_at)"
        " values ('metrics', gen_random_uuid()::text, 'test', true, now() - interval '1 day')"
    )
    figures = samples(await ask(server))
    assert figures["webhooks_oldest_seconds", None] >= 86_400
    await owner.execute("delete from webhook_events where provider = 'metrics'")


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


QUERY = """query Mine($key: ID!) {
  spend: viewer { id } tools { id } node(id: $key) { id } }"""
GUESS = """mutation Guess { signIn(input: {email: "canary@example.test", password: "canary pass"}) {
  errors { code } } }"""


async def post(server: Server, text: str, **variables: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=server.app, client=("203.0.113.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post("/graphql", json={"query": text, "variables": variables})


async def test_it_counts_what_was_answered_by_names_of_the_schema(server: Server) -> None:
    before = errors_told["INVALID_CREDENTIALS"]
    for _ in range(3):
        await post(server, QUERY, key="canary key")
    await post(server, GUESS)
    await post(server, "{ nothing }")
    page = (await ask(server)).text
    for line in (
        'http_responses_total{process="0",route="graphql",status="200"} 5.0',
        'operation_seconds_count{field="viewer",kind="query",process="0"} 3.0',
        'operation_seconds_count{field="signIn",kind="mutation",process="0"} 1.0',
        f'errors_total{{code="INVALID_CREDENTIALS",process="0"}} {before + 1}.0',
        'password_hashes{process="0",state="waiting"} 0.0',
    ):
        assert f"tallygraph_{line}" in page
    assert 'tallygraph_operation_seconds_bucket{field="viewer",kind="query",le="10.0"' in page
    assert "nothing" not in page
    assert "Mine" not in page
    assert "canary" not in page


async def test_the_log_says_who_asks_for_what_and_no_value(
    server: Server, make_user: MakeUser
) -> None:
    with capture_logs() as logs:
        await post(server, QUERY, key="canary key")
        await post(server, GUESS)
        await post(server, 'query Canary { viewer(id: "canary") { id } }')
    first, guess, broken = [line for line in logs if line["event"] == "request"]
    wanted = {"operation": "Mine", "field": "viewer", "address": "203.0.113.7", "status": 200}
    assert wanted.items() <= first.items()
    assert first["user_id"] is None
    assert (guess["operation"], guess["field"]) == ("Guess", "signIn")
    assert guess["errors"] == ["INVALID_CREDENTIALS"]
    assert broken["errors"] == ["BAD_USER_INPUT"]
    assert "canary" not in repr(logs)


async def test_the_operators_guide_names_every_figure(server: Server) -> None:
    await post(server, QUERY, key="x")
    await prove_recent_wallets(server.services.database)
    page = await ask(server)
    shown = {line.split()[2] for line in page.text.splitlines() if line.startswith("# TYPE")}
    guide = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = guide[guide.index("## Metrics and logs") : guide.index("## When the ledger is")]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(tallygraph_\w+)`", row[1])}
    assert named == shown
    labels = {
        name: set(re.findall(r"`(\w+)`", row[2]))
        for row in rows
        for name in re.findall(r"`(tallygraph_\w+)`", row[1])
    }
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            name = family.name + ("_total" if family.type == "counter" else "")
            assert set(sample.labels) - {"le"} == labels[name], name
