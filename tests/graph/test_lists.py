"""Lists are filtered, ordered and paged both ways; what they say is what SQL says."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor
from graph.engine.execution.engine import Engine
from graph.engine.planning.pages import TOTAL_COUNT_LIMIT

from ..conftest import MakeUser
from .conftest import Ask

PAGE = """query($first: Int, $last: Int, $after: Cursor, $before: Cursor, $where: CreditTransactionWhere,
  $order: CreditTransactionOrder) { viewer { creditTransactions(first: $first, last: $last, after: $after,
  before: $before, where: $where, orderBy: $order) { nodes { id type balanceAfter } totalCount
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


@pytest.fixture
async def spender(ask: Ask, make_user: MakeUser) -> Actor:
    """Somebody with 1 grant and 9 spends: balances 20, 19, … 11."""
    actor = await make_user(credits=20)
    for number in range(9):
        await ask(
            "mutation($k: String!) { spendCredits(input: {amount: 1, idempotencyKey: $k}) { errors { code } } }",
            {"k": str(number)},
            actor=actor,
        )
    return actor


async def page(ask: Ask, actor: Actor, **variables: Any) -> dict[str, Any]:
    answer = await ask(PAGE, variables, actor=actor)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["viewer"]["creditTransactions"]
    return found


def balances(found: dict[str, Any]) -> list[int]:
    return [node["balanceAfter"] for node in found["nodes"]]


async def test_backward_pages_show_the_same_list_from_its_end(ask: Ask, spender: Actor) -> None:
    last = await page(ask, spender, last=4)
    assert balances(last) == [17, 18, 19, 20]
    assert last["pageInfo"]["hasPreviousPage"] is True
    assert last["pageInfo"]["hasNextPage"] is False
    before = await page(ask, spender, last=4, before=last["pageInfo"]["startCursor"])
    assert balances(before) == [13, 14, 15, 16]
    assert before["pageInfo"]["hasNextPage"] is True
    first = await page(ask, spender, last=4, before=before["pageInfo"]["startCursor"])
    assert balances(first) == [11, 12]
    assert first["pageInfo"]["hasPreviousPage"] is False


async def test_a_page_between_two_cursors_stays_between_them(ask: Ask, spender: Actor) -> None:
    whole = await page(ask, spender, first=3)
    after = whole["pageInfo"]["startCursor"]
    before = (await page(ask, spender, last=2))["pageInfo"]["startCursor"]
    between = await page(ask, spender, first=100, after=after, before=before)
    assert balances(between) == [12, 13, 14, 15, 16, 17, 18]


async def test_an_order_is_kept_across_pages(ask: Ask, spender: Actor) -> None:
    order = {"field": "CREATED_AT", "direction": "ASC"}
    first = await page(ask, spender, first=6, order=order)
    assert balances(first) == [20, 19, 18, 17, 16, 15]
    rest = await page(ask, spender, first=6, order=order, after=first["pageInfo"]["endCursor"])
    assert balances(rest) == [14, 13, 12, 11]


async def test_a_cursor_of_another_order_is_refused(ask: Ask, spender: Actor) -> None:
    newest = await page(ask, spender, first=2)
    answer = await ask(
        PAGE,
        {
            "first": 2,
            "order": {"field": "CREATED_AT", "direction": "ASC"},
            "after": newest["pageInfo"]["endCursor"],
        },
        actor=spender,
    )
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_filters_choose_and_the_count_follows(ask: Ask, spender: Actor) -> None:
    spends = await page(ask, spender, first=2, where={"type": {"eq": "SPEND"}})
    assert (balances(spends), spends["totalCount"]) == ([11, 12], 9)
    grants = await page(ask, spender, where={"type": {"in": ["ADMIN", "PURCHASE"]}})
    assert (balances(grants), grants["totalCount"]) == ([20], 1)
    one = spends["nodes"][1]["id"]
    assert balances(await page(ask, spender, where={"id": {"eq": one}})) == [12]
    nothing = await page(ask, spender, where={"id": {"in": ["transaction_x", "user_1"]}})
    assert (balances(nothing), nothing["totalCount"]) == ([], 0)
    later = await page(ask, spender, where={"createdAt": {"gt": "2999-01-01T00:00:00Z"}})
    assert balances(later) == []
    now = {"createdAt": {"gte": "2000-01-01T00:00:00Z", "lt": "2999-01-01T00:00:00Z"}}
    assert (await page(ask, spender, first=1, where=now))["totalCount"] == 10


async def test_a_total_is_counted_to_its_bound(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    # Quotas keep lists shorter than this.
    await owner.execute("alter table notifications disable trigger user")
    await owner.execute(
        "insert into notifications (user_id, type, title_key, message_key)"
        " select $1, 'GENERAL', 'title', 'message' from generate_series(1, $2)",
        actor.user_id,
        TOTAL_COUNT_LIMIT - 1,
    )
    one_more = (
        "insert into notifications (user_id, type, title_key, message_key)"
        " values ($1, 'GENERAL', 'title', 'message')"
    )
    text = "{ viewer { notifications(first: 1) { totalCount nodes { id } } } }"
    counts = []
    for _ in range(3):
        found = (await ask(text, actor=actor))["data"]["viewer"]["notifications"]
        counts.append(found["totalCount"])
        await owner.execute(one_more, actor.user_id)
    await owner.execute("alter table notifications enable trigger user")
    assert counts == [TOTAL_COUNT_LIMIT - 1, TOTAL_COUNT_LIMIT, TOTAL_COUNT_LIMIT]


async def test_a_filter_reaches_one_relation(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    upload = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/png', 9, now()) returning id",
        actor.user_id,
    )
    for tool in ("halloween", "analysis", "hair-color"):
        await owner.execute(
            "insert into generations (user_id, tool_id, upload_id, cache_key) values ($1, $2, $3, gen_random_uuid())",
            actor.user_id,
            tool,
            upload,
        )
    text = """query($where: GenerationWhere) { viewer { generations(where: $where) {
      totalCount nodes { tool { id } } } } }"""

    async def tools(where: Any) -> list[str]:
        found = (await ask(text, {"where": where}, actor=actor))["data"]["viewer"]["generations"]
        assert found["totalCount"] == len(found["nodes"])
        return sorted(node["tool"]["id"] for node in found["nodes"])

    assert await tools({"tool": {"id": {"eq": "halloween"}}}) == ["tool_halloween"]
    assert await tools({"tool": {"id": {"in": ["tool_analysis", "hair-color"]}}}) == [
        "tool_analysis",
        "tool_hair-color",
    ]
    assert await tools({"tool": {"id": {"eq": "none"}}, "status": {"eq": "QUEUED"}}) == []
    assert len(await tools({"status": {"eq": "QUEUED"}})) == 3


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"first": 1, "last": 1}, "BAD_USER_INPUT"),
        ({"last": 0}, "LIMIT_EXCEEDED"),
        ({"where": {"type": None}}, "BAD_USER_INPUT"),
        ({"where": {"type": {"eq": None}}}, "BAD_USER_INPUT"),
        ({"where": {"id": {"in": ["x"] * 101}}}, "BAD_USER_INPUT"),
        ({"before": "x"}, "BAD_USER_INPUT"),
    ],
)
async def test_impossible_pages_are_refused(
    ask: Ask, make_user: MakeUser, variables: dict[str, Any], code: str
) -> None:
    answer = await ask(PAGE, variables, actor=await make_user())
    assert answer["errors"][0]["extensions"]["code"] == code


async def test_one_plan_serves_all_values_of_a_filter(
    engine: Engine, ask: Ask, spender: Actor
) -> None:
    for kind in ("SPEND", "ADMIN", "HOLD"):
        await page(ask, spender, first=5, where={"type": {"eq": kind}})
    plans = engine.documents.operation(PAGE, None).plans
    before = len(plans)
    await page(ask, spender, first=7, where={"type": {"eq": "CAPTURE"}})
    assert len(plans) == before
