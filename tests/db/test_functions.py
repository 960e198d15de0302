"""SQL functions: the database has those of the files, and migrating replaces what changed, no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from db.core.erasing_functions import erasing_functions
from db.core.functions import Function, outdated, read_functions, replace_functions, statements
from db.core.groups import group_functions
from db.core.merging import merge_functions
from db.core.own_values import own_values_functions
from db.core.rereading import reread_functions
from db.core.writes import write_functions
from db.embedded.database import EmbeddedDatabase
from db.migrations.functions import (
    DB,
    FUNCTION_FILES,
    ForeignDatabaseError,
    declared_functions,
    in_order,
    newest_revision,
    refuse_outdated,
)
from db.migrations.migrate import alembic_config

FUNCTIONS_SQL = """
select p.oid::regprocedure::text as signature, pg_get_function_arguments(p.oid) as arguments,
       pg_get_function_result(p.oid) as result, md5(p.prosrc) as body, p.prosecdef as definer,
       p.proconfig as settings, p.provolatile as volatility,
       array(select acl.grantee::regrole::text || ' ' || acl.privilege_type from aclexplode(
             coalesce(p.proacl, acldefault('f', p.proowner))) acl order by 1) as callers
from pg_proc p where p.pronamespace = 'app'::regnamespace
"""
CREATE_UPLOAD = "app.create_upload(text, bigint)"
OPEN = "revoke all on all functions in schema app from public, anon, authenticated, service"


@pytest.fixture
async def undone(owner: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The owner, in a transaction that is rolled back."""
    transaction = owner.transaction()
    await transaction.start()
    yield owner
    await transaction.rollback()


async def found(connection: asyncpg.Connection) -> dict[str, tuple[object, ...]]:
    """What the database says of every function of ours."""
    return {row["signature"]: tuple(row) for row in await connection.fetch(FUNCTIONS_SQL)}


async def run_the_files(connection: asyncpg.Connection) -> None:
    """Makes every function as its text stands there, with no other callers than the text names."""
    await connection.execute(OPEN)
    for name in FUNCTION_FILES:
        await connection.execute((DB / name).read_text())
    generated = (
        group_functions,
        own_values_functions,
        reread_functions,
        write_functions,
        erasing_functions,
        merge_functions,
    )
    for text in (text for make in generated for text in make()):
        await connection.execute(text.replace("create function", "create or replace function"))


def test_a_function_in_sql_is_made_after_those_it_calls() -> None:
    header = "create function app.{}() returns integer language {} as $$ {} $$"
    texts = (
        header.format("a", "sql", "select app.c()"),
        header.format("b", "plpgsql", "begin return app.d(); end"),
        header.format("c", "SQL", "select app.b() + app.b () + app.e()"),
        header.format("d", "sql", "select 1"),
    )
    made = [function.name.removeprefix("app.") for function in in_order(read_functions(texts))]
    assert sorted(made) == ["a", "b", "c", "d"]
    assert made.index("b") < made.index("c") < made.index("a")


async def test_the_databases_functions_are_those_of_the_files(undone: asyncpg.Connection) -> None:
    migrated = await found(undone)
    await run_the_files(undone)
    assert await found(undone) == migrated
    assert len(migrated) == len(declared_functions()) > 100


@pytest.mark.parametrize(
    ("change", "signature"),
    [
        (f"alter function {CREATE_UPLOAD} security invoker", "app.create_upload(text,bigint)"),
        (f"alter function {CREATE_UPLOAD} reset all", "app.create_upload(text,bigint)"),
        (f"grant execute on function {CREATE_UPLOAD} to anon", "app.create_upload(text,bigint)"),
        (
            f"revoke execute on function {CREATE_UPLOAD} from authenticated",
            "app.create_upload(text,bigint)",
        ),
        (
            "create or replace function app.is_admin() returns boolean language sql stable"
            " security definer set search_path = pg_catalog, pg_temp as 'select true'",
            "app.is_admin()",
        ),
        ("drop function app.set_tool_active(text, boolean)", "app.set_tool_active(text,boolean)"),
    ],
)
async def test_what_somebody_changed_is_noticed_and_only_that_is_made_again(
    undone: asyncpg.Connection, change: str, signature: str
) -> None:
    migrated = await found(undone)
    await undone.execute(change)
    other = await found(undone)
    assert {name for name in migrated if other.get(name) != migrated[name]} == {signature}
    done = await replace_functions(undone, declared_functions(), "9999")
    assert [name.replace(", ", ",") for name in done] == [signature]
    assert await found(undone) == migrated
    assert await replace_functions(undone, declared_functions(), "9999") == []


def release(*texts: str) -> tuple[Function, ...]:
    """What a release declares: ours, and functions of a test."""
    return (*declared_functions(), *read_functions(texts))


BEFORE = "create function app.greet(name text) returns text language sql return 'Hello ' || name;"
AFTER = """
create function app.greet(name text, loud boolean) returns text
language sql return 'Hello ' || upper(name);
grant execute on function app.greet(text, boolean) to anon;
"""


async def test_an_older_overload_goes_when_the_release_without_it_has_been_out(
    undone: asyncpg.Connection,
) -> None:
    await replace_functions(undone, release(BEFORE), "1")
    for _ in range(2):  # a second node migrates too, and servers of release 1 still run
        await replace_functions(undone, release(AFTER), "2")
        assert await undone.fetchval("select app.greet('Ada'::text)") == "Hello Ada"
    assert await replace_functions(undone, release(AFTER), "3") == ["app.greet(text)"]
    assert "app.greet(text)" not in await found(undone)


@pytest.mark.parametrize(
    ("text", "is_left", "answer"),
    [
        (AFTER.replace("loud boolean", "loud boolean default true"), False, "Hello ADA"),
        (BEFORE.replace("name text", "name name, times integer default 1"), True, "Hello Ada"),
    ],
)
async def test_an_older_overload_goes_at_once_when_its_calls_could_mean_the_new_one(
    undone: asyncpg.Connection, text: str, is_left: bool, answer: str
) -> None:
    await replace_functions(undone, release(BEFORE), "1")
    await replace_functions(undone, release(text), "2")
    assert ("app.greet(text)" in await found(undone)) == is_left
    assert await undone.fetchval("select app.greet('Ada'::text)") == answer


async def test_an_overload_that_comes_back_is_not_dropped(undone: asyncpg.Connection) -> None:
    for number, texts in enumerate([(BEFORE,), (AFTER,), (BEFORE, AFTER), (BEFORE, AFTER)]):
        await replace_functions(undone, release(*texts), str(number))
    assert {"app.greet(text)", "app.greet(text,boolean)"} <= (await found(undone)).keys()


async def test_on_a_new_database_nothing_waits_for_older_servers(
    undone: asyncpg.Connection,
) -> None:
    await replace_functions(undone, release(BEFORE), "")
    assert await replace_functions(undone, release(AFTER), "") == [
        "app.greet(text, boolean)",
        "app.greet(text)",
    ]


async def test_what_a_trigger_needs_is_never_dropped(undone: asyncpg.Connection) -> None:
    stopping = "create function app.stop() returns trigger language plpgsql as 'begin end';"
    await replace_functions(undone, release(stopping), "1")
    await undone.execute(
        "create trigger stop after delete on tools for each row execute function app.stop()"
    )
    for number in "234":
        await replace_functions(undone, release(), number)
    assert "app.stop()" in await found(undone)


@pytest.mark.parametrize(
    "text",
    [
        BEFORE.replace("'Hello '", "'Good day, '"),
        BEFORE.replace("returns text", "returns varchar"),
        BEFORE.replace("greet(name", "greet(whom").replace("|| name", "|| whom"),
        BEFORE + "grant execute on function app.greet(text) to authenticated;",
    ],
    ids=["body", "result", "argument", "callers"],
)
async def test_a_server_knows_whether_the_database_is_older(
    undone: asyncpg.Connection, text: str
) -> None:
    older, newer = release(BEFORE), release(text)
    for functions, wanting in ((older, newer), (newer, None), (older, newer)):
        await replace_functions(undone, functions, "1")
        assert await outdated(undone, older) == []
        assert await outdated(undone, newer) == (["app.greet"] if wanting else [])
    assert (await found(undone))["app.greet(text)"][-1] == ["tallygraph_owner EXECUTE"]


async def test_a_database_of_an_older_release_is_refused_by_name(
    undone: asyncpg.Connection,
) -> None:
    await refuse_outdated(undone)
    await undone.execute(f"comment on function {CREATE_UPLOAD} is null")
    with pytest.raises(ForeignDatabaseError, match=r"app\.create_upload .*`tallygraph migrate`"):
        await refuse_outdated(undone)


def test_a_release_that_has_only_a_new_migration_is_newer_too(cluster: EmbeddedDatabase) -> None:
    script = ScriptDirectory.from_config(alembic_config(cluster.owner_url))
    assert newest_revision() == script.get_current_head()
    (noted,) = (one for one in declared_functions() if one.name == "app.schema_revision")
    assert f"'{newest_revision()}'" in noted.text


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("create table app.more ();", "migration: create table"),
        ("select app.user_id();", "migration: select"),
        ("grant execute on function app.greet(integer) to anon;", "not made: app.greet"),
        (BEFORE + BEFORE, "twice"),
    ],
)
def test_files_have_nothing_but_functions_and_their_callers(text: str, refusal: str) -> None:
    with pytest.raises(ValueError, match=refusal):
        read_functions([text])


def test_statements_end_where_postgres_ends_them() -> None:
    text = """
    -- a comment; with a semicolon
    select ';', $$ ; $$, $a$ ; $$ ; $a$; /* one; more */ select 'it''s;'
    """
    assert list(statements(text)) == ["select ';', $$ ; $$, $a$ ; $$ ; $a$", "select 'it''s;'"]
