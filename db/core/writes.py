"""Simple writes: one row is created, changed or deleted, by functions made of the declarations.

Each table whose access lets clients write has them: `app.insert_<table>(given)`,
`app.update_<table>(wanted, given)` and `app.delete_<table>(wanted)`. They are functions, so that a
write and its payload are one statement in which the triggers of the write have run before the
payload is read. Where several tables or locks meet, a slice writes a function of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, JSON, Column, String, Table, Uuid

from db.core.access import Owner, SqlCommand, parts
from db.core.base import Base
from db.core.commands import FunctionCall, SqlFunction
from db.core.compiling import sql_type
from db.core.registry import models
from db.core.rls import condition

_FUNCTION = """
create or replace function {name}({takes}) returns uuid
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    written uuid;
begin
    {body}
    return written;
end;
$$;
grant execute on function {signature} to authenticated;
"""
_INSERT = """insert into public.{table} ({columns})
    values ({values}){conflict}
    returning {key} into written;"""
# Read by a statement of its own, which sees what another transaction has just committed.
_FIND = """
    if written is null then
        select t.{key} into written from public.{table} t
        where t.{owner} = actor_id and t.{client_key} = {given};
    end if;"""
_UPDATE = "update public.{table} t set {values}"
_DELETE = "delete from public.{table} t"
_WANTED = """
    where t.{key} = wanted and ({lawful}) returning t.{key} into written;
    if written is null then
        perform app.refuse('NOT_FOUND', 'There is no such {what}.', '{{"path": ["input", "id"]}}');
    end if;"""
_BETWEEN = ",\n        "


def create_row(model: type[Base], values: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Creates a row of the actor's with these values, by their columns' names; gives its key.

    With a value in the table's `client_key` that a row of the actor's has already, it gives that
    one, as it is.
    """
    return _function(model, "insert")(given=values)


def update_row(model: type[Base], key: UUID, values: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes these values of a row that the actor may change; NOT_FOUND for any other."""
    return _function(model, "update")(wanted=key, given=values)


def delete_row(model: type[Base], key: UUID) -> FunctionCall[UUID]:
    """Deletes a row that the actor may delete; NOT_FOUND for any other. Gives its key."""
    return _function(model, "delete")(wanted=key)


@cache
def _function(model: type[Base], command: str) -> SqlFunction[UUID]:
    arguments = {"wanted": "uuid", "given": "jsonb"}
    unused = {"insert": "wanted", "delete": "given"}.get(command)
    taken = {name: type_ for name, type_ in arguments.items() if name != unused}
    return SqlFunction[UUID](f"app.{command}_{model.__tablename__}", "uuid", **taken)


def write_functions() -> Iterator[str]:
    """The functions of all tables, as they are declared."""
    for model in models().values():
        access = model.access
        if access.offers("INSERT"):
            yield _sql(model, "insert", _inserting(model))
        if access.offers("UPDATE"):
            table = _table(model)
            pairs = [f"{name} = {_or_kept(table.c[name])}" for name in access.update]
            start = _UPDATE.format(table=table.name, values=_BETWEEN.join(pairs))
            yield _sql(model, "update", start + _of_wanted(model, "UPDATE"))
        if access.offers("DELETE"):
            start = _DELETE.format(table=model.__tablename__)
            yield _sql(model, "delete", start + _of_wanted(model, "DELETE"))


def _sql(model: type[Base], command: str, body: str) -> str:
    """A function with its caller's rights: grants and policies say what it may touch."""
    function = _function(model, command)
    return _FUNCTION.format(
        name=function.name,
        takes=", ".join(f"{name} {type_}" for name, type_ in function.arguments.items()),
        body=body,
        signature=f"{function.name}({', '.join(function.casts)})",
    )


def _inserting(model: type[Base]) -> str:
    table, access, client_key = _table(model), model.access, model.client_key
    owners = [part.column for part in parts(access.rule("INSERT")) if isinstance(part, Owner)]
    values = {
        name: "actor_id" if name in owners else _or_default(table.c[name]) for name in access.insert
    }
    names = {"table": table.name, "key": _key(table).name}
    repeated = conflict = ""
    if client_key is not None:
        (owner,) = owners
        conflict = f"\n    on conflict ({owner}, {client_key}) do nothing"
        given = _given(table.c[client_key])
        repeated = _FIND.format(**names, owner=owner, client_key=client_key, given=given)
    insert = _INSERT.format(
        **names,
        columns=", ".join(values),
        values=_BETWEEN.join(values.values()),
        conflict=conflict,
    )
    return insert + repeated


def _of_wanted(model: type[Base], command: SqlCommand) -> str:
    """To which row a command is done, and the refusal where there is none."""
    table, rule = _table(model), model.access.rule(command)
    return _WANTED.format(
        key=_key(table).name,
        lawful=condition(table, rule, command, "t.", schema="public."),
        what=re.sub("(?<!^)([A-Z])", r" \1", model.__name__).lower(),
    )


def _table(model: type[Base]) -> Table:
    return model.metadata.tables[model.__tablename__]


def _key(table: Table) -> Column[Any]:
    (key,) = table.primary_key
    if not isinstance(key.type, Uuid):
        raise TypeError(f"{table.name}: rows that clients write have a UUID for their key")
    return key


def _given(column: Column[Any]) -> str:
    """A column's value out of `given`; null when it is not there."""
    if isinstance(column.type, JSON):
        return f"nullif(given -> '{column.name}', 'null')"
    if isinstance(column.type, ARRAY):
        raise TypeError(f"{column.table.name}.{column.name}: lists are not written this way")
    text = f"given ->> '{column.name}'"
    # A cast to varchar(n) would cut a text off that is too long; storing it is refused.
    return text if isinstance(column.type, String) else f"({text})::{sql_type(column.type)}"


def _or_default(column: Column[Any]) -> str:
    given, default = _given(column), cast(Any, column.server_default)
    if default is None:
        return given
    # As SQLAlchemy has it: a plain string is a text, all else is SQL.
    always = f"'{default.arg}'" if isinstance(default.arg, str) else default.arg
    return f"coalesce({given}, {always})"


def _or_kept(column: Column[Any]) -> str:
    """The value given, else what the column declares for each update, else the one there is."""
    given, always = _given(column), cast(Any, column.onupdate)
    if always is not None:
        return f"coalesce({given}, {always.arg})"
    if column.nullable:
        return f"case when given ? '{column.name}' then {given} else t.{column.name} end"
    return f"coalesce({given}, t.{column.name})"
