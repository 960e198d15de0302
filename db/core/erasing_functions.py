"""The function that erases an account in pieces, made of what tables declare."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.erasing import (
    Anonymise,
    Call,
    Delete,
    ErasingRule,
    GoesWith,
    Keep,
    erasing_rules,
    rule_for,
)
from db.core.merge_rules import user_columns
from db.core.registry import metadata, models

# The account itself goes last, when nothing else is left of it.
ACCOUNTS = "users"

_FUNCTION = """
create or replace function app.erase_rows(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer;
begin
    -- Locked, so that of two workers one waits for the other's piece.
    perform from public.account_deletions d where d.user_id = leaving and d.began_at is not null
    for no key update;
    if not found and exists (select from public.users u where u.id = leaving) then
        raise exception 'this account is not to be erased' using errcode = 'restrict_violation';
    elsif not found then
        return 0;
    end if;
{steps}
    return 0;
end;
$$;
revoke execute on function app.erase_rows(uuid, integer) from public;
grant execute on function app.erase_rows(uuid, integer) to service;
"""
_STEP = """    {statement};
    if done > 0 then
        return done;
    end if;"""
_DELETE = "delete from public.{table} t where {chosen};\n    get diagnostics done = row_count"
_ANONYMISE = (
    "update public.{table} t set {column} = null where {chosen};\n"
    "    get diagnostics done = row_count"
)
_CHOSEN = "({key}) in (\n        select {key} from public.{table} t where {named} limit at_most)"


def erasing_functions() -> Iterator[str]:
    """The function: it erases at most so many rows of one table, and returns how many.

    It returns 0 when nothing is left but the account. What refers to other tables goes before them.
    TypeError for a column that leads to a user and that no rule names.
    """
    declared = models()
    for name, model in declared.items():
        for column in user_columns(metadata.tables[name]):
            if rule_for(erasing_rules(model.on_erase), column.name) is None:
                raise TypeError(f"{name}.{column.name} leads to a user: name it in on_erase")
    steps = [
        _STEP.format(statement=statement)
        for table in reversed(metadata.sorted_tables)
        if table.name != ACCOUNTS
        for rule in erasing_rules(declared[table.name].on_erase)
        for statement in _statements(table, rule)
    ]
    yield _FUNCTION.format(steps="\n".join(steps))


def _statements(table: Table, rule: ErasingRule) -> Iterator[str]:
    match rule:
        case Delete(column, by):
            yield _DELETE.format(table=table.name, chosen=_chosen(table, column, by))
        case Anonymise(column, by):
            chosen = _chosen(table, column, by)
            yield _ANONYMISE.format(table=table.name, column=column, chosen=chosen)
        case Call(function):
            yield f"done := app.{function}(leaving, at_most)"
        case GoesWith() | Keep():
            return


def _chosen(table: Table, column: str, by: str) -> str:
    """The condition on some of the rows whose column names the user."""
    key = ", ".join(f"t.{column.name}" for column in table.primary_key)
    user = "leaving" if by == "id" else f"(select u.{by} from public.users u where u.id = leaving)"
    return _CHOSEN.format(key=key, table=table.name, named=f"t.{column} = {user}")
