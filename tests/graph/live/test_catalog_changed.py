"""One stream tells everybody of each change of the catalog, in order and without gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from graph.engine.execution.engine import Engine
from server.services import Services

from ...conftest import MakeUser
from .test_topics import Stream

TEXT = """subscription { catalogChanged { cursor kind deletedId
  tool { id isActive } hairstyle { id name } hairColor { id sortOrder }
  skinColor { id name } plan { id monthlyCredits price { amountCents } } } }"""
NOTHING = {
    "kind": None, "deletedId": None,
    "tool": None, "hairstyle": None, "hairColor": None, "skinColor": None, "plan": None,
}  # fmt: skip
# For each table: how a row is added, found and changed, and what is told of that.
CHANGES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "tools": (
        "(id, name_key, description_key, type, icon_name) values ('x', 'n', 'd', 'FILTER', 'i')",
        "id = 'x'",
        "sort_order = 99",
        {"tool": {"id": "tool_x", "isActive": True}},
    ),
    "hairstyles": (
        "(id, name, image_url, gender, category) values ('x', 'X', '/x', 'MALE', 'short')",
        "id = 'x'",
        "is_pro = true",
        {"hairstyle": {"id": "hairstyle_x", "name": "X"}},
    ),
    "hair_colors": (
        "(hex_code) values ('#123456')",
        "hex_code = '#123456'",
        "sort_order = 0, edited = '{sort_order}'",
        {"hairColor": {"id": "hairColor_#123456", "sortOrder": 0}},
    ),
    "skin_colors": (
        "(hex_code, name) values ('#123456', 'X')",
        "hex_code = '#123456'",
        "sort_order = 7",
        {"skinColor": {"id": "skinColor_#123456", "name": "X"}},
    ),
    "plans": (
        "(id, name, monthly_credits, max_daily_credits) values ('x', 'X', 1, 1)",
        "id = 'x'",
        "sort_order = 7",
        {"plan": {"id": "plan_x", "monthlyCredits": 1, "price": None}},
    ),
}


async def told(stream: Stream, count: int) -> list[dict[str, Any]]:
    """The next items, without their cursors."""
    items = [await stream.item() for _ in range(count)]
    return [{key: value for key, value in item.items() if key != "cursor"} for item, _ in items]


@pytest.fixture
async def changes(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Leaves no row behind."""
    yield
    for table, (_, found, _, _) in CHANGES.items():
        await owner.execute(f"delete from {table} where {found}")


@pytest.mark.usefixtures("changes")
async def test_everybody_is_told_of_each_change_of_every_kind(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    everybody: list[Actor] = [NOBODY, await make_user()]
    streams = [Stream(engine, services, actor, TEXT) for actor in everybody]
    for stream in streams:
        assert await told(stream, 1) == [NOTHING]
    expected = []
    for table, (added, found, changed, shown) in CHANGES.items():
        await owner.execute(f"insert into {table} {added}")
        await owner.execute(f"update {table} set {changed} where {found}")
        await owner.execute(f"update {table} set {changed} where {found}")  # changes nothing
        await owner.execute(f"delete from {table} where {found}")
        (row,) = shown.values()
        expected.append(NOTHING | {"kind": "ADDED"} | shown)
        if table != "hair_colors":  # there only what no client sees has changed
            expected.append(NOTHING | {"kind": "UPDATED"} | shown)
        expected.append(NOTHING | {"kind": "DELETED", "deletedId": row["id"]})
    services.wake()
    for stream in streams:
        assert await told(stream, len(expected)) == expected
        await stream.close()


SWITCHES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("tools", "age", "tool", {"id": "tool_age", "isActive": True}),
    ("hairstyles", "male-fade-1", "hairstyle",
     {"id": "hairstyle_male-fade-1", "name": "Low Fade"}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "key", "field", "row"), SWITCHES)
async def test_what_is_switched_off_is_gone_and_comes_back(
    engine: Engine,
    services: Services,
    owner: asyncpg.Connection,
    table: str,
    key: str,
    field: str,
    row: dict[str, Any],
) -> None:
    stream = Stream(engine, services, NOBODY, TEXT)
    await told(stream, 1)
    for is_active in (False, True):
        switch = f"update {table} set is_active = $1 where id = $2"
        await owner.execute(switch, is_active, key)
    services.wake()
    assert await told(stream, 2) == [
        NOTHING | {"kind": "DELETED", "deletedId": row["id"]},
        NOTHING | {"kind": "UPDATED", field: row},
    ]
    await stream.close()


@pytest.mark.usefixtures("changes")
async def test_who_comes_back_with_a_cursor_misses_nothing(
    engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    stream = Stream(engine, services, NOBODY, TEXT)
    await told(stream, 1)
    for table, (added, found, _, _) in CHANGES.items():
        await owner.execute(f"insert into {table} {added}")
        await owner.execute(f"delete from {table} where {found}")
    services.wake()
    items = [await stream.item() for _ in range(2 * len(CHANGES))]
    await stream.close()
    for number in (0, 3, len(items) - 2):
        back = Stream(engine, services, NOBODY, TEXT, after=items[number][1].cursor)
        rest = [await back.item() for _ in items[number + 1 :]]
        assert [payload for payload, _ in rest] == [payload for payload, _ in items[number + 1 :]]
        await back.close()


@pytest.mark.usefixtures("changes")
async def test_an_idle_client_is_sent_what_needs_no_statement_at_once(
    engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    from graph.engine.execution.subscriptions import Subscriber

    sent: list[bytes] = []
    came = asyncio.Event()

    def send_now(body: bytes) -> bool:
        sent.append(body)
        came.set()
        return True

    subscriber = Subscriber(engine, services.hub.subscribe, lambda: NOBODY)
    items = subscriber.stream(TEXT, {}, None, None, send_now)
    await anext(items)
    # Events go through the consumer until its first read is behind the hub.
    waiting = asyncio.ensure_future(anext(items))
    for name in ("one", "two", "three"):
        await owner.execute("update hairstyles set name = $1 where id = 'male-fade-1'", name)
        services.wake()
        await asyncio.sleep(0.05)
        if waiting.done():
            waiting = asyncio.ensure_future(anext(items))
    try:
        async with asyncio.timeout(10):
            await came.wait()
    finally:
        waiting.cancel()
        await owner.execute("update hairstyles set name = 'Low Fade' where id = 'male-fade-1'")
    assert b'"kind":"UPDATED"' in sent[0]
