"""Migrations match the tables, may be run again or at once, and can be undone and redone."""

from __future__ import annotations

import asyncio
from itertools import islice

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from structlog.testing import capture_logs

from db.core.functions import read_functions
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.migrations import migrate as migrating
from db.migrations.functions import ForeignDatabaseError, newest_revision
from db.migrations.migrate import alembic_config, migrate
from settings import Settings

from .rows import fill, migrated_database, scratch_database

Stored = dict[str, list[str | None]]

# Everything of ours in a database, as definitions that can be compared.
TABLES_SQL = """
select c.oid::regclass::text || ' ' || c.relkind::text || c.relrowsecurity::text || ' '
    || coalesce(array(select unnest(c.relacl)::text order by 1)::text, '') as definition
from pg_class c where c.relnamespace::regnamespace::text in ('public', 'queue', 'app')
union all
select a.attrelid::regclass::text || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || a.attnotnull::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    || coalesce(array(select unnest(a.attacl)::text order by 1)::text, '')
from pg_attribute a join pg_class c on c.oid = a.attrelid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped
    and c.relnamespace::regnamespace::text in ('public', 'queue')
union all select pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace::regnamespace::text in ('public', 'queue')
union all select pg_get_indexdef(indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace::regnamespace::text in ('public', 'queue')
union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
union all select pg_policies::text from pg_policies
"""
CATALOG_SQL = f"""
{TABLES_SQL}
union all select p.oid::regprocedure::text || md5(p.prosrc) || coalesce(p.proacl::text, '')
from pg_proc p where p.pronamespace::regnamespace::text in ('public', 'queue', 'app')
"""
COLUMNS_SQL = """
select a.attrelid::regclass::text, array_agg(quote_ident(a.attname) order by a.attnum)
from pg_attribute a join pg_class c on c.oid = a.attrelid
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p')
    and c.relnamespace::regnamespace::text in ('public', 'queue') and c.relname <> 'alembic_version'
group by 1
"""
LEFT_OVER_SQL = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relname !~ '^alembic_version'
union all select n.nspname from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public')
union all select p.oid::regprocedure::text from pg_proc p
where p.pronamespace::regnamespace::text = 'public'
"""


# Rows of kinds that an older schema has no place for.
AWKWARD_ROWS = (
    # Two accounts of one address, and deleted photos: one that nothing was made from, one that is used.
    "insert into users (email, email_key) values ('v@xn--mnchen-3ya.example', 'v@xn--mnchen-3ya.example')",
    "insert into users (email) values ('v@münchen.example')",
    "insert into audit_log (user_id, action) select id, 'email_shared_with_older_account' from users"
    " where email = 'v@münchen.example'",
    "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
    " select user_id, content_type, 1, expires_at from uploads limit 1",
    "update uploads set status = 'DELETED' where declared_size_bytes = 1"
    " or id in (select upload_id from generations)",
    # A generation that is running, and one that follows it.
    "update generations set status = 'RUNNING', attempts = 1, mask_upload_id = upload_id, enqueued_at = now()",
    "insert into generations (user_id, tool_id, upload_id, parameters, cache_key, follows_id)"
    ' select user_id, tool_id, upload_id, \'{"mask": "before"}\', cache_key, id from generations limit 1',
    "update plans set price_cents = null",
)
# Tables that lose or get rows, and columns that get other values, when a migration is undone or done.
REWRITTEN = {
    "1181": {"products.kind", "products.credits", "products.is_active"},
    "1051": {"partners.status", "events"},
    "0900": {'sync_heads."position"'},
    "0180": {"events"},
    "0110": {"plans.price_cents"},
    "0100": {"audit_log"},
    "0080": {"generations.parameters", "events"},
    "0042": {"queue.pgqueuer_schedules"},
    "0040": {"generations.cache_key", "events"},
    "0030": {"uploads"},
    "0020": {"credit_entries.account", "credit_transactions.type"},
}


async def catalog(owner_url: str, sql: str = CATALOG_SQL) -> list[str]:
    """Everything of ours in the database, in order."""
    connection = await asyncpg.connect(owner_url)
    try:
        return sorted(row["definition"] for row in await connection.fetch(sql))
    finally:
        await connection.close()


async def test_the_migrations_make_exactly_the_declared_tables(
    cluster: EmbeddedDatabase, database: Database
) -> None:
    await asyncio.to_thread(command.check, alembic_config(cluster.owner_url))


async def test_migrating_again_changes_nothing(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    before = await catalog(cluster.owner_url)
    await migrate(cluster.owner_url, settings)
    assert await catalog(cluster.owner_url) == before
    assert len(before) > 300


async def test_two_processes_may_migrate_an_empty_database_at_once(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    async with scratch_database(cluster, "raced") as owner_url:
        await asyncio.gather(migrate(owner_url, settings), migrate(owner_url, settings))
        assert await catalog(owner_url) == await catalog(cluster.owner_url)


async def stored(owner: asyncpg.Connection) -> Stored:
    """The values of every column, by table and column, each in the order of the rows' texts."""
    found: Stored = {}
    for row in await owner.fetch(COLUMNS_SQL):
        values = ", ".join(
            f"array_agg({column}::text order by {column}::text)" for column in row[1]
        )
        lists = await owner.fetchrow(f"select {values} from {row[0]}")
        assert lists is not None
        for column, texts in zip(row[1], lists, strict=True):
            found[f"{row[0]}.{column}"] = texts or []
    return found


async def test_an_older_release_leaves_a_newer_database_alone(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    owner = await asyncpg.connect(cluster.owner_url)
    try:
        await owner.execute("update alembic_version set version_num = '9999'")
        with pytest.raises(ForeignDatabaseError, match=r"9999.*newer"):
            await migrate(cluster.owner_url, settings)
    finally:
        await owner.execute(f"update alembic_version set version_num = '{newest_revision()}'")
        await owner.close()


# From the newest revision but one, and from nothing.
@pytest.mark.parametrize(
    "template", ["migrated", pytest.param("template1", marks=pytest.mark.nightly)]
)
async def test_a_migration_whose_functions_cannot_be_made_changes_nothing(
    cluster: EmbeddedDatabase,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
) -> None:
    broken = read_functions(["create function app.broken() returns nowhere language sql return 1;"])
    async with scratch_database(cluster, "broken", template) as owner_url:
        if template == "migrated":
            await asyncio.to_thread(command.downgrade, alembic_config(owner_url), "-1")
        before = await catalog(owner_url)
        with monkeypatch.context() as patched:
            patched.setattr(migrating, "declared_functions", lambda: broken)
            with pytest.raises(asyncpg.UndefinedObjectError):
                await migrate(owner_url, settings)
        assert await catalog(owner_url) == before
        await migrate(owner_url, settings)
        assert await catalog(owner_url) == await catalog(cluster.owner_url)


async def test_what_follows_the_migrations_waits_for_a_busy_table_too(
    cluster: EmbeddedDatabase,
    owner: asyncpg.Connection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrating, "PAUSES_SECONDS", (0, 0, 0))
    async with owner.transaction():
        await owner.execute("delete from quota_limits where slice = 'profiles'")
        migration = asyncio.create_task(migrate(cluster.owner_url, settings))
        with capture_logs() as logs:
            while not logs and not migration.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    await migration
    assert [line["event"] for line in logs][:1] == ["migrate.tables_are_busy"]
    assert await owner.fetchval("select count(*) from quota_limits where slice = 'profiles'") == 2


def changed(before: Stored, after: Stored) -> set[str]:
    """Tables that have more or fewer rows, and columns whose values are not the same."""
    return {
        name.rpartition(".")[0] if len(before[name]) != len(after[name]) else name
        for name in before.keys() & after.keys()
        if before[name] != after[name]
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "newest",
    [
        pytest.param(20, id="newest"),
        # A released migration never changes: whether it still can be undone is asked at night.
        pytest.param(1_000, id="all", marks=pytest.mark.nightly),
    ],
)
async def test_migrations_can_be_undone_and_done_again_with_rows_in_the_tables(
    cluster: EmbeddedDatabase,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    newest: int,
) -> None:
    async with migrated_database(cluster, settings, "undone") as owner_url:
        whole = await catalog(owner_url)
        owner = await asyncpg.connect(owner_url)
        await fill(owner)
        for statement in AWKWARD_ROWS:
            await owner.execute(statement)
        config = alembic_config(owner_url)
        scripts = ScriptDirectory.from_config(config)
        # Each command would read all the migrations again.
        monkeypatch.setattr(ScriptDirectory, "from_config", lambda _: scripts)
        for revision in islice(scripts.walk_revisions(), newest):
            made, held = await catalog(owner_url, TABLES_SQL), await stored(owner)
            await asyncio.to_thread(command.downgrade, config, "-1")
            undone = await stored(owner)
            await asyncio.to_thread(command.upgrade, config, "+1")
            assert await catalog(owner_url, TABLES_SQL) == made, revision.revision
            done_again = await stored(owner)
            lost = changed(held, undone) | changed(undone, done_again)
            assert lost == REWRITTEN.get(revision.revision, set()), revision.revision
            await asyncio.to_thread(command.downgrade, config, "-1")
        await asyncio.to_thread(command.downgrade, config, "base")
        left_over = [row[0] for row in await owner.fetch(LEFT_OVER_SQL)]
        await owner.close()
        assert left_over == []
        await migrate(owner_url, settings)
        assert await catalog(owner_url) == whole
