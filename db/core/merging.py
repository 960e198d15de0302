"""Merging a guest into an account: one function, made of what each table declares.

`app.move_rows(guest, member)` is called by `app.merge_guest()`, which holds the locks, and
returns how many rows moved, by table.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.events import Event
from db.core.merge_rules import Join, KeepTheMembers, MergedBy, MergeRule, Move, user_columns
from db.core.quotas import TableQuota
from db.core.registry import metadata, models

_FUNCTION = """
create or replace function app.move_rows(guest uuid, member uuid) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved jsonb := '{{}}';
    rows_moved bigint;
    rows_counted bigint;
    bytes_counted bigint;
begin
{body}
    return moved;
end;
$$;
"""
_NOTE = """    moved := moved || jsonb_build_object('{table}', rows_moved);
"""
_CALL = """    rows_moved := app.{function}(guest, member);
"""
_JOIN = """    delete from public.{table} t where t.{owner} = guest and exists (
        select from public.{table} kept where kept.{owner} = member and {same});
"""
_MOVE = """    with gone as (
        update public.{table} t set {values} where {found} returning t.*
    )
    select count(*){counted} into rows_moved{into} from gone;
"""
_COUNT = """    perform app.move_use(guest, member, '{table}', rows_counted, bytes_counted);
"""
_DELETE = """    delete from public.{table} t where {found};
"""


def undeclared() -> list[str]:
    """Tables with a column that leads to a user and without a rule; and the other way round."""
    return [
        table.name
        for table in metadata.sorted_tables
        if table.name in models() and bool(user_columns(table)) != (_rule(table) is not None)
    ]


def merge_functions() -> Iterator[str]:
    """The function, of all tables as they are declared; a table with an owner and no rule stops it.

    A guest's rows in such a table would be forgotten, and nobody would notice.
    """
    if missing := undeclared():
        raise TypeError(
            f"{', '.join(missing)}: `on_merge` says what becomes of a guest's rows, and is declared"
            " where a column leads to a user (db/core/merge_rules.py)"
        )
    yield _FUNCTION.format(body="".join(_steps()))


def _steps() -> Iterator[str]:
    ruled = [(table, rule) for table in metadata.sorted_tables if (rule := _rule(table))]
    for table, rule in ruled:
        if isinstance(rule, MergedBy):
            yield _CALL.format(function=rule.function) + _NOTE.format(table=table.name)
    for table, rule in ruled:
        if isinstance(rule, Join):
            yield _joining(table, rule) + _moving(table, Move())
        elif isinstance(rule, Move):
            yield _moving(table, rule)
    kept = [table for table, rule in reversed(ruled) if isinstance(rule, KeepTheMembers)]
    # What is deleted may be told of, so the guest's events go last.
    for table in sorted(kept, key=lambda table: table is Event.__table__):
        yield _DELETE.format(table=table.name, found=_of_guest(table))


def _rule(table: Table) -> MergeRule | None:
    model = models().get(table.name)
    return model.on_merge if model else None


def _joining(table: Table, rule: Join) -> str:
    (owner,) = user_columns(table)
    same = " and ".join(f"kept.{column} = t.{column}" for column in rule.key)
    return _JOIN.format(table=table.name, owner=owner.name, same=same)


def _moving(table: Table, rule: Move) -> str:
    model = models()[table.name]
    if model.watch is not None and not model.watch.updates:
        raise TypeError(f"{table.name}: watch updates, so that a member is told of what moves")
    is_counted = isinstance(model.quota, TableQuota)
    sums = (
        ", count(*) filter (where stored_bytes > 0), coalesce(sum(stored_bytes), 0)"
        if is_counted
        else ""
    )
    moved = _MOVE.format(
        table=table.name,
        values=", ".join(f"{name} = {value}" for name, value in _values(table, rule)),
        found=_of_guest(table),
        counted=sums,
        into=", rows_counted, bytes_counted" if is_counted else "",
    )
    counted = _COUNT.format(table=table.name) if is_counted else ""
    return moved + counted + _NOTE.format(table=table.name)


def _values(table: Table, rule: Move) -> Iterator[tuple[str, str]]:
    owners = [column.name for column in user_columns(table)]
    for name in owners:
        whole = len(owners) == 1
        of_either = f"case when t.{name} = guest then member else t.{name} end"
        yield name, "member" if whole else of_either
    for name in rule.clear:
        (owner,) = owners
        taken = (
            f"exists (select from public.{table.name} kept"
            f" where kept.{owner} = member and kept.{name} = t.{name})"
        )
        yield name, f"case when not {taken} then t.{name} end"
    yield from rule.changes.items()
    for name, function in rule.remade.items():
        yield name, f"app.{function}(t, member)"


def _of_guest(table: Table) -> str:
    return " or ".join(f"t.{column.name} = guest" for column in user_columns(table))
