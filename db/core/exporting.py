"""What a table declares of its rows for the archive that a user asks for of all their data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from db.core.access import Access, Owner


@dataclass(frozen=True)
class Export:
    """The user's rows of a table are in the archive, with the columns that their owner may read.

    They are those whose `owner` names the user or, where it is empty, the column that the rule for
    reading names; `rows` is a SQL condition on `t` instead, for rows of a group. `omit` are columns
    that are left out, beside those that are computed of others. `files` are columns with the path
    of a stored file, which comes along, and for each the column with its media type, or itself
    where the path's ending says it.
    """

    owner: str = ""
    rows: str = ""
    omit: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NotExported:
    """The rows are not in the archive; `reason` says why."""

    reason: str


def export_of(access: Access, declared: Export | NotExported | None) -> Export | None:
    """What is exported of a table: what its owner may read, unless it declares otherwise."""
    if isinstance(declared, NotExported):
        return None
    return declared or (Export() if access.find(Owner) else None)


def condition_of(access: Access, export: Export) -> str:
    """The condition on the user's rows; `$1` is the user's id."""
    if export.rows:
        return export.rows
    owner = access.find(Owner)
    column = export.owner or (owner.column if owner else "user_id")
    return f"t.{column} = $1"
