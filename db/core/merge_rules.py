"""What becomes of a table's rows when a guest is merged into an account, declared beside it.

`db/core/merging.py` makes the function that does it of all the declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Column, Table

from db.core.access import Owner, access_of, parts

USERS_KEY = ("users", "id")


@dataclass(frozen=True)
class Move:
    """The guest's rows become the member's.

    `clear` names columns that are emptied in a row that moves when the member has a row with the
    same value. `changes` sets columns to SQL expressions of `t`, the row as it was. `remade` names
    the function, `app.<function>(row, member uuid)`, that makes a column anew.
    """

    clear: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    remade: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Join:
    """The guest's rows become the member's; of two with the same `key` the member's stays."""

    key: tuple[str, ...]


@dataclass(frozen=True)
class KeepTheMembers:
    """The member's rows stay as they are, and the guest's are deleted."""


@dataclass(frozen=True)
class MergedBy:
    """A function of the slice does it: `app.<function>(guest uuid, member uuid)`.

    It returns how many rows moved. These functions run before everything else, so they see the
    guest's rows where they were.
    """

    function: str


@dataclass(frozen=True)
class Stay:
    """The rows stay the guest's, whose account is kept for them; `reason` says why."""

    reason: str


MergeRule = Move | Join | KeepTheMembers | MergedBy | Stay


def user_columns(table: Table) -> list[Column[object]]:
    """The columns that say whose a row is, or who had to do with it: those that lead to a user."""
    owners = {part.column for part in parts(access_of(table).read) if isinstance(part, Owner)}
    return [c for c in table.columns if c.name in owners or _leads_to_user(c)]


def _leads_to_user(column: Column[object]) -> bool:
    return any(
        (key.column.table.name, key.column.name) == USERS_KEY or _leads_to_user(key.column)
        for key in column.foreign_keys
    )
