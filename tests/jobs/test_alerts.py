"""Alerts fire when what is measured is beyond its limit, are told once, and are over again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.core.pool import Database
from graph.shared.traffic import BUCKETS, Traffic
from jobs.alerts import call_alert_webhook, thresholds_of
from jobs.core.declare import RetryLater
from server.operation_counts import OperationCounts
from settings import Settings

from ..conftest import MakeUser
from ..db.rows import MAKERS, insert_sql
from ..graph.live.websocket_server import run_uvicorn
from ..rows import known_id

CHECK = "select app.check_alerts($1, $2, true)"
STATE = "select status, measured from alerts where id = $1"
COUNT = "insert into operation_counts (minute, kind, field, answered, failed) values (now(), $1, $2, $3, $4)"
PASS_TIME = "update alerts set beyond_at = beyond_at - interval '{minutes} minutes'"
MAIL = "select template, parameters from emails where recipient = $1 order by created_at, id"


@asynccontextmanager
async def nothing_else(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction in which nothing was answered, made or delivered but by the test itself."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(
            "lock operation_counts, ai_generation_logs, ai_request_logs, webhook_events, alerts"
            " in exclusive mode"
        )
        await owner.execute("delete from operation_counts")
        await owner.execute("delete from alerts")
        for table in ("ai_generation_logs", "ai_request_logs"):
            await owner.execute(f"update {table} set created_at = now() - interval '1 day'")
        await owner.execute(
            "update webhook_events set received_at = now() - interval '1 day'"
            " where status = 'QUARANTINED'"
        )
        await owner.execute(
            "update webhook_events set received_at = now() where status = 'RECEIVED'"
        )
        yield
    finally:
        await transaction.rollback()


def quarantined(reason: str) -> Any:
    async def make(owner: asyncpg.Connection, _: MakeUser) -> None:
        await owner.execute(
            "insert into webhook_events (provider, event_id, kind, status, verified, reason)"
            " values ('test', $1, 'payment', 'QUARANTINED', true, $2)",
            uuid4().hex, reason,
        )  # fmt: skip

    return make


def counted(field: str, answered: int, failed: int) -> Any:
    async def make(owner: asyncpg.Connection, _: MakeUser) -> None:
        await owner.execute(COUNT, "mutation", field, answered, failed)

    return make


@pytest.mark.parametrize(
    ("alert", "make", "measured", "fires"),
    [
        ("sync-failures", counted("syncProfiles", 100, 6), 0.06, True),
        ("sync-failures", counted("syncProfiles", 100, 5), 0.05, False),
        ("sync-failures", counted("syncProfiles", 9, 9), None, False),
        ("deduction-failures", counted("spendCredits", 50, 1), 0.02, True),
        ("deduction-failures", counted("createGeneration", 100, 1), 0.01, False),
        ("deduction-failures", counted("viewer", 100, 100), None, False),
        ("webhook-failures", quarantined("WRONG_AMOUNT"), 1, True),
        ("webhook-failures", quarantined("FORGED"), 0, False),
    ],
)
async def test_what_is_beyond_its_limit_fires(
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    alert: str,
    make: Any,
    measured: float | None,
    fires: bool,
) -> None:
    address, limits = f"{uuid4()}@example.test", json.dumps(thresholds_of(settings))
    async with nothing_else(owner):
        await make(owner, make_user)
        assert await owner.fetchval(CHECK, limits, address) == int(fires)
        # A second look tells nobody anew.
        assert await owner.fetchval(CHECK, limits, address) == 0
        state = await owner.fetchrow(STATE, alert)
        assert tuple(state) == ("FIRING" if fires else "OK", measured)
        mails = await owner.fetch(MAIL, address)
        assert [mail["template"] for mail in mails] == ["alert_firing"] * fires
        await owner.execute("delete from operation_counts")
        await owner.execute("delete from webhook_events where provider = 'test'")
        # It goes up and down for a while, which is the same alert.
        assert await owner.fetchval(CHECK, limits, address) == 0
        await owner.execute(PASS_TIME.format(minutes=4))
        await make(owner, make_user)
        assert await owner.fetchval(CHECK, limits, address) == 0
        await owner.execute("delete from operation_counts")
        await owner.execute("delete from webhook_events where provider = 'test'")
        await owner.execute(PASS_TIME.format(minutes=4))
        assert await owner.fetchval(CHECK, limits, address) == 0
        await owner.execute(PASS_TIME.format(minutes=1))
        assert await owner.fetchval(CHECK, limits, address) == int(fires)
        mails = await owner.fetch(MAIL, address)
        assert [mail["template"] for mail in mails] == ["alert_firing", "alert_over"][: 2 * fires]
        jobs = await owner.fetch(
            "select convert_from(payload, 'UTF8') as payload from queue.pgqueuer"
            " where entrypoint = 'call_alert_webhook' and dedupe_key like $1 order by id",
            f"alert:{alert}:%",
        )
        told = [json.loads(job["payload"]) for job in jobs]
        assert [one["status"] for one in told] == ["FIRING", "OK"][: 2 * fires]
        assert all(one["alert"] == alert for one in told)


@pytest.mark.parametrize(
    ("milliseconds", "provider", "fires"),
    [(6_000, "gemini", True), (5_000, "gemini", False), (60_000, "offline", False)],
)
async def test_slow_providers_fire(
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    milliseconds: int,
    provider: str,
    fires: bool,
) -> None:
    limits = json.dumps(thresholds_of(settings))
    user = await make_user()
    async with nothing_else(owner):
        for name in ("public.tools", "public.uploads", "public.generations"):
            generation = known_id(user.user_id, name)
            await owner.execute(insert_sql(name, MAKERS[name](user.user_id, generation)))
        await owner.executemany(
            "insert into ai_generation_logs (generation_id, user_id, tool_id, attempt, provider,"
            " outcome, latency_milliseconds) select $1, user_id, tool_id, $2, $3, 'SUCCEEDED', $4"
            " from generations where id = $1",
            [(generation, n, provider, milliseconds) for n in range(10)],
        )
        assert await owner.fetchval(CHECK, limits, None) == int(fires)


@pytest.mark.parametrize(("first_milliseconds", "fires"), [(900, False), (5_100, True)])
async def test_replies_are_slow_when_their_first_words_are(
    owner: asyncpg.Connection,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    first_milliseconds: int,
    fires: bool,
) -> None:
    user = await make_user()
    async with nothing_else(owner):
        await owner.executemany(
            "insert into ai_request_logs (run_id, user_id, feature, attempt, provider, outcome,"
            " latency_milliseconds, first_milliseconds)"
            " values ($1, $2, 'CHAT', 1, 'anthropic', 'SUCCEEDED', 60000, $3)",
            [(uuid4(), user.user_id, first_milliseconds) for _ in range(10)],
        )
        limits = json.dumps(thresholds_of(settings))
        assert await owner.fetchval(CHECK, limits, None) == int(fires)


async def test_what_a_process_answered_is_added_up_even_after_an_outage(
    owner: asyncpg.Connection, database: Database, settings: Settings
) -> None:
    field = f"test{uuid4().hex}"
    traffic = Traffic()
    away = Database("postgresql://127.0.0.1:1/nowhere", settings)
    counts = OperationCounts(database, traffic)
    read = (
        "select sum(answered), sum(failed), sum(buckets[1]), sum(buckets[$2])"
        " from operation_counts where kind = 'query' and field = $1"
    )

    async def shown() -> tuple[int, ...]:
        return tuple(await owner.fetchrow(read, field, len(BUCKETS) + 1))

    for seconds, told in ((0.0005, []), (60.0, ["INTERNAL"]), (60.0, ["NOT_FOUND"])):
        traffic.answered(("query", field), seconds, told)
    await counts.tell()
    await counts.tell()
    assert await shown() == (3, 1, 1, 2)
    counts._database = away
    traffic.answered(("query", field), 0.0005, ["SERVICE_UNAVAILABLE", "INTERNAL"])
    await counts.tell()
    assert await shown() == (3, 1, 1, 2)
    counts._database = database
    await counts.tell()
    assert await shown() == (4, 2, 2, 2)


async def test_the_webhook_is_told_and_asked_again_while_it_is_away(
    database: Database, settings: Settings
) -> None:
    answers, got = [503, 204], list[dict[str, Any]]()

    async def take(request: Request) -> Response:
        got.append(await request.json())
        return Response(status_code=answers.pop(0))

    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    alert: dict[str, Any] = {
        "alert": "ai-latency", "status": "FIRING", "measured": 6.2, "threshold": 5.0,
        "changed_at": datetime(2031, 1, 2, tzinfo=UTC),
    }  # fmt: skip
    async with run_uvicorn(config) as (port, _):
        own = settings.model_copy(update={"alert_webhook_url": f"http://127.0.0.1:{port}/hook"})
        with pytest.raises(RetryLater):
            await call_alert_webhook(database, own, **alert)
        await call_alert_webhook(database, own, **alert)
    assert got[0] == got[1]
    assert got[0]["text"] == ("Tallygraph: Time of AI providers, 95th of 100: 6.2 s (over 5.0 s)")
    with pytest.raises(RetryLater):
        await call_alert_webhook(database, own, **alert)


async def test_what_has_changed_again_is_not_told_late(
    owner: asyncpg.Connection, database: Database, settings: Settings
) -> None:
    own = settings.model_copy(update={"alert_webhook_url": "http://127.0.0.1:1/hook"})
    told: dict[str, Any] = {"alert": "ai-latency", "measured": None, "threshold": 5.0}
    changed_at = await owner.fetchval(
        "insert into alerts (id, status, threshold, changed_at) values ('ai-latency', 'OK', 5, now())"
        " returning changed_at"
    )
    try:
        before = changed_at - timedelta(minutes=2)
        await call_alert_webhook(database, own, status="FIRING", changed_at=before, **told)
        with pytest.raises(RetryLater):
            await call_alert_webhook(database, own, status="OK", changed_at=changed_at, **told)
    finally:
        await owner.execute("delete from alerts where id = 'ai-latency'")
