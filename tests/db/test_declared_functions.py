"""Every SQL function that Python calls is declared in a slice's operations, as the database has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from db.core import retention  # noqa: F401 -- declares some
from db.core.commands import SqlFunction, declared_functions
from db.core.functions import Note
from db.core.pool import Database
from db.core.writes import write_functions
from graph.engine.specs import Report, spec_of
from graph.schema import build_schema
from tests.running import ROOT

SIGNATURE_SQL = """
select coalesce(p.proargnames[1:p.pronargs], '{}') as names,
       array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n) as types,
       case when p.proallargtypes is null then format_type(p.prorettype, null)
       else case when p.proretset then 'table' else 'record' end || '(' || (
           select string_agg(p.proargnames[n] || ' ' || format_type(t, null), ', ' order by n)
           from unnest(p.proallargtypes, p.proargmodes) with ordinality a (t, mode, n)
           where mode in ('o', 't')) || ')' end as returns
from pg_proc p where p.pronamespace::regnamespace::text || '.' || p.proname = $1
"""
PACKAGES = ("auth", "cli", "db", "graph", "jobs", "payments", "server")
# What tables are made of: policies, triggers, and functions made of declarations.
FOUNDATION = ("db/core/", "db/migrations/")
# Triggers are declared with their table and call their functions themselves.
CALL = re.compile(r"(?<!execute function )\bapp\.(\w+)\s*\(|^app\.(\w+)$")


def operations() -> list[Path]:
    """The modules that may name functions of the database."""
    return sorted((ROOT / "db").glob("*/operations.py"))


def named_functions(source: str) -> Iterator[str]:
    """The functions of the database that a module names, in texts and as `func.app.…`."""
    nodes = list(ast.walk(ast.parse(source)))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            for called, whole in CALL.findall(node.value):
                yield called or whole
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "func.app":
            yield node.attr


def undeclared(source: str, *, may_declare: bool) -> set[str]:
    """The functions that a module names without a declaration."""
    declared = {function.name for function in declared_functions()} if may_declare else set()
    return {name for name in named_functions(source) if f"app.{name}" not in declared}


@pytest.fixture(scope="module")
def declared() -> dict[str, SqlFunction[Any]]:
    """Every declaration of every slice."""
    for path in operations():
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    list(write_functions())  # declares what it makes
    return {function.name: function for function in declared_functions()}


async def faults(owner: asyncpg.Connection, function: SqlFunction[Any]) -> list[str]:
    """In what a declaration differs from the database."""
    found = await owner.fetch(SIGNATURE_SQL, function.name)
    if len(found) != 1:
        return [f"{function.name}: {len(found)} functions have this name"]
    asked = [
        await owner.fetchval("select format_type($1::regtype, null)", t) for t in function.casts
    ]
    pairs = {
        "arguments": (list(function.arguments), found[0]["names"]),
        "types": (asked, found[0]["types"]),
        "result": (function.returns, found[0]["returns"]),
    }
    return [
        f"{function.name}: {what} are {here}, the database has {there}"
        for what, (here, there) in pairs.items()
        if here != there
    ]


async def test_every_declaration_is_what_the_database_has(
    database: Database, owner: asyncpg.Connection, declared: dict[str, SqlFunction[Any]]
) -> None:
    assert len(declared) > 25
    found = [fault for function in declared.values() for fault in await faults(owner, function)]
    assert found == []


WRONG = {
    "arguments": {"reason": "text", "amount": "integer", "reference_id": "text", "idempotency_key": "text"},
    "types": {"amount": "bigint", "reason": "text", "reference_id": "text", "idempotency_key": "text"},
    "result": {"amount": "integer", "reason": "text", "reference_id": "text", "idempotency_key": "text"},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
async def test_a_declaration_that_differs_is_noticed(
    database: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("db.core.commands._declared", {})
    wrong = SqlFunction[Any](
        "app.spend_credits", "text" if what == "result" else "uuid", **WRONG[what]
    )
    (first, *_) = await faults(owner, wrong)
    assert first.startswith(f"app.spend_credits: {what} are")
    with pytest.raises(ValueError, match="twice"):
        SqlFunction[Any]("app.spend_credits", "uuid")


def test_nothing_else_names_a_function(declared: dict[str, SqlFunction[Any]]) -> None:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith(FOUNDATION):
                names = undeclared(path.read_text(), may_declare=path in operations())
                found |= {place: names} if names else {}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'rows = run("select app.spend_credits(1)")',
        'SQL = text("select * from app.spend_credits (:a)")',
        "func.app.spend_credits(a)",
        'Function("app.spend_credits")',
    ],
)
def test_a_call_that_nobody_declared_is_noticed(
    source: str, declared: dict[str, SqlFunction[Any]]
) -> None:
    assert undeclared(source, may_declare=False) == {"spend_credits"}
    assert undeclared(source, may_declare=True) == set()
    assert undeclared(source.replace("spend", "give_away"), may_declare=True)


def test_a_call_gives_every_argument_by_its_name(declared: dict[str, SqlFunction[Any]]) -> None:
    spend = declared["app.spend_credits"]
    given = {"idempotency_key": "k", "amount": 1, "reference_id": None, "reason": "r"}
    assert spend(**given).values == (1, "r", None, "k")
    for wrong in ({"amount": 1}, given | {"more": 1}):
        with pytest.raises(TypeError, match=r"app\.spend_credits takes amount, reason"):
            spend(**wrong)


def test_reports_show_the_columns_that_their_functions_return() -> None:
    shown = {}
    for graph_type in build_schema()._schema.type_map.values():
        for field in getattr(graph_type, "fields", {}).values():
            spec = spec_of(field) if hasattr(field, "extensions") else None
            if isinstance(spec, Report):
                columns = ", ".join(
                    f"{name} {type_.compile(dialect=asyncpg_dialect())}"
                    for name, type_ in spec.columns
                )
                shown[spec.function.returns] = f"table({columns})".lower()
    assert len(shown) == 11
    assert list(shown.values()) == [
        r.replace("timestamptz", "timestamp with time zone") for r in shown
    ]


def test_a_note_of_a_function_that_somebody_else_made_can_be_read_again() -> None:
    for note in (Note(retired="0200"), Note("a", "b", ("c",), "0200"), Note("a", "b"), Note()):
        assert Note.of(note.comment) == note
    assert Note.of("tallygraph retired:0200") == Note(retired="0200")
