"""Compares what tables declare beside their columns with the database, and drafts the difference.

The declarations are made in a schema of their own, in a transaction that is rolled back, so that both
sides are in Postgres's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import CreateTableOp, UpgradeOps
from alembic.util import DispatchPriority
from sqlalchemy import CheckConstraint, Connection, Dialect, MetaData, Table, text
from sqlalchemy.exc import DBAPIError

from db.core.declarations import declared_statements
from db.core.functions import Function
from db.core.registry import models
from db.migrations.functions import declared_functions
from db.migrations.operations import (
    AddCheck,
    CreateFunction,
    CreatePolicy,
    CreateTrigger,
    DisableRowLevelSecurity,
    DropCheck,
    DropPolicy,
    DropTrigger,
    EnableRowLevelSecurity,
    Grant,
    Revoke,
    StatementOperation,
)

DECLARED = "declared"
ALEMBICS = "alembic_version"
PRIVILEGES = (
    "select",
    "insert",
    "update",
    "delete",
    "truncate",
    "references",
    "trigger",
    "maintain",
)
_POLICY = re.compile(r"create policy (\S+) on \S+ (.+)", re.IGNORECASE | re.DOTALL)
_TRIGGER = re.compile(r"create trigger (\S+) (.+?) on \S+ (.+)", re.IGNORECASE | re.DOTALL)
_CALLED = re.compile(r"app\.\w+")
_TABLES = """
select c.relname, c.relrowsecurity, array(
    select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0) as columns
from pg_class c where c.relnamespace = to_regnamespace(:schema) and c.relkind in ('r', 'p')
"""
_POLICIES = """
select c.relname, p.polname, case when p.polpermissive then '' else 'as restrictive ' end || 'for '
    || case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
       when 'd' then 'delete' else 'all' end
    || ' to ' || (select string_agg(case r when 0 then 'public' else r::regrole::text end, ', '
                                    order by r::regrole::text) from unnest(p.polroles) r)
    || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
    || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
from pg_policy p join pg_class c on c.oid = p.polrelid
where c.relnamespace = to_regnamespace(:schema)
"""
_TRIGGERS = """
select c.relname, t.tgname, pg_get_triggerdef(t.oid, true) || case t.tgenabled when 'O' then ''
    else ' /* not as it was made */' end
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = to_regnamespace(:schema) and not t.tgisinternal
"""
_CHECKS = """
select c.relname, k.conname, substr(pg_get_constraintdef(k.oid), length('CHECK ') + 1)
from pg_constraint k join pg_class c on c.oid = k.conrelid
where k.contype = 'c' and c.relnamespace = to_regnamespace(:schema)
"""
# Of whole tables and of single columns, of everybody but the owner.
_PRIVILEGES = """
with granted as (
    select c.oid, c.relowner, 0 as place, '' as column_name, acl.*
    from pg_class c, aclexplode(c.relacl) acl where c.relkind in ('r', 'p')
    union all
    select c.oid, c.relowner, a.attnum, a.attname, acl.*
    from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) acl)
select c.relname, lower(g.privilege_type), g.column_name,
       case g.grantee when 0 then 'public' else g.grantee::regrole::text end, g.place
from granted g join pg_class c using (oid)
where c.relnamespace = to_regnamespace(:schema) and g.grantee <> g.relowner
"""


@dataclass(frozen=True)
class Privilege:
    """What one role may do with a table, or with one column of it, which has its place there."""

    name: str
    column: str
    role: str
    place: int = field(compare=False)


@dataclass
class Beside:
    """What a table has beside its columns; policies, triggers and checks by name, as texts."""

    secured: bool = False
    columns: frozenset[str] = frozenset()
    policies: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    privileges: set[Privilege] = field(default_factory=set)


Found = dict[str, Beside]


@dataclass(frozen=True)
class Declared:
    """What the declarations make: in Postgres's words, and in those they are written in."""

    found: Found
    written: Found
    missing: list[Function]


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)
def compare_declarations(context: AutogenContext, upgrade: UpgradeOps, _: object) -> None:
    """Adds what brings the database up to the declarations: removals first, the rest at the end."""
    connection, metadata = context.connection, context.metadata
    assert connection is not None
    assert isinstance(metadata, MetaData)
    with _undone(connection):
        present = _read(connection, "public")
    with _undone(connection):
        declared = _declare(connection, metadata)
    removed: list[MigrateOperation] = []
    added: list[StatementOperation] = []
    for table in sorted(present.keys() | declared.found.keys()):
        before, after = present.get(table), declared.found.get(table)
        removed += _removals(table, before or Beside(), after or Beside(), implied=after is None)
        if after is not None:
            written = declared.written[table]
            added += _additions(table, before or Beside(), after, written, vanishes=before is None)
    for operation in upgrade.ops:
        if isinstance(operation, CreateTableOp):
            operation.info.clear()  # the declarations: Alembic would draft them as Python
    upgrade.ops[:0] = removed
    upgrade.ops += [*_functions(declared.missing, added), *added]


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    transaction = connection.begin_nested()
    try:
        yield
    finally:
        transaction.rollback()


def _read(connection: Connection, schema: str) -> Found:
    """What the tables of a schema have; names of the schema's own are not qualified."""
    connection.execute(text(f"set local search_path = {schema}"))

    def rows(sql: str) -> Iterable[tuple[Any, ...]]:
        return connection.execute(text(sql), {"schema": schema})

    found = {
        table: Beside(secured, frozenset(columns))
        for table, secured, columns in rows(_TABLES)
        if table != ALEMBICS
    }
    for table, name, policy in rows(_POLICIES):
        found[table].policies[name] = policy
    for table, name, trigger in rows(_TRIGGERS):
        found[table].triggers[name] = trigger
    for table, name, check in rows(_CHECKS):
        found[table].checks[name] = check
    for table, *privilege in rows(_PRIVILEGES):
        if table in found:
            found[table].privileges.add(Privilege(*privilege))
    return found


def _declare(connection: Connection, metadata: MetaData) -> Declared:
    """Makes the declared tables with all they declare, in a schema of their own."""
    missing = _make_missing_functions(connection)
    connection.execute(text(f"create schema {DECLARED}"))
    connection.execute(text(f"set local search_path = {DECLARED}"))
    metadata.create_all(connection, checkfirst=False)
    written: Found = {}
    for name, model in models().items():
        if name in metadata.tables:
            table = metadata.tables[name]
            statements = list(declared_statements(table, model))
            written[name] = _written(statements)
            written[name].checks = _checks(table, connection.dialect)
            for statement in statements:
                connection.exec_driver_sql(statement)
    return Declared(_read(connection, DECLARED), written, missing)


def _written(statements: Iterable[str]) -> Beside:
    """Policies and triggers as the declarations write them."""
    found = Beside()
    for statement in statements:
        if policy := _POLICY.fullmatch(statement):
            found.policies[policy[1]] = policy[2]
        elif trigger := _TRIGGER.fullmatch(statement):
            found.triggers[trigger[1]] = statement
    return found


def _checks(table: Table, dialect: Dialect) -> dict[str, str]:
    """A table's check constraints as they are declared."""
    named = dialect.identifier_preparer.format_constraint
    return {
        str(named(constraint)): f"({constraint.sqltext})"
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }


def _make_missing_functions(connection: Connection) -> list[Function]:
    """Functions that the declarations may call and that the next `migrate` would make."""
    known = text("select to_regprocedure(:signature) is not null")
    missing = [
        function
        for function in declared_functions()
        if not connection.scalar(known, {"signature": function.signature})
    ]
    connection.execute(text("set local check_function_bodies = off"))
    for function in missing:
        # One may need a table that is new as well; no policy calls such a function.
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(function.text)
    return missing


def _functions(
    missing: list[Function], added: list[StatementOperation]
) -> Iterator[StatementOperation]:
    """The missing functions that new policies and triggers call."""
    texts = " ".join(" ".join(statement.arguments) for statement in added)
    called = set(_CALLED.findall(texts))
    for function in missing:
        if function.name in called:
            yield CreateFunction(function.signature, function.text)


def _removals(
    table: str, before: Beside, after: Beside, *, implied: bool
) -> Iterator[StatementOperation]:
    """What the database has and the declarations do not; `implied` when the table goes."""
    for name, trigger in sorted(before.triggers.items()):
        if after.triggers.get(name) != trigger:
            yield DropTrigger(name, table, *_parts(trigger), implied=implied)
    for name, policy in sorted(before.policies.items()):
        if after.policies.get(name) != policy:
            yield DropPolicy(name, table, policy, implied=implied)
    gone = _lost(before, after)
    for with_column in (False, True):
        chosen = {
            p for p in gone if (p.column != "" and p.column not in after.columns) == with_column
        }
        for privileges, roles in _grouped(chosen):
            yield Revoke(privileges, table, roles, implied=implied or with_column)
    for name, check in sorted(before.checks.items()):
        if not implied and after.checks.get(name) != check:
            yield DropCheck(name, table, check)
    if before.secured and implied:
        yield DisableRowLevelSecurity(table, implied=True)


def _additions(
    table: str, before: Beside, after: Beside, written: Beside, *, vanishes: bool
) -> Iterator[StatementOperation]:
    """What is declared and the database does not have; it `vanishes` with a table that is new."""
    if not before.secured:
        yield EnableRowLevelSecurity(table, vanishes=vanishes)
    for name, check in sorted(after.checks.items()):
        if not vanishes and before.checks.get(name) != check:
            yield AddCheck(name, table, written.checks[name])
    for name, policy in after.policies.items():
        if before.policies.get(name) != policy:
            yield CreatePolicy(name, table, written.policies[name], vanishes=vanishes)
    new = after.privileges - (before.privileges - _lost(before, after))
    for with_column in (False, True):
        chosen = {
            p for p in new if (p.column != "" and p.column not in before.columns) == with_column
        }
        for privileges, roles in _grouped(chosen):
            yield Grant(privileges, table, roles, vanishes=vanishes or with_column)
    for name, trigger in after.triggers.items():
        if before.triggers.get(name) != trigger:
            yield CreateTrigger(name, table, *_parts(written.triggers[name]), vanishes=vanishes)


def _lost(before: Beside, after: Beside) -> set[Privilege]:
    """What is to be revoked. With a privilege on a whole table go those on its columns."""
    gone = before.privileges - after.privileges
    whole = {(privilege.name, privilege.role) for privilege in gone if not privilege.column}
    return gone | {p for p in before.privileges if (p.name, p.role) in whole}


def _parts(trigger: str) -> tuple[str, str]:
    """What stands before a trigger's table, and what follows it."""
    found = _TRIGGER.match(trigger)
    assert found is not None
    return found[2], found[3]


def _grouped(privileges: set[Privilege]) -> Iterator[tuple[str, str]]:
    """As few grants as say the same: privileges with their columns, and roles."""

    def in_order(one: Privilege) -> tuple[int, bool, int]:
        return PRIVILEGES.index(one.name), one.column != "", one.place

    roles: dict[str, list[str]] = {}
    for role in sorted({one.role for one in privileges}):
        columns: dict[tuple[str, bool], list[str]] = {}
        for one in sorted((one for one in privileges if one.role == role), key=in_order):
            columns.setdefault((one.name, one.column != ""), []).append(one.column)
        texts = [
            f"{name} ({', '.join(listed)})" if of_columns else name
            for (name, of_columns), listed in columns.items()
        ]
        roles.setdefault(", ".join(texts), []).append(role)
    for granted, named in roles.items():
        yield granted, ", ".join(named)
