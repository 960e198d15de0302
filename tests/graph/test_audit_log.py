"""People read what happened on their account, nobody else's, and none of the operator's details."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from graphql import GraphQLEnumType

from db.audit.actions import AuditAction
from db.audit.operations import FORGET_OLD_ENTRIES, record_audit
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.commands import call_as_service
from db.core.origin import coarse_network
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.schema import build_schema
from graph.shared.context import Context
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask

ROOT = Path(__file__).resolve().parents[2]
LOG = """query($first: Int, $after: Cursor) { viewer { auditLog(first: $first, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  nodes { action createdAt times subject network device } } } }"""
SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { user { id } } errors { code } } }"""
SIGN_IN = """mutation($email: String!, $password: String!) {
  signIn(input: {email: $email, password: $password}) { session { user { id } } errors { code } } }"""


async def test_sign_ins_and_failures_are_shown_with_where_they_came_from(
    engine: Engine, services: Services, ask: Ask, owner: asyncpg.Connection
) -> None:
    email = f"{uuid4()}@example.test"

    async def from_(address: str, text: str, **variables: str) -> None:
        context = Context(NOBODY, services, "test", "Safari \x1b[31m", address)
        await engine.run(text, {"email": email, **variables}, None, context)

    await from_("2001:db8:85a3:7::9", SIGN_UP)
    await from_("::ffff:198.51.100.9", SIGN_IN, password="correct horse")
    for _ in range(3):
        await from_("203.0.113.9", SIGN_IN, password="wrong horse")
    await services.failures.write(all_of_them=True)
    user_id = await owner.fetchval("select id from users where email = $1", email)
    actor = Actor("authenticated", user_id)
    log = (await ask(LOG, actor=actor))["data"]["viewer"]["auditLog"]
    assert log["totalCount"] == len(log["nodes"])
    found = Counter[tuple[str, ...]]()
    for one in log["nodes"]:
        assert one["device"] == "Safari [31m"
        found[one["action"], one["subject"], one["network"]] += one["times"]
    # Failures are one line, or two where a second has passed between them.
    assert found == {
        ("SIGN_IN_FAILED", "password", "203.0.113.0/24"): 3,
        ("SIGN_IN", "password", "198.51.100.0/24"): 1,
        ("SIGN_UP", "password", "2001:db8:85a3::/48"): 1,
    }
    page = (await ask(LOG, {"first": 1}, actor=actor))["data"]["viewer"]["auditLog"]
    assert [one["action"] for one in page["nodes"]] == ["SIGN_IN_FAILED"]
    rest = {"first": 9, "after": page["pageInfo"]["endCursor"]}
    rest_of_it = (await ask(LOG, rest, actor=actor))["data"]["viewer"]["auditLog"]["nodes"]
    assert [one["action"] for one in rest_of_it][-2:] == ["SIGN_IN", "SIGN_UP"]


async def test_others_and_admins_read_nothing_of_it(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, database: Database
) -> None:
    user, stranger, admin = await make_user(), await make_user(), await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    async with database.transaction(SERVICE) as transaction:
        await record_audit(transaction, user.user_id, "promote", by="ops@host")
    assert (await ask(LOG, actor=user))["data"]["viewer"]["auditLog"]["totalCount"] == 1
    assert (await ask(LOG, actor=stranger))["data"]["viewer"]["auditLog"]["totalCount"] == 0
    listed = "query($id: String) { users(search: $id) { nodes { id auditLog { totalCount } } } }"
    answer = await ask(listed, {"id": str(user.user_id)}, actor=admin)
    assert answer["data"]["users"]["nodes"] == [
        {"id": f"user_{user.user_id}", "auditLog": {"totalCount": 0}}
    ]
    for reader in (user, stranger):
        async with database.transaction(reader) as transaction:
            count = "select count(*) from audit_log where action = 'promote'"
            seen = await transaction.connection.fetchval(count)
        assert seen == (1 if reader is user else 0)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(user) as transaction:
            await transaction.connection.fetch("select detail from audit_log")


@pytest.mark.parametrize(
    "change",
    ["update audit_log set times = 2", "delete from audit_log", "truncate audit_log"],
)
async def test_no_role_of_the_server_changes_what_is_written(
    database: Database, make_user: MakeUser, change: str
) -> None:
    for actor in (SERVICE, await make_user(), NOBODY):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction(actor) as transaction:
                await transaction.connection.execute(change)


async def test_old_entries_go_and_those_of_credits_stay(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    await owner.execute(
        "insert into audit_log (user_id, action, created_at) select $1, action, now() - age::interval"
        " from (values ('sign_in', '399 days'), ('sign_in', '401 days'),"
        " ('grant_credits', '401 days'), ('grant_credits', '3655 days')) as old (action, age)",
        user.user_id,
    )
    assert await call_as_service(database, FORGET_OLD_ENTRIES(chunk_rows=1)) == 1
    assert await call_as_service(database, FORGET_OLD_ENTRIES(chunk_rows=5)) == 1
    left = "select action, now() - created_at > '400 days' as old from audit_log where user_id = $1"
    kept = {(row["action"], row["old"]) for row in await owner.fetch(left, user.user_id)}
    assert kept == {("sign_in", False), ("grant_credits", True)}


async def test_an_entry_that_outlives_its_account_says_no_more_where_its_owner_was(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(credits=0)
    entry = await owner.fetchval(
        "insert into audit_log (user_id, action, subject, network, device)"
        " values ($1, 'sign_in', 'google', '203.0.113.0/24', 'Safari') returning id",
        user.user_id,
    )
    await owner.execute("delete from users where id = $1", user.user_id)
    row = await owner.fetchrow("select * from audit_log where id = $1", entry)
    assert [row[name] for name in ("user_id", "subject", "network", "device")] == [None] * 4
    assert row["action"] == "sign_in"


def written_by_python(text: str) -> set[str]:
    calls = re.findall(r'record_audit\([^")]*"(\w+)"', text)
    insert = r"insert into audit_log \([^)]*\)\s+(?:values \([^')]*|select [\w, ]*)'(\w+)'"
    return {*calls, *re.findall(insert, text)}


def written_by_sql(text: str) -> set[str]:
    found = set(re.findall(r"note_organization_change\([^')]*'(\w+)'", text))
    for insert in re.findall(r"insert into public\.audit_log [^;]*;", text):
        # Neither keys of what the operator is told or of a place, nor what a case compares with.
        actions = re.sub(r"(when|->>) '\w+'", "", insert.partition("jsonb_build_object")[0])
        found |= set(re.findall(r"'([a-z_]+)'", actions))
    return found


def test_every_action_that_is_written_is_declared() -> None:
    written: set[str] = set()
    for package in ("auth", "db", "graph", "jobs", "server"):
        for file in (ROOT / package).rglob("*.*"):
            if "migrations" in file.parts:
                continue
            if file.suffix == ".py":
                written |= written_by_python(file.read_text())
            elif file.suffix == ".sql":
                written |= written_by_sql(file.read_text())
    assert len(written) >= 20
    assert written - {action.value for action in AuditAction} == set()


def test_every_action_is_described_in_the_schema() -> None:
    shown = build_schema()._schema.type_map["AuditAction"]
    assert isinstance(shown, GraphQLEnumType)
    assert set(shown.values) == {action.value.upper() for action in AuditAction}
    assert all(value.description for value in shown.values.values())


async def test_an_action_that_nobody_declared_is_refused(
    database: Database, make_user: MakeUser
) -> None:
    user = await make_user()
    with pytest.raises(KeyError, match="NO_SUCH_ACTION"):
        async with database.transaction(SERVICE) as transaction:
            await record_audit(transaction, user.user_id, "no_such_action")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:85a3:8d3::1", "2001:db8:85a3::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", None),
        ("unix:", None),
    ],
)
def test_of_an_address_the_network_is_kept(address: str, network: str | None) -> None:
    assert coarse_network(address) == network


HOURLY = {
    "note_credit_use": {"new.user_id": "$1"},
    "note_sync": {"actor_id": "$1", "device_id": "'phone'", "outcome": "'success'"},
}


@pytest.mark.parametrize("function", HOURLY)
async def test_what_is_noted_once_in_an_hour_is_looked_up_by_its_index(
    owner: asyncpg.Connection, make_user: MakeUser, function: str
) -> None:
    """Each spend and sync asks: of whoever did a great deal in the hour, one row is read."""
    user = await make_user()
    await owner.execute(
        "insert into audit_log (user_id, action) select $1, 'analysis' from generate_series(1, 5000)",
        user.user_id,
    )
    await owner.execute("analyze audit_log")
    source = await owner.fetchval("select prosrc from pg_proc where proname = $1", function)
    (lookup,) = re.findall(r"(select from public\.audit_log .+? interval '1 hour')\)", source, re.S)
    for name, value in HOURLY[function].items():
        lookup = lookup.replace(f"= {name}", f"= {value}")
    plan = "\n".join(
        row[0]
        for row in await owner.fetch(
            f"explain {lookup.replace('$1', f"'{user.user_id}'::uuid")} limit 1"
        )
    )
    assert "ix_audit_log_noted_hourly" in plan, plan
