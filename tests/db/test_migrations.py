"""Migrations match the tables, may be run again or at once, and can be undone and redone."""

from __future__ import annotations

import asyncio

import asyncpg
from alembic import command

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.migrations.migrate import alembic_config, migrate
from settings import Settings

from .rows import scratch_database

# Everything of ours in a database, as definitions that can be compared.
CATALOG_SQL = """
select c.oid::regclass::text || ' ' || c.relkind::text || c.relrowsecurity::text || ' '
    || coalesce(array(select unnest(c.relacl)::text order by 1)::text, '') as definition
from pg_class c where c.relnamespace::regnamespace::text in ('public', 'queue', 'app')
union all
select a.attrelid::regclass::text || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || a.attnotnull::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_attribute a join pg_class c on c.oid = a.attrelid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and c.relnamespace::regnamespace::text in ('public', 'queue')
union all select p.oid::regprocedure::text || md5(p.prosrc) || coalesce(p.proacl::text, '')
from pg_proc p where p.pronamespace::regnamespace::text in ('public', 'queue', 'app')
union all select pg_get_constraintdef(oid) from pg_constraint
union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
union all select pg_policies::text from pg_policies
"""
LEFT_OVER_SQL = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relname !~ '^alembic_version'
union all select n.nspname from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public')
union all select p.oid::regprocedure::text from pg_proc p
where p.pronamespace::regnamespace::text = 'public'
"""


async def catalog(owner_url: str) -> list[str]:
    """Everything of ours in the database, in order."""
    connection = await asyncpg.connect(owner_url)
    try:
        return sorted(row["definition"] for row in await connection.fetch(CATALOG_SQL))
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


async def test_every_migration_can_be_undone_and_done_again(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    async with scratch_database(cluster, "undone") as owner_url:
        await migrate(owner_url, settings)
        before = await catalog(owner_url)
        await asyncio.to_thread(command.downgrade, alembic_config(owner_url), "base")
        connection = await asyncpg.connect(owner_url)
        left_over = [row[0] for row in await connection.fetch(LEFT_OVER_SQL)]
        await connection.close()
        assert left_over == []
        await migrate(owner_url, settings)
        assert await catalog(owner_url) == before
