"""Every table says what becomes of a user's rows, and who leaves is gone from all but the books."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from db.core.access import Owner
from db.core.actor import SERVICE
from db.core.erasing import (
    Anonymise,
    Delete,
    ErasingRule,
    GoesWith,
    Keep,
    erasing_rules,
    rule_for,
)
from db.core.erasing_functions import erasing_functions
from db.core.exporting import NotExported
from db.core.pool import Database
from db.core.registry import models
from db.credits.proof import prove_ledger
from db.embedded.database import EmbeddedDatabase
from db.leaving import operations
from jobs.leaving import erase_account
from settings import Settings

from .leaving import LEAVING, NEEDLES, STAYING, Place, fill_with_persons, rows_of, search
from .rows import migrated_database

LINKS = """
select k.conrelid::regclass::text as table_name, a.attname::text as column_name,
       k.confrelid::regclass::text as leads_to, k.confdeltype::text as on_delete
from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
where k.contype = 'f' and k.connamespace = 'public'::regnamespace
"""
LOOSE_IDS = """
select c.relname::text as table_name, a.attname::text as column_name
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
  and a.atttypid = 'uuid'::regtype and a.attname ~ '_(id|by)$' and not exists (
      select from pg_constraint k where k.contype = 'f' and k.conrelid = c.oid and a.attnum = any (k.conkey))
"""
# What the foreign key does of itself, for a row that comes at the last moment.
ON_DELETE: dict[type, str] = {Delete: "cr", GoesWith: "c", Anonymise: "n"}
USERS = ("users", "wallets")


def rules_of(table: str) -> tuple[ErasingRule, ...]:
    model = models().get(table)
    return erasing_rules(model.on_erase) if model else ()


async def faults(owner: asyncpg.Connection) -> list[str]:
    """What names users without a rule, or with one that its foreign key does not keep."""
    links = await owner.fetch(LINKS)
    found = []
    for link in links:
        table, column = link["table_name"], link["column_name"]
        place = f"{table}.{column}"
        rule = rule_for(rules_of(table), column)
        if link["leads_to"] in USERS and rule is None:
            found.append(f"{place}: no rule")
        elif link["leads_to"] == "users" and link["on_delete"] not in ON_DELETE[type(rule)]:
            found.append(f"{place}: on delete {link['on_delete']}")
        elif rules_of(link["leads_to"]) and not rules_of(table) and table != "users":
            found.append(f"{table}: no rule, and it leads to {link['leads_to']}")
    loose = await owner.fetch(LOOSE_IDS)
    return found + [f"{table}.{column}: no rule" for table, column in loose if not rules_of(table)]


async def test_every_table_that_names_users_says_what_becomes_of_its_rows(
    database: Database, owner: asyncpg.Connection
) -> None:
    assert await faults(owner) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("create table notes (id uuid primary key, user_id uuid references users)", "notes.user_id: no rule"),
        ("create table notes (id uuid primary key, made_by uuid)", "notes.made_by: no rule"),
        ("create table notes (id uuid primary key, one uuid references uploads)", "notes: no rule, and it leads to uploads"),
        ("alter table uploads add column given_by uuid references users", "uploads.given_by: no rule"),
        ("alter table profiles drop constraint fk_profiles_user_id,"
         " add foreign key (user_id) references users on delete set null", "profiles.user_id: on delete n"),
    ],
)  # fmt: skip
async def test_one_without_a_rule_is_noticed(
    database: Database, owner: asyncpg.Connection, change: str, found: str
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(change)
        assert await faults(owner) == [found]
    finally:
        await transaction.rollback()


def test_one_without_a_rule_stops_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models()["profiles"], "on_erase", ())
    with pytest.raises(TypeError, match=r"profiles\.user_id leads to a user"):
        list(erasing_functions())


def test_every_table_that_names_users_says_what_of_it_is_exported() -> None:
    undecided = [
        name
        for name, model in models().items()
        if erasing_rules(model.on_erase) and model.export is None and not model.access.find(Owner)
    ]
    assert undecided == []


def test_every_reason_is_told() -> None:
    declared: list[Any] = [rule for name in models() for rule in rules_of(name)]
    declared += [model.export for model in models().values()]
    reasons = [one.reason for one in declared if isinstance(one, Keep | NotExported)]
    assert len(reasons) > 10
    assert [reason for reason in reasons if not reason.endswith(".")] == []


@pytest.fixture(scope="module")
async def filled(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[tuple[Database, asyncpg.Connection]]:
    """A scratch database with rows of two users in every table."""
    async with migrated_database(cluster, settings, "leaving") as owner_url:
        owner = await asyncpg.connect(owner_url)
        await fill_with_persons(owner)
        database = await Database.connect(owner_url, settings.model_copy(update={"pool_size": 2}))
        yield database, owner
        await database.close()
        await owner.close()


async def test_nothing_is_left_of_who_leaves(
    filled: tuple[Database, asyncpg.Connection],
) -> None:
    database, owner = filled
    assert LEAVING.user_id
    assert STAYING.user_id
    before = await search(owner, *NEEDLES)
    others = await rows_of(owner, STAYING.user_id)
    kept = {
        Place(name, column)
        for name in models()
        for rule in rules_of(name)
        if isinstance(rule, Keep)
        for column in rule.columns
    }
    sums = await totals(owner)

    async with database.transaction(SERVICE) as transaction:
        await operations.schedule_deletion(transaction, LEAVING.user_id, timedelta(0))
    await erase_account(database, user_id=LEAVING.user_id)
    # What the worker has done by then: it has removed the files and sent the last e-mail.
    await owner.execute(
        "select app.begin_email(id), app.claim_email(id, 1), app.end_email(id, 1, 'SENT', null)"
        " from emails where template = 'account_deleted'"
    )
    await owner.execute(
        "delete from queue.pgqueuer where entrypoint in ('erase_account', 'delete_user_files')"
    )

    after = await search(owner, *NEEDLES)
    assert after.keys() <= kept, {place for place in after if place not in kept}
    assert Place("wallets", "user_id") in after
    assert (await prove_ledger(database)).discrepancies == []
    assert await totals(owner) == sums

    noted = await owner.fetch(
        "select user_id, action, detail from audit_log where detail <> '{}' order by id"
    )
    # What was bought and used is still noted, without whose it was.
    use = [row for row in noted if row["action"] in ("purchase", "credit_use")]
    noted = [row for row in noted if row not in use]
    assert [(row["action"], row["user_id"]) for row in use] == [
        ("purchase", STAYING.user_id),
        ("purchase", None),
        ("credit_use", STAYING.user_id),
        ("credit_use", None),
    ]
    assert [(row["user_id"], json.loads(row["detail"])) for row in noted] == [
        (STAYING.user_id, {"role": "ADMIN", "member": "user_gone"}),
        (STAYING.user_id, {"older_account": "gone"}),
        (None, {"by": f"user_{STAYING.user_id}"}),
        (None, {"deletesAt": json.loads(noted[-1]["detail"])["deletesAt"]}),
    ]

    # Each table that says its rows go had some of theirs, and the one who stays has lost nothing.
    lost = {place.table for place in before} - {place.table for place in after}
    assert {name for name in models() if goes(name)} - lost == set()
    assert {t: rows for t, rows in others.items() if t not in CHANGED} == {
        t: rows for t, rows in (await rows_of(owner, STAYING.user_id)).items() if t not in CHANGED
    }


# An invitation of who stays was for who leaves, and entries of the audit log name both.
CHANGED = {"public.organization_invitations", "public.audit_log"}


def goes(table: str) -> bool:
    """Whether a table's rows go by a column that names the user."""
    return any(isinstance(rule, Delete) and rule.by == "id" for rule in rules_of(table))


async def totals(owner: asyncpg.Connection) -> dict[str, int]:
    """What the books say in all: as much was issued and spent as before somebody left."""
    rows = await owner.fetch(
        "select case when account in ('GRANT', 'HOLD', 'EXPIRED') then 'OTHER' else account end as account,"
        " sum(amount) as total from credit_entries group by 1"
    )
    return {row["account"]: row["total"] for row in rows}


async def test_who_is_not_to_go_cannot_be_erased(
    filled: tuple[Database, asyncpg.Connection],
) -> None:
    database, owner = filled
    assert STAYING.user_id
    with pytest.raises(asyncpg.RestrictViolationError):
        await operations.erase_rows(database, STAYING.user_id)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="has a wallet"):
        await owner.execute("delete from users where id = $1", STAYING.user_id)
    await erase_account(database, user_id=STAYING.user_id)
    assert await owner.fetchval("select count(*) from users where id = $1", STAYING.user_id) == 1
