"""Functions that read one row again in the statement that has just written it.

What a statement reads is as it was when the statement began, but for what its volatile functions
read. So that the payload of a function call can come from the call's own statement, each table that
clients see has such a function. Its plan is kept; a selection made of text, as `app.answer()` runs
it, is planned in every call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import Column, Table

from db.core.access import Access, access_of
from db.core.compiling import sql_type
from db.core.registry import models


def reread_name(table: Table) -> str:
    """The function's name in the schema `app`: another one when it returns other columns.

    So a table that gets a column gets a function, beside the one that servers of the release before
    call. To replace that one would fail the statements that are calling it.
    """
    return f"reread_{table.name}_{_fingerprint(table, access_of(table))}"


@cache
def _fingerprint(table: Table, access: Access) -> str:
    returned = ",".join(f"{c.name} {sql_type(c.type)}" for c in readable_columns(table, access))
    return hashlib.sha256(returned.encode()).hexdigest()[:6]


def readable_columns(table: Table, access: Access) -> list[Column[Any]]:
    """What the function returns: all columns but those that no client reads."""
    return [column for column in table.columns if column.name not in access.hidden]


def reread_functions() -> Iterator[str]:
    """Those of all tables, as they are declared."""
    for model in models().values():
        table = model.metadata.tables[model.__tablename__]
        if not model.access.is_internal and len(table.primary_key) == 1:
            yield _function(table, model.access)


def _function(table: Table, access: Access) -> str:
    """A table's function: takes the primary key and returns the row without hidden columns.

    Nothing is returned where there is no such row, or none that the caller may read: it has its
    caller's rights, so that row-level security guards what it reads. The columns are listed, since
    with the table's own type for its result the function would keep the table from being dropped;
    and it returns a set, since one row as a value would be put together whole, large texts too.
    """
    (key,) = table.primary_key
    read = readable_columns(table, access)
    signature = f"app.{reread_name(table)}({sql_type(key.type)})"
    returned = ", ".join(f"{column.name} {sql_type(column.type)}" for column in read)
    selected = ", ".join(f"t.{column.name}" for column in read)
    return f"""
create function app.{reread_name(table)}(wanted {sql_type(key.type)}) returns table ({returned})
language plpgsql volatile rows 1 security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return query select {selected} from public.{table.name} t where t.{key.name} = wanted;
end;
$$;
grant execute on function {signature} to authenticated;
"""
