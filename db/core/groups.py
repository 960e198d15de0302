"""Groups of users as SQL: the function that tells a policy which groups the caller is in."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.access import Group, groups
from db.core.registry import metadata


def membership_conditions(group: Group, row: str) -> list[str]:
    """What makes a row of the table of memberships count, whoever the member is."""
    found = [f"(roles = '{{}}' or {row}{group.role} = any (roles))"] if group.role else []
    for column, values in group.counts.items():
        listed = ", ".join(f"'{value}'" for value in values)
        found.append(f"{row}{column} in ({listed})")
    return found


def reread_ids_name(kind: str) -> str:
    """The function in the schema `app` that reads memberships as a statement has left them."""
    return f"reread_{kind}_ids"


def group_statements(table: Table, group: Group) -> list[str]:
    """Two functions, each for the ids of the groups in which somebody has one of the `roles`.

    `roles` is empty where any will do. `app.<kind>_ids(roles)` is of the caller and for policies:
    with its definer's rights, since the policy of the table of memberships asks it too.
    `app.reread_<kind>_ids(member, roles)` is for payloads: with its caller's rights, and volatile,
    so that it sees a membership which its own statement has made.
    """
    own, reread = f"app.{group.kind}_ids", f"app.{reread_ids_name(group.kind)}"
    counted = membership_conditions(group, "m.")

    def selected(member: str) -> str:
        return " union all ".join(
            f"select m.{group.key} from public.{table.name} m where "
            + " and ".join([f"m.{column} = {member}", *counted])
            for column in group.users
        )

    settings = "set search_path = pg_catalog, pg_temp"
    return [
        f"create or replace function {own}(roles text[]) returns uuid[] "
        f"language plpgsql stable security definer {settings} as $$ "
        f"begin return array({selected('app.user_id()')}); end; $$",
        f"create or replace function {reread}(member uuid, roles text[]) returns uuid[] "
        f"language plpgsql volatile security invoker {settings} as $$ "
        f"begin return array({selected('member')}); end; $$",
        *(
            statement
            for signature in (f"{own}(text[])", f"{reread}(uuid, text[])")
            for statement in (
                f"revoke execute on function {signature} from public",
                f"grant execute on function {signature} to authenticated",
            )
        ),
    ]


def group_functions() -> Iterator[str]:
    """The functions of all groups, as they are declared."""
    for table, group in groups(metadata).values():
        yield ";\n".join(group_statements(table, group))
