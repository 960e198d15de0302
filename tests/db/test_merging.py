"""Merging a guest does with every table's rows what the table declares, whatever the tables are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import Table, UniqueConstraint

from db.core.merge_rules import Join, KeepTheMembers, MergedBy, Move, Stay, user_columns
from db.core.merging import merge_functions, undeclared
from db.core.pool import Database
from db.core.quotas import TableQuota
from db.core.registry import metadata, models
from db.profiles.tables import Profile

from ..rows import ADMIN, known_id
from .rows import MAKERS, insert_sql

# What refers to users in the database itself, whatever the declarations say.
LEADS_TO_USERS_SQL = """
select distinct k.conrelid::regclass::text from pg_constraint k
where k.contype = 'f' and k.confrelid in ('users'::regclass, 'wallets'::regclass) and k.conparentid = 0
"""
MERGE = "select app.lock_for_merge($1, $2), app.merge_guest($1, $2)"
# What the ledger itself makes, and what cannot be there before the merge.
UNFILLED = {"users", "guest_merges"}
Key = tuple[Any, ...]


def ruled() -> Iterator[tuple[Table, Any]]:
    """The tables with a column that leads to a user, and their rules."""
    for table in metadata.sorted_tables:
        if user_columns(table):
            yield table, models()[table.name].on_merge


async def test_every_table_with_an_owner_says_what_becomes_of_its_rows(
    database: Database, owner: asyncpg.Connection
) -> None:
    assert undeclared() == []
    led = {row[0] for row in await owner.fetch(LEADS_TO_USERS_SQL)}
    assert led <= {table.name for table, _ in ruled()}
    assert len(led) > 15


def test_a_table_without_a_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Profile, "on_merge", None)
    assert undeclared() == ["profiles"]
    with pytest.raises(TypeError, match=r"^profiles: `on_merge` says"):
        list(merge_functions())


@dataclass
class Merging:
    """A guest and a member with rows in every table, in a transaction that is rolled back."""

    owner: asyncpg.Connection
    guest: UUID = field(default_factory=uuid4)
    member: UUID = field(default_factory=uuid4)

    async def fill(self) -> None:
        """Gives both a row in every table that a maker knows, and credits."""
        await self.owner.execute(
            "insert into users (id, email, is_anonymous) values ($1, null, true), ($2, $3, false)",
            self.guest, self.member, f"{self.member}@example.test",
        )  # fmt: skip
        # Whom rows name beside their owner.
        await self.owner.execute(
            "insert into users (id) values ($1) on conflict do nothing", ADMIN.user_id
        )
        for table in metadata.sorted_tables:
            name = f"public.{table.name}"
            for user in (self.guest, self.member):
                if name in MAKERS and table.name not in UNFILLED:
                    row = MAKERS[name](user, known_id(user, name))
                    await self.owner.execute(insert_sql(name, row) + " on conflict do nothing")
        for user in (self.guest, self.member):
            await self.owner.execute("select set_config('app.user_id', $1, true)", str(user))
            await self.owner.execute(
                "select app.grant_credits($1, 'PURCHASE', 10),"
                " app.hold_credits($1, 2, 'test', interval '1 hour'), app.spend_credits(1, 'test', null, $2)",
                user, str(uuid4()),
            )  # fmt: skip

    async def make_conflicts(self) -> list[str]:
        """Gives the guest's rows the unique keys of the member's; returns of which tables."""
        made = []
        for table, rule in ruled():
            for columns in () if isinstance(rule, Stay) else _unique_with_user(table):
                others = ", ".join(f"{name} = kept.{name}" for name in columns[1:])
                with_rows = await self.owner.fetchval(
                    f"with changed as (update {table.name} t set {others} from {table.name} kept"
                    f" where t.ctid = (select ctid from {table.name} where {columns[0]} = $1 limit 1)"
                    f" and kept.ctid = (select ctid from {table.name} where {columns[0]} = $2 limit 1)"
                    " returning 1) select count(*) from changed",
                    self.guest, self.member,
                )  # fmt: skip
                made += [table.name] * bool(with_rows)
        return made

    async def merge(self) -> None:
        await self.owner.execute(MERGE, self.guest, self.member)

    async def keys(self, table: Table, user: UUID) -> list[Key]:
        """The rows that name a user, by what identifies them beside whose they are."""
        named = [column.name for column in user_columns(table)]
        of_users = {f"{name} = $1" for name in named}
        rule = models()[table.name].on_merge
        key = [c.name for c in table.primary_key if c.name not in named] or ["1"]
        if isinstance(rule, Join):
            # Rows without a value of the key are never the same.
            key = [f"coalesce({name}::text, to_jsonb(t) ->> 'id')" for name in rule.key]
        rows = await self.owner.fetch(
            f"select {', '.join(key)} from {table.name} t where {' or '.join(of_users)} order by {', '.join(map(str, range(1, len(key) + 1)))}",
            user,
        )
        return [tuple(row) for row in rows]

    async def all_keys(self, user: UUID) -> dict[str, list[Key]]:
        return {table.name: await self.keys(table, user) for table, _ in ruled()}


def _unique_with_user(table: Table) -> Iterator[list[str]]:
    """The unique keys of a table that have a user's column and others, the user's first."""
    users = {column.name for column in user_columns(table)}
    keys = [list(table.primary_key.columns)]
    keys += [list(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys += [list(index.columns) for index in table.indexes if index.unique]
    for columns in keys:
        names = [column.name for column in columns]
        if users & set(names) and set(names) - users:
            yield sorted(names, key=lambda name: name not in users)


@pytest.fixture
async def merging(database: Database, owner: asyncpg.Connection) -> AsyncIterator[Merging]:
    """Both accounts, filled."""
    transaction = owner.transaction()
    await transaction.start()
    made = Merging(owner)
    await made.fill()
    yield made
    await transaction.rollback()


@pytest.mark.parametrize("with_conflicts", [False, True])
async def test_every_table_is_merged_as_it_declares(merging: Merging, with_conflicts: bool) -> None:
    if with_conflicts:
        assert {"profiles", "organization_members"} <= set(await merging.make_conflicts())
    guests, members = await merging.all_keys(merging.guest), await merging.all_keys(merging.member)
    unfilled = {name for name, keys in guests.items() if not keys} - UNFILLED
    assert unfilled <= {"quota_use", "organization_invitations"}, "tests/rows has no row of these"
    await merging.merge()
    left, merged = await merging.all_keys(merging.guest), await merging.all_keys(merging.member)
    for table, rule in ruled():
        name = table.name
        if isinstance(rule, Move):
            assert (left[name], merged[name]) == ([], sorted(members[name] + guests[name])), name
        elif isinstance(rule, Join):
            assert (left[name], merged[name]) == ([], sorted({*members[name], *guests[name]})), name
        elif isinstance(rule, KeepTheMembers):
            # What the merge itself did is recorded for the member.
            is_log = name == "events"
            assert left[name] == [], name
            assert (
                (set(members[name]) <= set(merged[name]))
                if is_log
                else members[name] == merged[name]
            )
        elif isinstance(rule, Stay):
            assert set(guests[name]) <= set(left[name]), name
        else:
            assert isinstance(rule, MergedBy), name
    found = await merging.owner.fetch(
        "select discrepancy from app.ledger_discrepancies($1)", [merging.guest, merging.member]
    )
    assert [row["discrepancy"] for row in found] == []


@pytest.mark.parametrize("with_conflicts", [False, True])
async def test_what_is_counted_is_what_is_there(merging: Merging, with_conflicts: bool) -> None:
    if with_conflicts:
        await merging.make_conflicts()
    await merging.merge()
    for name, model in models().items():
        if not isinstance(model.quota, TableQuota):
            continue
        for user in (merging.guest, merging.member):
            used = await merging.owner.fetchrow(
                "select coalesce(sum(rows_used), 0)::int, coalesce(sum(bytes_used), 0)::int"
                " from quota_use where user_id = $1 and slice = $2",
                user, name,
            )  # fmt: skip
            there = await merging.owner.fetchrow(
                f"select count(*) filter (where stored_bytes > 0)::int, coalesce(sum(stored_bytes), 0)::int"
                f" from {name} where user_id = $1",
                user,
            )
            assert tuple(used) == tuple(there), (name, user)


async def test_what_moved_is_new_to_the_member(merging: Merging) -> None:
    before = await merging.owner.fetchval("select coalesce(max(id), 0) from events")
    await merging.merge()
    rows = await merging.owner.fetch(
        "select topic, change, entity_id, snapshot ->> 'user_id' as whose from events"
        " where id > $1 and user_id = $2",
        before, merging.member,
    )  # fmt: skip
    told = {(row["topic"], row["change"], row["entity_id"], row["whose"]) for row in rows}
    for table, topic in (
        ("profiles", "profiles.changed"),
        ("uploads", "upload.updated"),
        ("generations", "generation.updated"),
        ("notifications", "notification.added"),
    ):
        moved = str(known_id(merging.guest, f"public.{table}"))
        assert (topic, "INSERT", moved, str(merging.member)) in told
    assert ("credits.changed", "UPDATE", str(merging.member), str(merging.member)) in told
    assert (
        await merging.owner.fetchval(
            "select count(*) from events where user_id = $1", merging.guest
        )
        == 0
    )


async def test_a_number_that_another_device_gave_is_taken_from_the_profile_that_moves(
    merging: Merging,
) -> None:
    await merging.make_conflicts()
    await merging.merge()
    numbers = {
        row["id"]: row["local_id"]
        for row in await merging.owner.fetch(
            "select id, local_id from profiles where user_id = $1", merging.member
        )
    }
    moved, kept = (known_id(user, "public.profiles") for user in (merging.guest, merging.member))
    assert numbers[moved] is None
    assert numbers[kept] is not None
    assert len(numbers) == 2


async def test_the_higher_role_in_an_organization_is_kept(merging: Merging) -> None:
    shared = known_id(merging.guest, "public.organizations")
    await merging.owner.execute(
        "insert into organization_members (organization_id, user_id, role) values ($1, $2, 'VIEWER')",
        shared, merging.member,
    )  # fmt: skip
    await merging.merge()
    rows = await merging.owner.fetch(
        "select user_id, role, email from organization_members where organization_id = $1", shared
    )
    assert [(row["user_id"], row["role"]) for row in rows] == [(merging.member, "OWNER")]


async def test_of_one_result_in_both_caches_the_members_stays(merging: Merging) -> None:
    """The keys are made of whose they are: the guest's is found under the member's afterwards."""
    owner, guest, member = merging.owner, merging.guest, merging.member
    for user in (guest, member):
        await owner.execute(
            "update uploads set status = 'READY', path = 'p', original_sha256 = 'one',"
            " stored_content_type = 'image/jpeg', width_pixels = 1, height_pixels = 1, size_bytes = 1"
            " where user_id = $1",
            user,
        )
    made = """
    insert into generations (user_id, tool_id, upload_id, parameters, cache_key, status, from_cache)
    select u.user_id, $2, u.id, $3, app.result_cache_key(u.user_id, $2, 'one', $3, null), 'SUCCEEDED', true
    from uploads u where u.user_id = $1 returning cache_key"""
    cached = """
    insert into result_cache (cache_key, user_id, result, expires_at)
    values ($1, $2, jsonb_build_object('whose', $2::uuid), now() + interval '1 hour')"""
    tool = str(known_id(guest, "public.tools"))
    await owner.execute("delete from result_cache where user_id = any ($1)", [guest, member])
    for user, parameters in (
        (guest, '{"both": 1}'),
        (member, '{"both": 1}'),
        (guest, '{"own": 1}'),
    ):
        await owner.execute(cached, await owner.fetchval(made, user, tool, parameters), user)
    await merging.merge()
    found = {
        row["cache_key"]: row["result"]
        for row in await owner.fetch("select * from result_cache where user_id = $1", member)
    }
    for parameters, whose in (('{"both": 1}', member), ('{"own": 1}', guest)):
        key = await owner.fetchval(
            "select app.result_cache_key($1, $2, 'one', $3, null)", member, tool, parameters
        )
        assert found.pop(key) == f'{{"whose": "{whose}"}}'
    assert found == {}


async def test_what_holds_credits_holds_them_as_the_members(merging: Merging) -> None:
    owner, guest, member = merging.owner, merging.guest, merging.member
    holders = {
        table.name
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name == "hold_id" and not table.name.startswith("credit_")
    }
    assert holders == {"ai_runs", "generations", "orders"}
    hold = await owner.fetchval("select id from credit_holds where user_id = $1", guest)
    for name in holders:
        changed = f"update {name} set hold_id = $2 where user_id = $1"
        assert await owner.execute(changed, guest, hold) != "UPDATE 0", name
    await merging.merge()
    for name in holders:
        held = await owner.fetch(
            f"select h.user_id, h.status from {name} t join credit_holds h on h.id = t.hold_id"
            " where t.user_id = $1 and h.amount = 2",
            member,
        )
        assert [tuple(row) for row in held] == [(member, "OPEN")], name


async def test_requests_sent_again_do_nothing_twice(merging: Merging) -> None:
    owner, guest, member = merging.owner, merging.guest, merging.member
    await owner.execute("select set_config('app.user_id', $1, true)", str(guest))
    spent = await owner.fetchval("select app.spend_credits(1, 'again', null, 'the key')")
    paid = "select app.grant_credits($1, 'PURCHASE', 5, null, null, null, 'event 1')"
    bought = await owner.fetchval(paid, guest)
    await merging.merge()
    balance = "select balance from wallets where user_id = $1"
    before = await owner.fetchval(balance, member)
    await owner.execute("select set_config('app.user_id', $1, true)", str(member))
    assert await owner.fetchval("select app.spend_credits(1, 'again', null, 'the key')") == spent
    assert await owner.fetchval(paid, guest) == bought
    assert await owner.fetchval(balance, member) == before
    # Another payment for the guest is the member's.
    await owner.execute(paid.replace("event 1", "event 2"), guest)
    assert await owner.fetchval(balance, member) == before + 5
    assert await owner.fetchval(balance, guest) == 0
