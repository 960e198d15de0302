"""A client sees what it has, what expires when, and what it used, and why it may use no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from db.core.pool import Database

from ..conftest import MakeUser
from ..db.ledger import Ledger
from .conftest import Ask

SPEND = """mutation($amount: Int!) { spendCredits(input: {amount: $amount, idempotencyKey: "k"}) {
  transaction { amount used type } credits { balance unlimited }
  errors { code message path ... on DailyLimitReached { limit remaining resetsAt } } } }"""
USAGE = """query($by: CreditUsageGrouping!, $from: DateTime, $to: DateTime) {
  creditUsage(by: $by, from: $from, to: $to) { day toolId tool { id } used refunded movements } }"""
GRANTS = """query($first: Int, $after: Cursor) { viewer { creditGrants(first: $first, after: $after) {
  nodes { id source amount remaining expiresAt } pageInfo { endCursor hasNextPage } totalCount } } }"""


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The functions, and the ledger as its owner reads it."""
    return Ledger(database, owner)


async def grants(ask: Ask, actor: Actor, **variables: Any) -> dict[str, Any]:
    answer = await ask(GRANTS, variables, actor=actor)
    page: dict[str, Any] = answer["data"]["viewer"]["creditGrants"]
    return page


async def test_grants_are_listed_soonest_to_expire_first(
    ask: Ask, make_user: MakeUser, ledger: Ledger
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 1, "PURCHASE")
    await ledger.grant(actor, 2, "PLAN", days=30)
    await ledger.grant(actor, 3, "REFERRAL", days=2)
    await ledger.grant(actor, 4, "ADMIN")
    await ledger.grant(actor, 5, "SIGNUP_BONUS", days=1)
    await ledger.spend(actor, 6)
    await ledger.grant(actor, 6, "REFUND", days=3)
    await ledger.expire_grant(actor, 6)
    first = await grants(ask, actor, first=2)
    rest = await grants(ask, actor, first=2, after=first["pageInfo"]["endCursor"])
    found = [(node["source"], node["remaining"]) for node in first["nodes"] + rest["nodes"]]
    # What is used up or has expired is no longer there; what never expires comes last.
    assert found == [("REFERRAL", 2), ("PLAN", 2), ("PURCHASE", 1), ("ADMIN", 4)]
    assert [node["expiresAt"] is None for node in rest["nodes"]] == [True, True]
    assert (first["totalCount"], rest["pageInfo"]["hasNextPage"]) == (4, False)


async def usage(ask: Ask, actor: Actor, **variables: Any) -> list[dict[str, Any]]:
    answer = await ask(USAGE, variables, actor=actor)
    assert "errors" not in answer, answer
    rows: list[dict[str, Any]] = answer["data"]["creditUsage"]
    return rows


async def test_usage_by_day_has_every_day(ask: Ask, make_user: MakeUser, ledger: Ledger) -> None:
    actor = await make_user(credits=20)
    spend = await ledger.spend(actor, 5)
    await ledger.capture(await ledger.hold(actor, 4), 3)
    await ledger.release(await ledger.hold(actor, 4))
    await ledger.refund(spend, 2)
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await usage(ask, actor, by="DAY", **{"from": (now - timedelta(days=6)).isoformat()})
    assert [row["day"] for row in rows] == [
        (today - timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for n in range(6, -1, -1)
    ]
    figures = [(row["used"], row["refunded"], row["movements"]) for row in rows]
    assert figures == [(0, 0, 0)] * 6 + [(8, 2, 2)]
    assert {(row["toolId"], row["tool"]) for row in rows} == {(None, None)}
    assert len(await usage(ask, actor, by="DAY")) == 31


async def test_usage_until_now_is_until_each_requests_now(
    ask: Ask, make_user: MakeUser, ledger: Ledger
) -> None:
    actor, text = await make_user(credits=5), "{ creditUsage(by: TOOL) { used } }"
    for used in (1, 2, 3):
        await ledger.spend(actor, 1)
        assert (await ask(text, actor=actor))["data"] == {"creditUsage": [{"used": used}]}


async def test_usage_by_tool_has_the_most_used_first(
    ask: Ask, make_user: MakeUser, ledger: Ledger, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=20)
    upload = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/jpeg', 1, now()) returning id",
        actor.user_id,
    )
    for tool, amount in (("hair-color", 2), ("switched-off", 5), ("hair-color", 1)):
        hold = await ledger.hold(actor, amount)
        await owner.execute(
            "insert into generations (user_id, tool_id, upload_id, cache_key, hold_id)"
            " values ($1, $2, $3, $4, $5)",
            actor.user_id,
            tool,
            upload,
            str(uuid4()),
            hold,
        )
        await ledger.capture(hold, amount)
    await ledger.refund(await ledger.last(actor))
    await ledger.spend(actor, 4)
    rows = await usage(ask, actor, by="TOOL")
    # Of a tool that is switched off the id is told, the tool itself is not shown.
    assert rows == [
        {"day": None, "toolId": "tool_switched-off", "tool": None}
        | {"used": 5, "refunded": 0, "movements": 1},
        {"day": None, "toolId": None, "tool": None} | {"used": 4, "refunded": 0, "movements": 1},
        {"day": None, "toolId": "tool_hair-color", "tool": {"id": "tool_hair-color"}}
        | {"used": 3, "refunded": 1, "movements": 2},
    ]


async def test_usage_is_ones_own(ask: Ask, make_user: MakeUser, ledger: Ledger) -> None:
    one, other = await make_user(credits=5), await make_user(credits=5)
    await ledger.spend(one, 5)
    assert await usage(ask, other, by="TOOL") == []
    assert await usage(ask, NOBODY, by="DAY") == []


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "BAD_USER_INPUT"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "BAD_USER_INPUT"),
        (None, "0001-01-01T00:00:00Z", "BAD_USER_INPUT"),
        ("2025-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "LIMIT_EXCEEDED"),
    ],
)
async def test_a_period_that_cannot_be_plotted_is_refused(
    ask: Ask, make_user: MakeUser, start: str | None, end: str, code: str
) -> None:
    actor = await make_user(credits=0)
    answer = await ask(USAGE, {"by": "DAY", "from": start, "to": end}, actor=actor)
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert answer.get("data") is None


async def test_the_plans_cap_says_when_to_come_back(
    ask: Ask, make_user: MakeUser, ledger: Ledger, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=0)
    await owner.execute("update users set plan_id = 'free' where id = $1", actor.user_id)
    await ledger.grant(actor, 10, "PLAN", days=30)
    payload = (await ask(SPEND, {"amount": 6}, actor=actor))["data"]["spendCredits"]
    assert (payload["transaction"], payload["credits"]) == (None, None)
    (error,) = payload["errors"]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert error["code"] == "DAILY_LIMIT_REACHED"
    assert (error["limit"], error["remaining"]) == (5, 5)
    assert error["resetsAt"] == (midnight + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    payload = (await ask(SPEND, {"amount": 5}, actor=actor))["data"]["spendCredits"]
    assert payload["errors"] == []


async def test_an_unlimited_user_sees_what_they_use(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=1)
    await owner.execute("update wallets set unlimited = true where user_id = $1", actor.user_id)
    payload = (await ask(SPEND, {"amount": 50}, actor=actor))["data"]["spendCredits"]
    assert payload == {
        "transaction": {"amount": 0, "used": 50, "type": "SPEND"},
        "credits": {"balance": 1, "unlimited": True},
        "errors": [],
    }
