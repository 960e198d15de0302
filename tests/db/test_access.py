"""Rules of access: for each, predicate and policies deny and allow the same, each by itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, Uuid, literal, select, true

from db.core.access import (
    Access,
    Admin,
    AllOf,
    AnyOf,
    Group,
    LikeOwn,
    Member,
    Nobody,
    Owner,
    PerCommand,
    Public,
    Rule,
    SqlCommand,
    Through,
    access_of,
    declare_group,
    parent_of,
)
from db.core.pool import Database
from db.core.predicates import Asking
from db.core.rls import condition, policies
from db.embedded.database import EmbeddedDatabase
from settings import Settings

from .rows import migrated_database, other_database
from .ruled import (
    IN_TEAM,
    PEOPLE,
    TABLES,
    TEAM,
    Guards,
    Ruled,
    Trial,
    make_ruled,
    predicate,
    text_of,
)

COMMANDS: tuple[SqlCommand, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
GUARDS = {
    "the predicate alone": Guards(predicate, policies=False, claims=False),
    "that of payloads alone": Guards(
        partial(predicate, rereads=True), policies=False, claims=False
    ),
    "policies alone": Guards(),
    "both": Guards(predicate),
}


@pytest.fixture(scope="module")
async def ruled(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a scratch database with the rules' tables."""
    async with migrated_database(cluster, settings, "ruled") as owner_url:
        owner = await asyncpg.connect(owner_url)
        await make_ruled(owner)
        await owner.close()
        superuser = await asyncpg.connect(other_database(cluster.superuser_url, "ruled"))
        yield superuser
        await superuser.close()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("guards", GUARDS)
async def test_rules_let_those_in_whom_they_name_whoever_the_connection_served_before(
    ruled: asyncpg.Connection, guards: str, command: SqlCommand
) -> None:
    found = {
        name: complaints
        for name, actor in PEOPLE.items()
        if (complaints := await Trial(ruled, GUARDS[guards], command, actor).complaints())
    }
    assert found == {}


async def complaining(
    ruled: asyncpg.Connection, guards: Guards, command: SqlCommand
) -> dict[str, set[str]]:
    """The tables in which a command does otherwise than declared, each with whom it does so for."""
    found: dict[str, set[str]] = {}
    for name, actor in PEOPLE.items():
        for complaint in await Trial(ruled, guards, command, actor).complaints():
            found.setdefault(complaint.split(":")[0], set()).add(name)
    return found


# Some actor may do something everywhere, so that a table of which nobody complains is not guarded.
def offering(command: SqlCommand) -> set[str]:
    return {table.name for table in TABLES if access_of(table).offers(command)}


@pytest.mark.parametrize("command", COMMANDS)
async def test_policies_that_are_gone_are_noticed_in_every_table(
    ruled: asyncpg.Connection, command: SqlCommand
) -> None:
    dropped = tuple(
        f"drop policy {name} on {table.name}"
        for table in TABLES
        for name in policies(table, access_of(table))
        if name.endswith(f"_{command.lower()}")
    )
    assert (await complaining(ruled, Guards(mutations=dropped), command)).keys() == offering(
        command
    )


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_predicate_that_lets_everybody_in_is_noticed_in_every_table(
    ruled: asyncpg.Connection, command: SqlCommand
) -> None:
    open_to_all = Guards(lambda *_: true(), policies=False, claims=False)
    found = await complaining(ruled, open_to_all, command)
    assert found.keys() == offering(command) - {"for_all"}


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_claim_of_somebody_else_is_noticed_in_every_table(
    ruled: asyncpg.Connection, command: SqlCommand
) -> None:
    """The claim that was left there would open rows: that nobody saw them means it was replaced."""
    found = await complaining(ruled, Guards(claims=False), command)
    assert found.keys() == offering(command) - {"for_all", "shown"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, each with whether it is evaluated before the list is read."""
    yield plan
    for child in plan.get("Plans", ()):
        is_first = plan.get("is_first", child["Parent Relationship"] == "InitPlan")
        yield from nodes(child | ({"is_first": True} if is_first else {}))


async def plan_of(ruled: asyncpg.Connection, rule: Rule) -> list[dict[str, Any]]:
    """How 50 of many rows of a team's table are read under a rule, by predicate and policy."""
    member = PEOPLE["member"]
    table = Ruled.metadata.tables["of_teams"]
    asking = Asking(literal(member.user_id, Uuid()))
    wanted = select(table.c.id).where(asking.condition(table, table, rule)).limit(50)
    transaction = ruled.transaction()
    await transaction.start()
    try:
        rows = "insert into of_teams (user_id, team_id, is_shown) select $1, $2, true from generate_series(1, 200)"
        await ruled.execute(rows, member.user_id, TEAM)
        await ruled.execute("select set_config('app.user_id', $1, true)", member.user_claim)
        await ruled.execute("set local role authenticated")
        sql = f"explain (analyze, format json) {text_of(wanted)}"
        (explained,) = orjson.loads(await ruled.fetchval(sql))
        return list(nodes(explained["Plan"]))
    finally:
        await transaction.rollback()


async def test_memberships_are_read_once_for_a_list(ruled: asyncpg.Connection) -> None:
    of_member, of_owner = await plan_of(ruled, IN_TEAM), await plan_of(ruled, Owner())

    def reads(plan: list[dict[str, Any]], *, first: bool) -> list[tuple[str, str | None, int]]:
        return [
            (node["Node Type"], node.get("Relation Name"), node["Actual Loops"])
            for node in plan
            if node.get("is_first", False) is first
        ]

    assert of_member[0]["Actual Rows"] == of_owner[0]["Actual Rows"] == 50
    assert reads(of_member, first=False) == reads(of_owner, first=False)
    before = reads(of_member, first=True)
    assert [loops for _, relation, loops in before if relation == "team_members"] == [1]
    assert max(loops for _, _, loops in before) == 1, before


KITES = Table(
    "kites",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    info={"access": Access(read=Owner())},
)
TAILS = Table("tails", KITES.metadata, Column("kite_id", ForeignKey(KITES.c.id)))


@pytest.mark.parametrize(
    ("kind", "sentence", "declare"),
    [
        (ValueError, "INSERT: no rule says who may", lambda: Access(Owner(), insert=("id",))),
        (ValueError, "UPDATE: no rule says who may", lambda: Access(Owner(), update=("id",))),
        (ValueError, "DELETE: no rule says who may", lambda: Access(Owner(), delete=True)),
        (
            ValueError,
            "DELETE: no rule says who may",
            lambda: Access(Owner(), PerCommand(update=Owner()), update=("id",), delete=True),
        ),
        (
            ValueError,
            "UPDATE: there is a rule and nothing that may be written",
            lambda: Access(Owner(), PerCommand(Owner(), Owner()), insert=("id",)),
        ),
        (
            ValueError,
            "INSERT: clients write as owners, members or parties only",
            lambda: Access(Owner(), AnyOf(Owner(), Public()), insert=("id",)),
        ),
        (
            ValueError,
            "DELETE: clients write as owners, members or parties only",
            lambda: Access(Owner(), PerCommand(delete=Admin()), delete=True),
        ),
        (
            ValueError,
            "INSERT: clients write as owners, members or parties only",
            lambda: Access(Owner(), Through("id", AnyOf(Owner(), Public())), insert=("id",)),
        ),
        (
            ValueError,
            "INSERT: clients write as owners, members or parties only",
            lambda: Access(Owner(), AllOf(Owner(), LikeOwn("id")), update=("id",)),
        ),
        (ValueError, "AnyOf: no rule lets anybody in", AnyOf),
        (ValueError, "AllOf: the first rule names whom", AllOf),
        (ValueError, "AllOf: the first rule names whom", lambda: AllOf(LikeOwn("id"), Owner())),
        (
            ValueError,
            "AllOf: of owners, members, parties and who has such a row only",
            lambda: AllOf(Member(), Admin()),
        ),
        (TypeError, "tails has no access declared", lambda: access_of(TAILS)),
        (
            TypeError,
            "tails: clients may not UPDATE kites; name a rule instead",
            lambda: parent_of(TAILS, Through("kite_id"), "INSERT"),
        ),
        (
            ValueError,
            "kites is declared by kites already",
            lambda: [declare_group(KITES, Group("kites", key="id")) for _ in range(2)],
        ),
        (
            TypeError,
            "Nobody() lets nobody in, so there is no policy of it",
            lambda: condition(KITES, Nobody(), "SELECT"),
        ),
        (
            TypeError,
            "kites: Nobody() lets nobody in",
            lambda: Asking(literal(uuid4(), Uuid())).condition(KITES, KITES, Nobody()),
        ),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(
    kind: type[Exception], sentence: str, declare: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        declare()
