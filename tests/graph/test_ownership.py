"""Predicate and policy guard every row: each alone keeps strangers out, whatever claim is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import text, true

from db.core import writes
from db.core.actor import Actor
from db.core.pool import Database
from db.core.writes import write_functions
from graph.engine.execution.engine import Engine
from graph.engine.planning import planner as planning
from graph.shared.context import Context
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .tenants import LIST, NODE, foreign, hostile_rounds, stale, with_profile


@asynccontextmanager
async def row_security(owner: asyncpg.Connection, *, on: bool) -> AsyncIterator[None]:
    tables = await owner.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind = 'r' and relrowsecurity"
    )

    async def switch(word: str) -> None:
        for table in tables:
            await owner.execute(f"alter table {table['relname']} {word} row level security")

    if not on:
        await switch("disable")
    try:
        yield
    finally:
        if not on:
            await switch("enable")


@asynccontextmanager
async def written(owner: asyncpg.Connection, without: str) -> AsyncIterator[None]:
    """The functions that write rows, `without` their predicates or as they are."""
    if not without:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writes, "condition", lambda *_, **__: "true")
        await owner.execute("".join(write_functions()))
    try:
        yield
    finally:
        await owner.execute("".join(write_functions()))


async def test_without_row_security_the_plans_alone_deny(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    one, _ = await with_profile(ask, make_user)
    other, other_profile = await with_profile(ask, make_user)
    async with row_security(owner, on=False):
        answer = await ask(LIST, actor=one)
        assert answer["data"]["viewer"]["profiles"]["nodes"], "the list itself must work"
        assert not foreign(answer, other, other_profile)
        for wanted in (other_profile, f"user_{other.user_id}"):
            assert (await ask(NODE, {"id": wanted}, actor=one))["data"] == {"node": None}


async def test_without_predicates_row_security_alone_denies(
    ask_by_claims: Ask, ask: Ask, make_user: MakeUser
) -> None:
    one, own_profile = await with_profile(ask, make_user)
    other, other_profile = await with_profile(ask, make_user)
    assert (await ask_by_claims(NODE, {"id": own_profile}, actor=one))["data"]["node"]
    for wanted in (other_profile, f"user_{other.user_id}"):
        assert (await ask_by_claims(NODE, {"id": wanted}, actor=one))["data"] == {"node": None}
    assert not foreign(await ask_by_claims(LIST, actor=one), other, other_profile)


USAGE = """{ creditUsage(by: TOOL) { used movements }
  viewer { creditGrants { totalCount nodes { amount } } } }"""
SPEND = """mutation($amount: Int!) {
  spendCredits(input: {amount: $amount, idempotencyKey: "usage"}) { errors { code } } }"""


@pytest.mark.parametrize("guard", ["both", "predicates alone", "row security alone"])
async def test_usage_and_grants_are_ones_own_whatever_claim_is_left(
    guard: str,
    database: Database,
    ask: Ask,
    ask_by_claims: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    users = {amount: await make_user(credits=10 * amount) for amount in (3, 5)}
    for amount, user in users.items():
        assert (await ask(SPEND, {"amount": amount}, actor=user))["data"]["spendCredits"]
    asked = ask_by_claims if guard == "row security alone" else ask
    async with row_security(owner, on=guard != "predicates alone"):
        for amount, user in users.items():
            await stale(database, str(users[8 - amount].user_id))
            data = (await asked(USAGE, actor=user))["data"]
            assert data["creditUsage"] == [{"used": amount, "movements": 1}]
            grants = {"totalCount": 1, "nodes": [{"amount": 10 * amount}]}
            assert data["viewer"]["creditGrants"] == grants


async def test_who_asks_the_function_for_anothers_usage_gets_none(
    database: Database, ask: Ask, make_user: MakeUser
) -> None:
    one, other = await make_user(), await make_user()
    await ask(SPEND, {"amount": 2}, actor=other)
    used = text(
        "select count(*) from app.credit_usage(:user, 'TOOL', now() - interval '1 day', now())"
    )
    for actor, rows in ((one, 0), (other, 1)):
        async with database.transaction(actor) as transaction:
            assert await transaction.fetch_value(used, user=other.user_id) == rows


FOREIGN_WRITES = (
    'mutation($id: ID!) { updateProfile(input: {id: $id, name: "mine"}) { errors { code } } }',
    "mutation($id: ID!) { deleteProfile(input: {id: $id}) { errors { code } } }",
    "mutation($id: ID!) { markNotificationRead(input: {id: $id}) { errors { code } } }",
    "mutation($id: ID!) { deleteNotification(input: {id: $id}) { errors { code } } }",
    """mutation($id: ID!) { createGeneration(input: {toolId: "halloween", uploadId: $id,
      idempotencyKey: "foreign"}) { errors { code } } }""",
)
WRITABLE = ("profiles", "notifications", "uploads", "generations", "wallets", "credit_holds")


async def foreign_rows(owner: asyncpg.Connection, victim: Actor) -> list[str]:
    """One row of the victim's for each of the writes above, as global ids."""
    profile = await owner.fetchval("select id from profiles where user_id = $1", victim.user_id)
    notification = await owner.fetchval(
        "insert into notifications (user_id, type, title_key, message_key)"
        " values ($1, 'GENERAL', 't', 'm') returning id",
        victim.user_id,
    )
    upload = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/png', 9, now() + interval '1 hour') returning id",
        victim.user_id,
    )
    return [
        f"profile_{profile}",
        f"profile_{profile}",
        f"notification_{notification}",
        f"notification_{notification}",
        f"upload_{upload}",
    ]


@pytest.mark.parametrize("guard", ["both", "predicates alone", "row security alone"])
async def test_foreign_mutations_change_nothing(
    guard: str,
    ask: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await make_user()
    victim, _ = await with_profile(ask, make_user)
    wanted = await foreign_rows(owner, victim)
    before = [await owner.fetch(f"select * from {table}") for table in WRITABLE]
    without = "predicates" if guard == "row security alone" else ""
    async with row_security(owner, on=guard != "predicates alone"), written(owner, without):
        for write, foreign_id in zip(FOREIGN_WRITES, wanted, strict=True):
            answer = await ask(write, {"id": foreign_id}, actor=one)
            (payload,) = answer["data"].values()
            assert payload["errors"] == [{"code": "NOT_FOUND"}]
    assert [await owner.fetch(f"select * from {table}") for table in WRITABLE] == before


async def test_without_both_guards_a_foreign_row_is_written(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    one = await make_user()
    victim, _ = await with_profile(ask, make_user)
    wanted = await foreign_rows(owner, victim)
    async with row_security(owner, on=False), written(owner, "predicates"):
        for write, foreign_id in zip(FOREIGN_WRITES[:4], wanted, strict=False):
            answer = await ask(write, {"id": foreign_id}, actor=one)
            (payload,) = answer["data"].values()
            assert payload["errors"] == []


async def test_a_stale_claim_writes_no_foreign_row(
    database: Database, ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    one = await make_user()
    victim, _ = await with_profile(ask, make_user)
    wanted = await foreign_rows(owner, victim)
    for without in ("", "predicates"):
        async with written(owner, without):
            for write, foreign_id in zip(FOREIGN_WRITES, wanted, strict=True):
                await stale(database, str(victim.user_id))
                answer = await ask(write, {"id": foreign_id}, actor=one)
                (payload,) = answer["data"].values()
                assert payload["errors"] == [{"code": "NOT_FOUND"}]


@pytest.fixture
def ask_by_claims(engine: Engine, services: Services, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks an engine whose plans carry no predicates: only claims and policies stand guard."""
    monkeypatch.setattr(planning, "ownership_predicate", lambda *_, **__: true())
    bare = Engine(engine.strawberry, services.database, introspection=False)

    async def run(
        document: str, variables: dict[str, Any] | None = None, *, actor: Actor
    ) -> dict[str, Any]:
        context = Context(actor, services, "test")
        answer: dict[str, Any] = orjson.loads(
            await bare.run(document, variables or {}, None, context)
        )
        return answer

    return run


async def test_a_stale_claim_shows_no_foreign_row(
    database: Database, ask: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(database, ask, make_user, rounds=40)).assert_hostile(40)


async def test_a_stale_claim_shows_no_foreign_row_to_policies_alone(
    database: Database, ask_by_claims: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(database, ask_by_claims, make_user, rounds=40)).assert_hostile(40)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_ten_thousand_stale_claims_show_no_foreign_row(
    database: Database, ask: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(database, ask, make_user, rounds=10_000)).assert_hostile(10_000)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_ten_thousand_stale_claims_show_no_foreign_row_to_policies_alone(
    database: Database, ask_by_claims: Ask, make_user: MakeUser
) -> None:
    (await hostile_rounds(database, ask_by_claims, make_user, 10_000)).assert_hostile(10_000)


async def test_the_claim_is_set_before_any_policy_is_checked(
    database: Database, ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    """With plans' predicates as they are, a policy still decides with this statement's claim."""
    one, own_profile = await with_profile(ask, make_user)
    other, _ = await with_profile(ask, make_user)
    await stale(database, str(other.user_id))
    answer = await ask(NODE, {"id": own_profile}, actor=one)
    assert answer["data"]["node"]["id"] == own_profile


async def test_a_stale_claim_of_an_admin_opens_nothing(
    database: Database,
    ask: Ask,
    ask_by_claims: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    admin, one, other = await make_user(), await make_user(), await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    lists = (
        "{ viewer { id credits { id } creditTransactions { totalCount } } users { totalCount } }"
    )
    for asked in (ask, ask_by_claims):
        for wanted in (f"user_{other.user_id}", f"credits_{other.user_id}", "tool_switched-off"):
            await stale(database, str(admin.user_id))
            assert (await asked(NODE, {"id": wanted}, actor=one))["data"] == {"node": None}
        await stale(database, str(admin.user_id))
        answer = await asked(lists, actor=one)
        assert answer["data"]["viewer"]["creditTransactions"]["totalCount"] == 1
        assert answer["data"]["users"] is None
        assert str(other.user_id) not in str(answer)
    # The same connections serve the admin.
    await stale(database, str(one.user_id))
    found = (await ask(NODE, {"id": f"user_{other.user_id}"}, actor=admin))["data"]["node"]
    assert found["id"] == f"user_{other.user_id}"
