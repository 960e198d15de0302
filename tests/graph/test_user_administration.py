"""Admins promote, demote, lock and unlock; it is noted, and sessions end; an admin always remains."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask

CHANGE = """mutation($id: ID!) { %s(input: {id: $id}) {
  user { id isAdmin isLocked } errors { code path } } }"""
NOTED = """select action, detail ->> 'by' as by, network, device from audit_log
    where user_id = $1 order by id"""


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """An admin."""
    user = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    return user


async def session_of(owner: asyncpg.Connection, user: Actor) -> UUID:
    """An open session of a user."""
    found: UUID = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')"
        " returning id",
        user.user_id,
    )
    return found


def global_id(user: Actor) -> str:
    return f"user_{user.user_id}"


@pytest.mark.parametrize(
    ("change", "back", "field", "reason"),
    [
        ("lockUser", "unlockUser", "isLocked", "account_locked"),
        ("demoteUser", "promoteUser", "isAdmin", "demoted"),
    ],
)
async def test_who_is_changed_is_signed_out_at_once_and_it_is_noted(
    engine: Engine,
    services: Services,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    admin: Actor,
    change: str,
    back: str,
    field: str,
    reason: str,
) -> None:
    user = await make_user()
    if change == "demoteUser":
        await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    session = await session_of(owner, user)
    context = Context(admin, services, "test", "Firefox \x07on Linux", "203.0.113.77")

    async def ask(name: str) -> dict[str, object]:
        variables = {"id": global_id(user)}
        answer = await engine.run(CHANGE % name, variables, None, context)
        found: dict[str, object] = orjson.loads(answer)["data"][name]
        return found

    for _ in range(2):  # twice: nothing changes the second time
        answer = await ask(change)
        assert answer["errors"] == []
        assert answer["user"][field] is (field == "isLocked")  # type: ignore[index]
    assert services.revocations.is_revoked(session)
    ended = await owner.fetchval("select revoked_reason from sessions where id = $1", session)
    assert ended == reason
    assert (await ask(back))["user"][field] is (field == "isAdmin")  # type: ignore[index]
    noted = await owner.fetch(NOTED, user.user_id)
    actions = {"isLocked": ["account_locked", "account_unlocked"], "isAdmin": ["demote", "promote"]}
    assert [row["action"] for row in noted] == actions[field]
    for row in noted:
        assert (row["by"], row["network"]) == (global_id(admin), "203.0.113.0/24")
        assert row["device"] == "Firefox on Linux"


async def test_neither_the_last_admin_nor_a_guest_nor_nobody(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, admin: Actor
) -> None:
    others = "update users set role = 'user' where role = 'admin' and id <> $1 returning id"
    were_admins = [row["id"] for row in await owner.fetch(others, admin.user_id)]
    locked = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", locked.user_id)
    await owner.execute("update users set status = 'locked' where id = $1", locked.user_id)
    session = await session_of(owner, admin)
    try:
        for change in ("demoteUser", "lockUser"):
            answer = await ask(CHANGE % change, {"id": global_id(admin)}, actor=admin)
            assert answer["data"][change]["errors"] == [{"code": "LAST_ADMIN", "path": None}]
        assert not await owner.fetchval("select revoked_at from sessions where id = $1", session)
        guest = await make_user()
        await owner.execute(
            "update users set is_anonymous = true, email = null, email_key = null where id = $1",
            guest.user_id,
        )
        answer = await ask(CHANGE % "promoteUser", {"id": global_id(guest)}, actor=admin)
        (error,) = answer["data"]["promoteUser"]["errors"]
        assert error == {"code": "BAD_USER_INPUT", "path": ["input", "id"]}
        for change in ("promoteUser", "demoteUser", "lockUser", "unlockUser"):
            for wanted in (f"user_{uuid4()}", "nonsense"):
                answer = await ask(CHANGE % change, {"id": wanted}, actor=admin)
                (error,) = answer["data"][change]["errors"]
                assert error == {"code": "NOT_FOUND", "path": ["input", "id"]}
    finally:
        again = "update users set role = 'admin' where id = any($1)"
        await owner.execute(again, were_admins)


async def test_an_account_is_deleted_after_a_while_and_its_owner_signed_out(
    ask: Ask, services: Services, make_user: MakeUser, owner: asyncpg.Connection, admin: Actor
) -> None:
    user = await make_user()
    session = await session_of(owner, user)
    answer = await ask(CHANGE % "deleteUser", {"id": global_id(user)}, actor=admin)
    assert answer["data"]["deleteUser"]["errors"] == []
    assert services.revocations.is_revoked(session)
    days = await owner.fetchval(
        "select extract(day from deletes_at - scheduled_at) from account_deletions"
        " where user_id = $1",
        user.user_id,
    )
    assert days == services.settings.account_deletion_days
    noted = [(row["action"], row["by"]) for row in await owner.fetch(NOTED, user.user_id)]
    assert noted == [("deletion_scheduled", None), ("delete_user", global_id(admin))]


async def test_two_admins_who_demote_each_other_at_once_leave_one(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, admin: Actor
) -> None:
    others = "update users set role = 'user' where role = 'admin' and id <> $1 returning id"
    were_admins = [row["id"] for row in await owner.fetch(others, admin.user_id)]
    try:
        for _ in range(5):
            other = await make_user()
            make = "update users set role = 'admin' where id = any($1)"
            await owner.execute(make, [admin.user_id, other.user_id])
            await asyncio.gather(
                ask(CHANGE % "demoteUser", {"id": global_id(other)}, actor=admin),
                ask(CHANGE % "demoteUser", {"id": global_id(admin)}, actor=other),
            )
            left = "select count(*) from users where role = 'admin' and id = any($1)"
            assert await owner.fetchval(left, [admin.user_id, other.user_id]) == 1
            await owner.execute("update users set role = 'user' where id = $1", other.user_id)
    finally:
        await owner.execute("update users set role = 'admin' where id = any($1)", were_admins)
