"""Who may touch which rows: one declaration yields policies, grants and engine predicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import (
    Table,
)

ServicePrivilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]


@dataclass(frozen=True)
class Owned:
    """Rows belong to the user named in `column`; nobody else sees that they exist.

    With `admins`, admins read them too. Nobody but the owner ever writes them.
    """

    column: str = "user_id"
    admins: bool = False


@dataclass(frozen=True)
class Public:
    """Everybody reads the rows for which the boolean column `only_if` is true (all, when empty).

    With `admins`, admins read the others too.
    """

    only_if: str = ""
    admins: bool = False


@dataclass(frozen=True)
class AdminOnly:
    """Admins read every row, and nobody else sees that there are any."""


@dataclass(frozen=True)
class Internal:
    """Only the server itself (`service`) touches the rows."""


@dataclass(frozen=True)
class Watch:
    """Changes of a table's rows that clients may watch: each writes an event under `topic`.

    `entity` is the column whose value names the row in the event; `inserts`, `updates` and
    `deletes` say which changes count. Rows without a `user_id` are everybody's to watch. What is in
    the `deferred` columns is too large to be copied into events: it is read from the row when an
    event is delivered to somebody who asks for it.
    """

    topic: str
    entity: str = "id"
    inserts: bool = True
    updates: bool = True
    deletes: bool = False
    deferred: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes that count, in SQL's words."""
        counted = (("insert", self.inserts), ("update", self.updates), ("delete", self.deletes))
        return tuple(name for name, counts in counted if counts)


@dataclass(frozen=True)
class Access:
    """The lock on one table.

    `hidden` columns are never readable by a client's role; `insert` and `update` list the columns
    that `authenticated` may write in its own rows; `service` lists what the server may do.
    """

    ownership: Owned | Public | AdminOnly | Internal
    hidden: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False
    service: tuple[ServicePrivilege, ...] = field(default=("SELECT", "INSERT", "UPDATE", "DELETE"))


# The role is read from the database, not from the token: who is no admin any more sees nothing.
IS_ADMIN = (
    "exists (select from users admins"
    " where admins.id = (select app.user_id()) and admins.role = 'admin')"
)


# The same for a table that its own policy could not ask: it would be asked again for the answer.
CALLER_IS_ADMIN = "(select app.is_admin())"


def _owner_condition(ownership: Owned) -> str:
    return f"{ownership.column} = (select app.user_id())"


def _authenticated_policies(name: str, access: Access) -> Iterator[tuple[str, str]]:
    if isinstance(access.ownership, Public):
        condition = access.ownership.only_if or "true"
        yield "public_select", f"on {name} for select to anon, authenticated using ({condition})"
        if access.ownership.admins:
            yield "admin_select", f"on {name} for select to authenticated using ({CALLER_IS_ADMIN})"
    if isinstance(access.ownership, AdminOnly):
        yield "admin_select", f"on {name} for select to authenticated using ({IS_ADMIN})"
    if isinstance(access.ownership, Owned):
        own = _owner_condition(access.ownership)
        # One policy, so that the cheap half is always looked at first.
        readable = f"{own} or {CALLER_IS_ADMIN}" if access.ownership.admins else own
        yield "owner_select", f"on {name} for select to authenticated using ({readable})"
        if access.insert:
            yield "owner_insert", f"on {name} for insert to authenticated with check ({own})"
        if access.update:
            yield (
                "owner_update",
                f"on {name} for update to authenticated using ({own}) with check ({own})",
            )
        if access.delete:
            yield "owner_delete", f"on {name} for delete to authenticated using ({own})"


def policies(table: Table, access: Access) -> dict[str, str]:
    """The policies of a table by name, each the text that follows `create policy <name>`."""
    found = dict(_authenticated_policies(table.name, access))
    if access.service:
        found["service_all"] = f"on {table.name} for all to service using (true) with check (true)"
    return found


def grants(table: Table, access: Access) -> list[str]:
    """The grants of a table: columns are always listed for clients' roles."""
    statements: list[str] = []
    readable = ", ".join(c.name for c in table.columns if c.name not in access.hidden)
    if not isinstance(access.ownership, Internal):
        readers = "anon, authenticated" if isinstance(access.ownership, Public) else "authenticated"
        statements.append(f"grant select ({readable}) on {table.name} to {readers}")
    for privilege, columns in (("insert", access.insert), ("update", access.update)):
        if columns:
            statements.append(
                f"grant {privilege} ({', '.join(columns)}) on {table.name} to authenticated"
            )
    if access.delete:
        statements.append(f"grant delete on {table.name} to authenticated")
    if access.service:
        statements.append(f"grant {', '.join(access.service).lower()} on {table.name} to service")
    return statements


def access_statements(table: Table, access: Access) -> list[str]:
    """All the SQL that puts the lock on a new table, in order."""
    created = [f"create policy {name} {rest}" for name, rest in policies(table, access).items()]
    enable = f"alter table {table.name} enable row level security"
    return [enable, *created, *grants(table, access)]


def watch_statements(table: Table, watch: Watch, access: Access) -> list[str]:
    """The trigger that records an event for every watched change, whoever makes it."""
    lists = (f"{{{','.join(columns)}}}" for columns in (access.hidden, watch.deferred))
    arguments = ", ".join(f"'{value}'" for value in (watch.topic, watch.entity, *lists))
    return [
        f"create trigger record_event after {' or '.join(watch.changes)} on {table.name} "
        f"for each row execute function app.record_event({arguments})"
    ]
