"""A row is read again within the statement that wrote it, and only by who may read it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from db.core.access import Access, Public
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.pool import Database
from db.core.registry import metadata, models
from db.core.rereading import readable_columns, reread_name

from ..conftest import MakeUser


def name_of(table: str) -> str:
    """The function that reads a table's row again."""
    return f"app.{reread_name(metadata.tables[table])}"


SPEND_AND_READ = f"""
with claims as materialized (select set_config('app.user_id', $2::text, true) as user_id),
done as materialized (select app.spend_credits(4, null, null, $1) as result from claims)
select (select t.balance_after from {name_of("credit_transactions")}(done.result) t),
       (select t.balance_after from credit_transactions t where t.id = done.result) from done
"""
READ_WALLET = f"select user_id, balance from {name_of('wallets')}($1)"


async def test_what_a_verb_wrote_is_there_though_the_table_still_seems_without_it(
    database: Database, make_user: MakeUser
) -> None:
    actor = await make_user(credits=10)
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(
            SPEND_AND_READ, str(uuid4()), str(actor.user_id)
        )
    assert tuple(row) == (6, None)


def test_other_columns_make_another_function() -> None:
    def named(*columns: Column[Any], hidden: tuple[str, ...] = ()) -> str:
        table = Table("kites", MetaData(), Column("id", Integer, primary_key=True), *columns)
        table.info["access"] = Access(read=Public(), hidden=hidden)
        return reread_name(table)

    kinds = (
        named(),
        named(Column("name", Text)),
        named(Column("name", Integer)),
        named(Column("title", Text)),
        named(Column("name", Text), Column("length", Integer)),
    )
    assert len(set(kinds)) == len(kinds)
    assert named(Column("name", Text), hidden=("name",)) == named()
    assert all(name.startswith("reread_kites_") for name in kinds)


async def test_row_level_security_guards_it(database: Database, make_user: MakeUser) -> None:
    actor, other = await make_user(credits=7), await make_user(credits=9)
    nobody = Actor("authenticated")
    for who, found in ((actor, [(actor.user_id, 7)]), (other, []), (nobody, [])):
        async with database.transaction(who) as transaction:
            rows = await transaction.connection.fetch(READ_WALLET, actor.user_id)
        assert [tuple(row) for row in rows] == found


@pytest.mark.parametrize("who", [NOBODY, SERVICE], ids=lambda who: who.role)
async def test_only_signed_in_users_may_call_it(database: Database, who: Actor) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(who) as transaction:
            await transaction.connection.fetchrow(READ_WALLET, uuid4())


async def test_hidden_columns_are_not_among_its_columns(owner: asyncpg.Connection) -> None:
    hiding = {name: model for name, model in models().items() if model.access.hidden}
    assert {"generations", "dead_jobs"} <= hiding.keys()
    for name in ("generations", "dead_jobs"):
        model = hiding[name]
        table = model.metadata.tables[name]
        returned = await owner.fetchval(
            "select proargnames from pg_proc where proname = $1", reread_name(table)
        )
        expected = [column.name for column in readable_columns(table, model.access)]
        assert returned == ["wanted", *expected]
        assert not set(returned) & set(model.access.hidden)
