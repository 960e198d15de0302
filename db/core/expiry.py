"""What a table declares of rows that are deleted when nobody may ask for them any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import TextClause, text

if TYPE_CHECKING:
    from sqlalchemy import Table


@dataclass(frozen=True)
class Expiry:
    """Rows for which `condition` is true; an index on the columns of `order` finds the oldest.

    `name` is what the log calls them.
    """

    name: str
    condition: str
    order: str


def purge_statement(table: Table, expiry: Expiry) -> TextClause:
    """Deletes the oldest chunk of them and answers how many rows that were."""
    key = ", ".join(column.name for column in table.primary_key)
    found = f"from {table.name} where {expiry.condition} order by {expiry.order} limit :chunk"
    return deleting(table.name, f"({key}) in (select {key} {found})")


def deleting(table: str, condition: str) -> TextClause:
    """Deletes rows and answers how many; both texts are our own."""
    deleted = f"delete from {table} where {condition} returning 1"
    return text(f"with gone as ({deleted}) select count(*) from gone")
