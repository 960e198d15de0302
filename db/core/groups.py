"""Groups of users as SQL: who is in which, for policies and for the delivery of events."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.access import Group, groups
from db.core.registry import metadata


def _counted(group: Group, row: str) -> list[str]:
    return [
        f"{row}{column} in ({', '.join(f"'{value}'" for value in values)})"
        for column, values in group.counts.items()
    ]


def members_of_groups(table: Table, group: Group) -> str:
    """The memberships of the groups `$1`, as (group_id, user_id, role)."""
    found = f"m.{group.key} = any ($1::uuid[])"
    return " union all ".join(_memberships(table, group, user, found) for user in group.users)


def groups_of_user(table: Table, group: Group, user_id: str) -> str:
    """The memberships of one user, as (group_id, user_id, role)."""
    return " union all ".join(
        _memberships(table, group, user, f"m.{user} = {user_id}") for user in group.users
    )


def _memberships(table: Table, group: Group, user: str, condition: str) -> str:
    role = f"m.{group.role}::text" if group.role else "null::text"
    met = " and ".join([condition, *_counted(group, "m.")])
    columns = f"m.{group.key} as group_id, m.{user} as user_id, {role} as role"
    return f"select {columns} from public.{table.name} m where {met}"


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

    def selected(member: str) -> str:
        found = groups_of_user(table, group, member)
        asked = "roles = '{}' or g.role = any (roles)"
        return f"select g.group_id from ({found}) g where {asked}"

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
