"""What a table declares of how much of it one user may fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sqlalchemy import Table

Excess = Literal["REFUSE", "FORGET", "COUNT"]


@dataclass(frozen=True)
class Limit:
    """How many rows of a table one user may have, and how many bytes in all of them."""

    rows: int
    stored_bytes: int


@dataclass(frozen=True)
class TableQuota:
    """A table whose rows are counted for each user, by their column `stored_bytes`.

    A row whose `stored_bytes` is 0 is not counted. `guests` and `members` are what holds until an
    operator or a plan says otherwise (table `quota_limits`). What happens beyond it is `excess`:
    REFUSE refuses what the user does (never what the server does for them), FORGET deletes the
    user's oldest rows, COUNT only counts: the slice's own functions refuse. `delete_with` is the
    mutation that makes room. `counts` says what is counted where the table's name leaves it open.
    Where statements insert many rows, `in_bulk` has each count them at once.
    """

    guests: Limit
    members: Limit
    excess: Excess = "REFUSE"
    delete_with: str = ""
    counts: str = ""
    in_bulk: bool = False

    def __post_init__(self) -> None:
        if self.in_bulk and self.excess == "FORGET":
            raise ValueError("What is forgotten makes room for one row at a time")

    @property
    def description(self) -> str:
        """What clients are told of it."""
        forgets = self.excess == "FORGET"
        rule = (
            "Beyond the limit the oldest are forgotten."
            if forgets
            else f"Make room with `{self.delete_with}`."
        )
        return f"{self.counts} {rule}".strip()


@dataclass(frozen=True)
class Bound:
    """A table that clients' requests fill and whose rows need no counting; `reason` says why."""

    reason: str


def quota_statements(table: Table, quota: TableQuota) -> list[str]:
    """The triggers that count a table's rows, whoever writes them."""
    arguments = f"('{quota.excess}', '{quota.delete_with}')"
    counting = f"for each row {{}}execute function app.count_use{arguments}"
    inserted = counting.format("")
    if quota.in_bulk:
        inserted = (
            "referencing new table as new_rows for each statement"
            f" execute function app.count_inserted{arguments}"
        )
    resized = "when (old.stored_bytes <> new.stored_bytes) "
    return [
        f"create trigger count_insert after insert on {table.name} {inserted}",
        f"create trigger count_update after update on {table.name} {counting.format(resized)}",
        f"create trigger count_delete after delete on {table.name}"
        " referencing old table as old_rows for each statement"
        " execute function app.count_deleted()",
    ]
