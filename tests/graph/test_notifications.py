"""Notifications: sent to who wants them, counted, marked, deleted, and watched from every device."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from db.notifications.operations import notify_absent
from graph.engine.execution.engine import Engine
from server.services import Services

from ..conftest import MakeUser
from .asking import PASSWORD, Client, an_address
from .conftest import Ask
from .live.test_topics import Stream, foreign_gets_nothing

NOTIFY = "select app.notify($1, $2, 'some.title', 'some.message', $3)"
COUNT = "{ viewer { unreadNotificationCount } }"
MARK_ALL = """mutation($input: MarkAllNotificationsReadInput) {
  markAllNotificationsRead(input: $input) { viewer { unreadNotificationCount } errors { code } } }"""
DELETE = """mutation($id: ID!) { deleteNotification(input: {id: $id}) {
  deletedId viewer { unreadNotificationCount } errors { code path } } }"""
READ = """mutation($id: ID!) { markNotificationRead(input: {id: $id}) {
  notification { read } viewer { unreadNotificationCount } errors { code } } }"""
SEND = """mutation($input: SendNotificationInput!) { sendNotification(input: $input) {
  notification { id } errors { code } } }"""
CHANGED = """subscription { notificationsChanged {
  cursor kind notification { id read titleKey } deletedId } }"""
WELCOMED_BACK = """select count(*) from notifications
where user_id = $1 and title_key = 'notifications.welcomeBack.title'"""
ADDED = "subscription { notificationAdded { cursor notification { id read } } }"
TYPES = {"OFFER": "promotions", "FEATURE": "featureUpdates", "GENERAL": "generalAlerts"}


async def notify(owner: asyncpg.Connection, user: Actor, type_: str = "GENERAL") -> UUID | None:
    added: UUID | None = await owner.fetchval(NOTIFY, user.user_id, type_, "{}")
    return added


async def prefer(owner: asyncpg.Connection, user: Actor, **preferences: Any) -> None:
    await owner.execute(
        "update users set notification_preferences = $2 where id = $1",
        user.user_id,
        json.dumps(preferences),
    )


async def unread(ask: Ask, user: Actor) -> int:
    count: int = (await ask(COUNT, actor=user))["data"]["viewer"]["unreadNotificationCount"]
    return count


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize(
    ("switched", "is_on"), [(None, True), ("own", False), ("own", True), ("others", False)]
)
async def test_a_user_is_notified_of_what_they_want(
    owner: asyncpg.Connection, make_user: MakeUser, type_: str, switched: str | None, is_on: bool
) -> None:
    user = await make_user(credits=0)
    named = {
        None: [],
        "own": [TYPES[type_]],
        "others": [name for name in TYPES.values() if name != TYPES[type_]],
    }[switched]
    await prefer(owner, user, **dict.fromkeys(named, is_on))
    added = await notify(owner, user, type_)
    rows = await owner.fetch("select * from notifications where user_id = $1", user.user_id)
    wanted = switched != "own" or is_on
    assert [row["id"] for row in rows] == ([added] if wanted else [])
    assert (added is not None) == wanted


async def test_nobody_is_notified_who_is_none(
    owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    guest = await make_user(credits=0)
    await owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null, status = 'merged'"
        " where id = $1",
        guest.user_id,
    )
    gone = Actor("authenticated", UUID(int=1))
    assert [await notify(owner, one) for one in (guest, gone)] == [None, None]


async def test_an_admin_is_told_when_nothing_was_sent(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    admin, user = await make_user(), await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    await prefer(owner, user, promotions=False)
    given = {
        "userId": f"user_{user.user_id}",
        "type": "OFFER",
        "titleKey": "t",
        "messageKey": "m",
        "idempotencyKey": "k",
    }
    answer = (await ask(SEND, {"input": given}, actor=admin))["data"]["sendNotification"]
    assert answer == {"notification": None, "errors": []}
    noted = "select count(*) from audit_log where user_id = $1 and action = 'send_notification'"
    assert await owner.fetchval(noted, admin.user_id) == 0
    await prefer(owner, user)
    answer = (await ask(SEND, {"input": given}, actor=admin))["data"]["sendNotification"]
    assert answer["notification"] is not None


async def test_all_are_marked_as_read_but_what_came_later(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user, other = await make_user(), await make_user()
    for one in (user, user, other):
        await notify(owner, one)
    newest = await owner.fetchval(
        "select max(created_at) from notifications where user_id = $1", user.user_id
    )
    await notify(owner, user)
    assert await unread(ask, user) == 3
    for _ in range(2):  # sent again, it is the same
        answer = await ask(MARK_ALL, {"input": {"until": newest.isoformat()}}, actor=user)
        assert answer["data"]["markAllNotificationsRead"] == {
            "viewer": {"unreadNotificationCount": 1},
            "errors": [],
        }
    for input_ in (None, {}):
        answer = await ask(MARK_ALL, {"input": input_}, actor=user)
        left = answer["data"]["markAllNotificationsRead"]["viewer"]["unreadNotificationCount"]
        assert left == 0
    assert await unread(ask, other) == 1


async def test_a_notification_is_deleted_once_and_by_its_owner_alone(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user, stranger = await make_user(), await make_user()
    wanted = f"notification_{await notify(owner, user)}"
    not_found = [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    foreign = (await ask(DELETE, {"id": wanted}, actor=stranger))["data"]["deleteNotification"]
    assert (foreign["deletedId"], foreign["errors"]) == (None, not_found)
    done = (await ask(DELETE, {"id": wanted}, actor=user))["data"]["deleteNotification"]
    assert done == {
        "deletedId": wanted,
        "viewer": {"unreadNotificationCount": 0},
        "errors": [],
    }
    again = (await ask(DELETE, {"id": wanted}, actor=user))["data"]["deleteNotification"]
    assert (again["deletedId"], again["errors"]) == (None, not_found)


async def test_the_count_is_read_from_one_index(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user(credits=0)
    await owner.execute(
        "insert into notifications (user_id, type, title_key, message_key, read)"
        " select $1, 'GENERAL', 't', 'm', n > 5 from generate_series(1, 900) n",
        user.user_id,
    )
    assert await unread(ask, user) == 5
    # A copy with the same indexes, since the plan depends on the statistics of all who have notifications.
    async with owner.transaction():
        await owner.execute(
            "create temp table mine (like notifications including indexes) on commit drop"
        )
        await owner.execute(
            "insert into mine select * from notifications where user_id = $1", user.user_id
        )
        await owner.execute("analyze mine")
        await owner.execute("set local enable_seqscan = off")
        plan = await owner.fetchval(
            f"explain (format json) select count(*) from mine where user_id = '{user.user_id}' and not read"
        )
    assert "mine_user_id_read" in plan


async def test_what_one_device_does_another_is_shown(
    ask: Ask, engine: Engine, services: Services, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user, stranger = await make_user(), await make_user()
    changed, added = (Stream(engine, services, user, text) for text in (CHANGED, ADDED))
    foreign = Stream(engine, services, stranger, CHANGED)
    first, _ = await changed.item()
    assert (first["kind"], first["notification"], first["deletedId"]) == (None, None, None)
    for stream in (added, foreign):
        await stream.item()
    one, other = [f"notification_{await notify(owner, user)}" for _ in range(2)]
    await ask(READ, {"id": one}, actor=user)
    await ask(READ, {"id": one}, actor=user)  # nothing more to tell
    await ask(MARK_ALL, actor=user)
    await ask(DELETE, {"id": other}, actor=user)
    services.wake()
    items = [await changed.item() for _ in range(5)]
    shown = [
        (payload["kind"], payload["notification"] and payload["notification"]["id"], payload["deletedId"])
        for payload, _ in items
    ]  # fmt: skip
    assert shown == [
        ("ADDED", one, None),
        ("ADDED", other, None),
        ("UPDATED", one, None),
        ("UPDATED", other, None),
        ("DELETED", None, other),
    ]
    read = [payload["notification"]["read"] for payload, _ in items[:4]]
    assert read == [False, False, True, True]
    # Whoever was away is shown the same, in the same order.
    resumed = Stream(engine, services, user, CHANGED, after=items[1][1].cursor)
    assert [await resumed.item() for _ in range(3)] == items[2:]
    new = [(await added.item())[0]["notification"] for _ in range(2)]
    assert new == [{"id": one, "read": False}, {"id": other, "read": False}]
    assert await foreign_gets_nothing(added), "it shows what is new, and nothing else"
    assert await foreign_gets_nothing(foreign)
    for stream in (changed, resumed):
        await stream.close()


async def test_what_the_limit_pushes_out_is_told_as_deleted(
    engine: Engine, services: Services, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user()
    oldest = await notify(owner, user)
    await owner.execute(
        "update quota_use set rows_used = 1000, rows_allowed = 1000"
        " where user_id = $1 and slice = 'notifications'",
        user.user_id,
    )
    stream = Stream(engine, services, user, CHANGED)
    await stream.item()
    newest = await notify(owner, user)
    services.wake()
    shown = [(await stream.item())[0] for _ in range(2)]
    assert [one["kind"] for one in shown] == ["DELETED", "ADDED"]
    assert shown[0]["deletedId"] == f"notification_{oldest}"
    assert shown[1]["notification"]["id"] == f"notification_{newest}"
    await stream.close()


async def test_a_generations_notification_names_its_tool(
    owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user()
    await owner.execute(
        "select app.notify_of_generation(jsonb_populate_record(null::generations,"
        " jsonb_build_object('id', $2::text, 'user_id', $1::text, 'tool_id', 'hair-color',"
        " 'status', 'SUCCEEDED')))",
        str(user.user_id),
        str(UUID(int=7)),
    )
    data = await owner.fetchval("select data from notifications where user_id = $1", user.user_id)
    assert orjson.loads(data) == {
        "generationId": f"generation_{UUID(int=7)}",
        "toolId": "tool_hair-color",
        "toolKey": await owner.fetchval("select name_key from tools where id = 'hair-color'"),
    }


# When a user was last seen and last told, in hours, and whether they have read that; then whether they are told.
@pytest.mark.parametrize(
    ("seen", "told", "is_read", "is_told"),
    [
        ([1], None, False, False),
        ([71], None, False, False),
        ([73], None, False, True),
        ([200, 73], None, False, True),
        ([200, 1], None, False, False),
        ([73], 1, True, False),  # in this absence
        ([73], 100, True, True),  # in another one
        ([73], 100, False, False),  # which they have not read of yet
        ([97], None, False, False),  # long ago
        ([], None, False, False),
    ],
)
async def test_who_is_away_is_told_once_in_each_absence(
    database: Database,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    seen: list[int],
    told: int | None,
    is_read: bool,
    is_told: bool,
) -> None:
    user = await make_user(credits=0)
    for hours in seen:
        await owner.execute(
            "insert into sessions (user_id, last_used_at, expires_at)"
            " values ($1, now() - make_interval(hours => $2), now() + interval '1 day')",
            user.user_id, hours,
        )  # fmt: skip
    if told is not None:
        await owner.execute(
            "insert into notifications (user_id, type, title_key, message_key, read, created_at)"
            " values ($1, 'GENERAL', 'notifications.welcomeBack.title', 'm', $3,"
            " now() - make_interval(hours => $2))",
            user.user_id, told, is_read,
        )  # fmt: skip
    before = await owner.fetchval(WELCOMED_BACK, user.user_id)
    await asyncio.gather(*(notify_absent(database, timedelta(hours=72)) for _ in range(2)))
    assert await owner.fetchval(WELCOMED_BACK, user.user_id) - before == int(is_told)


async def test_a_new_member_is_welcomed_once(engine: Engine, services: Services, ask: Ask) -> None:
    shown = "{ viewer { notifications { nodes { titleKey } } } }"
    welcome = {"titleKey": "notifications.welcome.title"}
    member = await Client(engine, services).signed_in(
        "signUp", email=an_address(), password=PASSWORD
    )
    guest = await member.elsewhere().signed_in("signInAnonymously")
    assert (await ask(shown, actor=guest.actor))["data"]["viewer"]["notifications"]["nodes"] == []
    became = await guest.signed_in("signUp", email=an_address(), password=PASSWORD)
    for one in (member, became):
        found = (await ask(shown, actor=one.actor))["data"]["viewer"]["notifications"]["nodes"]
        assert found == [welcome]
