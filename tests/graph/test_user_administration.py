"""Admins promote, demote, lock and unlock; it is noted, and sessions end; an admin always remains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from structlog.testing import capture_logs

from db.core.actor import Actor
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from jobs.leaving import erase_account, report_unerased
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


@pytest.fixture
async def only_admin(owner: asyncpg.Connection, admin: Actor) -> AsyncIterator[Actor]:
    """An admin, and there is no other."""
    others = "update users set role = 'user' where role = 'admin' and id <> $1 returning id"
    were_admins = [row["id"] for row in await owner.fetch(others, admin.user_id)]
    yield admin
    await owner.execute("update users set role = 'user' where role = 'admin'")
    await owner.execute("update users set role = 'admin' where id = any($1)", were_admins)


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
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, only_admin: Actor
) -> None:
    admin = only_admin
    locked = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", locked.user_id)
    await owner.execute("update users set status = 'locked' where id = $1", locked.user_id)
    session = await session_of(owner, admin)
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


LEAVE = "mutation { deleteAccount { deletesAt errors { code } } }"
ADMINS = """select count(*) from users u where role = 'admin' and status = 'active'
    and not exists (select from account_deletions d where d.user_id = u.id)"""


@pytest.mark.parametrize(
    ("leaving", "demoting"), [("", "01"), ("01", ""), ("0", "0")], ids=["demote", "leave", "both"]
)
async def test_two_admins_who_go_at_once_leave_one(
    ask: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    only_admin: Actor,
    leaving: str,
    demoting: str,
) -> None:
    for _ in range(5):
        await owner.execute("update users set role = 'user' where role = 'admin'")
        both = await make_user(), await make_user()
        make = "update users set role = 'admin' where id = any($1)"
        await owner.execute(make, [one.user_id for one in both])
        await asyncio.gather(
            *(ask(LEAVE, actor=both[int(i)]) for i in leaving),
            *(
                ask(CHANGE % "demoteUser", {"id": global_id(both[1 - int(i)])}, actor=both[int(i)])
                for i in demoting
            ),
        )
        assert await owner.fetchval(ADMINS) == 1


async def test_the_last_admin_cannot_leave_and_who_is_leaving_does_not_count(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, only_admin: Actor
) -> None:
    answer = await ask(LEAVE, actor=only_admin)
    assert answer["data"]["deleteAccount"]["errors"] == [{"code": "LAST_ADMIN"}]
    other = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", other.user_id)
    answer = await ask(LEAVE, actor=only_admin)
    assert answer["data"]["deleteAccount"]["errors"] == []
    for document in (LEAVE, CHANGE % "demoteUser", CHANGE % "lockUser"):
        answer = await ask(document, {"id": global_id(other)}, actor=other)
        ((payload,),) = (answer["data"].values(),)
        assert [error["code"] for error in payload["errors"]] == ["LAST_ADMIN"]


async def test_an_admin_who_became_the_last_meanwhile_is_not_erased(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection, only_admin: Actor
) -> None:
    assert only_admin.user_id
    due = "insert into account_deletions (user_id, deletes_at) values ($1, now())"
    await owner.execute(due, only_admin.user_id)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await erase_account(database, user_id=only_admin.user_id)
    assert refused.value.hint == "LAST_ADMIN"
    with capture_logs() as logs:
        await report_unerased(user_id=only_admin.user_id, error=refused.value)
    assert [line["error"] for line in logs] == ["LAST_ADMIN"]
    other = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", other.user_id)
    await erase_account(database, user_id=only_admin.user_id)
    gone = "select not exists (select from users where id = $1)"
    assert await owner.fetchval(gone, only_admin.user_id)
