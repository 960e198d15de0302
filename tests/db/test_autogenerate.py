"""`alembic revision --autogenerate` drafts all that a declaration yields, and its downgrade."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from db.catalog.tables import Hairstyle
from db.core.access import Access, Admin, AnyOf, Owner, Watch
from db.core.functions import read_functions
from db.core.pool import Database
from db.core.registry import metadata
from db.embedded.database import EmbeddedDatabase
from db.migrations import autogenerate
from db.migrations.functions import declared_functions
from db.migrations.migrate import alembic_config
from db.migrations.steps import VERSIONS
from db.notifications.tables import Notification
from db.profiles.tables import Profile
from settings import Settings

from .rows import migrated_database
from .test_migrations import TABLES_SQL, catalog
from .test_migrations_frozen import living

STOP = """create function app.stop() returns trigger language plpgsql as $$
begin
    return null;
end;
$$"""
DEAD_JOBS_COLUMNS = "select (id, entrypoint, generation_id, attempts, error, died_at, retried_at)"
READABLE = [c.name for c in Profile.__table__.columns if c.name not in Profile.access.hidden]
PROFILE_COLUMNS = f"select ({', '.join(READABLE)})"
Calls = list[tuple[str, ...]]


@pytest.fixture
async def migrated(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[str]:
    """A database of its own at the newest revision; its owner's URL."""
    async with migrated_database(cluster, settings, "drafted") as owner_url:
        yield owner_url


@pytest.fixture
def drafting(migrated: str, tmp_path: Path) -> Config:
    """Alembic for that database, with a folder for drafts beside the real migrations."""
    config = alembic_config(migrated)
    config.set_main_option("version_locations", f"{VERSIONS}:{tmp_path}")
    return config


def draft(config: Config) -> tuple[Calls, Calls]:
    """What a drafted migration and its downgrade call, each with its plain texts."""
    folder = config.get_main_option("version_locations", "").rpartition(":")[2]
    command.revision(config, "draft", autogenerate=True, rev_id="9999", version_path=folder)
    (path,) = Path(folder).glob("*.py")
    assert list(living(path.read_text(), "9999")) == []
    functions = {
        node.name: node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    return list(calls(functions["upgrade"])), list(calls(functions["downgrade"]))


def calls(function: ast.FunctionDef) -> Iterator[tuple[str, ...]]:
    """The operations that a function calls."""
    for statement in function.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            yield (ast.unparse(call.func).removeprefix("op."), *map(str, texts))


async def apply_and_undo(config: Config, owner_url: str) -> None:
    """Applies a draft, after which there is nothing more to draft, and takes it back whole."""
    before = await catalog(owner_url, TABLES_SQL)
    await asyncio.to_thread(command.upgrade, config, "head")
    await asyncio.to_thread(command.check, config)
    await asyncio.to_thread(command.downgrade, config, "-1")
    assert await catalog(owner_url, TABLES_SQL) == before


def redeclare(monkeypatch: pytest.MonkeyPatch, model: Any, **declared: Any) -> None:
    """Has a table declare something else for the length of a test."""
    for name, value in declared.items():
        monkeypatch.setattr(model, name, value)
    if "access" in declared:
        monkeypatch.setitem(model.__table__.info, "access", declared["access"])


async def test_a_changed_declaration_is_drafted_and_nothing_else(
    migrated: str, drafting: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    redeclare(
        monkeypatch,
        Notification,
        access=Access(
            read=AnyOf(Owner(), Admin()),
            write=Owner(),
            hidden=("broadcast_id", "data"),
            update=("read", "type"),
        ),
        watch=Watch("notification.added", updates=True),
        quota=None,
    )
    redeclare(
        monkeypatch,
        Hairstyle,
        triggers=("stop after delete on hairstyles for each row execute function app.stop()",),
    )
    stopping = (*declared_functions(), *read_functions([STOP]))
    monkeypatch.setattr(autogenerate, "declared_functions", lambda: stopping)
    left = {name: table for name, table in metadata.tables.items() if name != "dead_jobs"}
    monkeypatch.setattr(metadata, "tables", left)
    upgrade, downgrade = await asyncio.to_thread(draft, drafting)
    recorded = (
        "for each row execute function"
        " app.record_event('notification.added', 'id', '{broadcast_id,data}', '{}', 'user_id')"
    )
    assert upgrade == [
        ("drop_trigger", "count_delete", "notifications"),
        ("drop_trigger", "count_insert", "notifications"),
        ("drop_trigger", "count_update", "notifications"),
        ("drop_trigger", "record_event", "notifications"),
        ("drop_policy", "owner_delete", "notifications"),
        ("revoke", "select (data), delete", "notifications", "authenticated"),
        ("drop_index",),
        ("drop_index",),
        ("drop_table", "dead_jobs"),
        ("create_function", "app.stop()", STOP.replace("create", "create or replace")),
        (
            "create_trigger",
            "stop",
            "hairstyles",
            "after delete",
            "for each row execute function app.stop()",
        ),
        ("grant", "update (type)", "notifications", "authenticated"),
        ("create_trigger", "record_event", "notifications", "after insert or update", recorded),
    ]
    assert [(name, *texts[:2]) for name, *texts in downgrade] == [
        ("drop_trigger", "record_event", "notifications"),
        ("revoke", "update (type)", "notifications"),
        ("drop_trigger", "stop", "hairstyles"),
        ("drop_function", "app.stop()"),
        ("create_table", "dead_jobs"),
        ("create_index", "dead_jobs"),
        ("create_index", "dead_jobs"),
        ("grant", "select (data), delete", "notifications"),
        ("create_policy", "owner_delete", "notifications"),
        ("create_trigger", "record_event", "notifications"),
        ("create_trigger", "count_update", "notifications"),
        ("create_trigger", "count_insert", "notifications"),
        ("create_trigger", "count_delete", "notifications"),
        ("enable_row_level_security", "dead_jobs"),
        ("grant", DEAD_JOBS_COLUMNS, "dead_jobs"),
        ("grant", "select, delete", "dead_jobs"),
        ("create_policy", "service_all", "dead_jobs"),
        ("create_policy", "admin_select", "dead_jobs"),
        ("create_trigger", "lifecycle_update", "dead_jobs"),
        ("create_trigger", "lifecycle_insert", "dead_jobs"),
    ]
    # They take its rows; without the table no file declares them, so that `migrate` has dropped them.
    owner = await asyncpg.connect(migrated)
    await owner.execute(
        "drop function app.retry_run_generation(dead_jobs, uuid), app.enqueue_dead_job(dead_jobs)"
    )
    await owner.close()
    await apply_and_undo(drafting, migrated)


# What somebody did to a database by hand, and what a draft does about it.
BY_HAND = {
    "drop table hair_colors cascade": [
        ("create_table", "hair_colors"),
        ("enable_row_level_security", "hair_colors"),
        (
            "create_policy",
            "public_select",
            "hair_colors",
            "for select to anon, authenticated using (true)",
        ),
        (
            "create_policy",
            "service_all",
            "hair_colors",
            "for all to service using (true) with check (true)",
        ),
        ("grant", "select (hex_code, sort_order)", "hair_colors", "anon, authenticated"),
        ("grant", "select, insert, update, delete", "hair_colors", "service"),
        (
            "create_trigger",
            "record_joint_event",
            "hair_colors",
            "after insert or update or delete",
            "for each row execute function"
            " app.record_joint_event('catalog.changed', 'hex_code', '{edited}')",
        ),
    ],
    "alter policy owner_select on profiles using (true)": [
        ("drop_policy", "owner_select", "profiles"),
        (
            "create_policy",
            "owner_select",
            "profiles",
            "for select to authenticated using (user_id = (select app.user_id()))",
        ),
    ],
    "create policy more on plans for select to anon using (false)": [
        ("drop_policy", "more", "plans")
    ],
    "grant select on wallets to anon": [("revoke", "select", "wallets", "anon")],
    "grant update on sessions to authenticated": [
        ("revoke", "update", "sessions", "authenticated")
    ],
    "grant select on profiles to authenticated": [
        ("revoke", f"select, {PROFILE_COLUMNS}", "profiles", "authenticated"),
        ("grant", PROFILE_COLUMNS, "profiles", "authenticated"),
    ],
    "alter table uploads disable row level security": [("enable_row_level_security", "uploads")],
    "alter table skin_colors drop column sort_order": [
        ("add_column", "skin_colors"),
        ("grant", "select (sort_order)", "skin_colors", "anon, authenticated"),
    ],
    "alter table database_epoch drop column dropped_xid": [("add_column", "database_epoch")],
    "alter table hairstyles add column length text;grant select (length) on hairstyles to anon": [
        ("drop_column", "hairstyles", "length")
    ],
    "alter table tools drop constraint ck_tools_type": [
        (
            "add_check",
            "ck_tools_type",
            "tools",
            "(type in ('TRANSFORMATION', 'FILTER', 'ANALYSIS'))",
        ),
    ],
    "alter table tools drop constraint ck_tools_credits_cost,"
    " add constraint ck_tools_credits_cost check (credits_cost >= 0)": [
        ("drop_check", "ck_tools_credits_cost", "tools"),
        ("add_check", "ck_tools_credits_cost", "tools", "(credits_cost between 0 and 1000)"),
    ],
    "alter table credit_entries disable trigger refuse_change": [
        ("drop_trigger", "refuse_change", "credit_entries"),
        (
            "create_trigger",
            "refuse_change",
            "credit_entries",
            "before update or delete",
            "for each row execute function app.refuse_change()",
        ),
    ],
}


async def test_what_somebody_changed_by_hand_is_put_right(migrated: str, drafting: Config) -> None:
    owner = await asyncpg.connect(migrated)
    for change in BY_HAND:
        await owner.execute(change)
    await owner.close()
    upgrade, _ = await asyncio.to_thread(draft, drafting)
    assert sorted(upgrade) == sorted(call for drafted in BY_HAND.values() for call in drafted)
    await apply_and_undo(drafting, migrated)
