"""An organization has no more than its plan allows, however many create at once."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from db.embedded.database import EmbeddedDatabase

ENFORCE = "select app.enforce_plan_limit($1, $2)"
CREATORS = 50
CONNECTIONS = 10


async def organization(owner: asyncpg.Connection, plan: str = "free") -> UUID:
    made: UUID = await owner.fetchval(
        "insert into organizations (name, plan_id) values ('Acme', $1) returning id", plan
    )
    return made


async def usage(owner: asyncpg.Connection, wanted: UUID, kind: str) -> int:
    used: int = await owner.fetchval(
        "select app.plan_usage(id, $2, usage_reset_day) from organizations where id = $1",
        wanted,
        kind,
    )
    return used


async def refusal(owner: asyncpg.Connection, wanted: UUID, kind: str) -> dict[str, Any]:
    """What a refusal says, which leaves nothing behind."""
    with pytest.raises(asyncpg.PostgresError) as refused:
        async with owner.transaction():
            await owner.fetchval(ENFORCE, wanted, kind)
    assert refused.value.hint == "PLAN_LIMIT_REACHED"
    told: dict[str, Any] = orjson.loads(refused.value.detail)
    return told | {"message": refused.value.args[0]}


async def test_of_fifty_that_create_at_once_as_many_succeed_as_there_is_room_for(
    owner: asyncpg.Connection, cluster: EmbeddedDatabase
) -> None:
    wanted = await organization(owner, "starter")
    for _ in range(4):
        await owner.fetchval(ENFORCE, wanted, "WORKFLOWS")
    pool = await asyncpg.create_pool(cluster.owner_url, min_size=1, max_size=CONNECTIONS)

    async def create() -> int | str | None:
        async with pool.acquire() as connection:
            try:
                async with connection.transaction():
                    counted: int = await connection.fetchval(ENFORCE, wanted, "WORKFLOWS")
                    # Long enough that the others wait for this transaction.
                    await connection.execute("select pg_sleep(0.02)")
                    return counted
            except asyncpg.PostgresError as error:
                return error.hint

    told = await asyncio.gather(*(create() for _ in range(CREATORS)))
    await pool.close()
    assert sorted(told, key=str) == [5, *["PLAN_LIMIT_REACHED"] * (CREATORS - 1)]
    assert await usage(owner, wanted, "WORKFLOWS") == 5


@pytest.mark.parametrize(
    ("plan", "kind", "limit", "better"),
    [
        ("free", "WORKFLOWS", 1, "starter"),
        ("free", "CALLS", 50, "starter"),
        ("free", "CAMPAIGNS", 0, "starter"),
        ("starter", "WORKFLOWS", 5, "pro"),
        ("starter", "CALLS", 500, "pro"),
        ("starter", "CAMPAIGNS", 3, "pro"),
        ("pro", "CALLS", 5000, "enterprise"),
    ],
)
async def test_a_plan_allows_what_it_says_and_names_what_to_upgrade_to(
    owner: asyncpg.Connection, plan: str, kind: str, limit: int, better: str
) -> None:
    wanted = await organization(owner, plan)
    if limit:
        assert (
            await owner.fetchval("select app.enforce_plan_limit($1, $2, $3)", wanted, kind, limit)
            == limit
        )
    told = await refusal(owner, wanted, kind)
    assert (told["kind"], told["limit"], told["used"]) == (kind, limit, limit)
    assert told["plan_id"] == better
    assert await usage(owner, wanted, kind) == limit


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        ("pro", "WORKFLOWS"),
        ("pro", "CAMPAIGNS"),
        ("enterprise", "WORKFLOWS"),
        ("enterprise", "CAMPAIGNS"),
        ("enterprise", "CALLS"),
    ],
)
async def test_what_has_no_limit_is_counted(
    owner: asyncpg.Connection, plan: str, kind: str
) -> None:
    wanted = await organization(owner, plan)
    assert await owner.fetchval("select app.enforce_plan_limit($1, $2, 99999)", wanted, kind)
    assert await usage(owner, wanted, kind) == 99999


async def test_what_is_rolled_back_or_removed_makes_room_and_a_call_that_was_made_does_not(
    owner: asyncpg.Connection,
) -> None:
    wanted = await organization(owner)
    transaction = owner.transaction()
    await transaction.start()
    await owner.fetchval(ENFORCE, wanted, "WORKFLOWS")
    await transaction.rollback()
    assert await owner.fetchval(ENFORCE, wanted, "WORKFLOWS") == 1
    await owner.execute("select app.release_plan_limit($1, 'WORKFLOWS')", wanted)
    assert await owner.fetchval(ENFORCE, wanted, "WORKFLOWS") == 1
    await owner.fetchval(ENFORCE, wanted, "CALLS")
    await owner.execute("select app.release_plan_limit($1, 'CALLS')", wanted)
    assert await usage(owner, wanted, "CALLS") == 1


async def test_calls_of_an_earlier_month_do_not_count(owner: asyncpg.Connection) -> None:
    wanted = await organization(owner)
    await owner.fetchval("select app.enforce_plan_limit($1, 'CALLS', 50)", wanted)
    await refusal(owner, wanted, "CALLS")
    await owner.execute(
        "update organization_usage set period_start = period_start - interval '1 month'"
        " where organization_id = $1",
        wanted,
    )
    assert await usage(owner, wanted, "CALLS") == 0
    assert await owner.fetchval(ENFORCE, wanted, "CALLS") == 1


async def test_each_subscribed_seat_brings_members(owner: asyncpg.Connection) -> None:
    await owner.execute(
        "insert into organization_plans (id, name, workflows, calls_per_month, campaigns, seats,"
        " sort_order, is_active) values ('one-seat', 'One seat', 1, 1, 1, 1, 1, false)"
        " on conflict do nothing"
    )
    wanted = await organization(owner, "one-seat")
    users = await owner.fetch(
        "insert into users (email) select $1::text || n from generate_series(1, 2) n returning id",
        str(wanted),
    )
    for n, user in enumerate(users, start=1):
        assert await owner.fetchval(ENFORCE, wanted, "SEATS") == n
        await owner.execute(
            "insert into organization_members (organization_id, user_id, role)"
            " values ($1, $2, 'MEMBER')",
            wanted,
            user["id"],
        )
        told = await refusal(owner, wanted, "SEATS")
        assert (told["limit"], told["used"]) == (n, n)
        await owner.execute("update organizations set seats = seats + 1 where id = $1", wanted)


@pytest.mark.parametrize(
    ("reset_day", "moment", "start", "end"),
    [
        (1, "2026-03-31T23:59Z", "2026-03-01T00:00Z", "2026-04-01T00:00Z"),
        (1, "2026-04-01T00:00Z", "2026-04-01T00:00Z", "2026-05-01T00:00Z"),
        (28, "2026-02-28T00:00Z", "2026-02-28T00:00Z", "2026-03-28T00:00Z"),
        (28, "2026-03-27T12:00Z", "2026-02-28T00:00Z", "2026-03-28T00:00Z"),
        (15, "2026-01-14T23:59Z", "2025-12-15T00:00Z", "2026-01-15T00:00Z"),
        (15, "2026-01-15T01:00+02:00", "2025-12-15T00:00Z", "2026-01-15T00:00Z"),
    ],
)
async def test_a_month_begins_on_the_reset_day_at_midnight_in_utc(
    owner: asyncpg.Connection, reset_day: int, moment: str, start: str, end: str
) -> None:
    found = await owner.fetchrow(
        "select app.usage_period_start($1, $2), app.usage_period_end($1, $2)",
        reset_day,
        datetime.fromisoformat(moment),
    )
    assert tuple(found) == (datetime.fromisoformat(start), datetime.fromisoformat(end))
