"""What of a column the caller's own rows have, as SQL: what `LikeOwn` compares other rows with."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.access import AllOf, LikeOwn, access_of, parts
from db.core.compiling import sql_type
from db.core.registry import metadata


def own_values_name(table: Table, rule: LikeOwn) -> str:
    """The function's name in the schema `app`."""
    return f"own_{table.name}_{rule.column}"


def own_values_statements(table: Table, rule: LikeOwn) -> list[str]:
    """A function for policies: it reads the caller's own rows alone.

    With its definer's rights, since the policy of the same table asks it.
    """
    name = f"app.{own_values_name(table, rule)}"
    selected = (
        f"select o.{rule.column} from public.{table.name} o"
        f" where o.{rule.owner} = app.user_id() and o.{rule.column} is not null"
    )
    return [
        f"create or replace function {name}() returns {sql_type(table.c[rule.column].type)}[] "
        "language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ "
        f"begin return array({selected}); end; $$",
        f"revoke execute on function {name}() from public",
        f"grant execute on function {name}() to authenticated",
    ]


def own_values_functions() -> Iterator[str]:
    """Those of all tables, as they are declared."""
    for table in metadata.sorted_tables:
        found = [
            one
            for part in parts(access_of(table).read)
            for one in (part.rules if isinstance(part, AllOf) else (part,))
            if isinstance(one, LikeOwn)
        ]
        for rule in dict.fromkeys(found):
            yield ";\n".join(own_values_statements(table, rule))
