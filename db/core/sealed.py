"""Types of columns that hold secrets: what is sealed, and the blind indexes that find it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import LargeBinary, Table
from sqlalchemy.sql import operators

NULL_TESTS = (operators.is_, operators.is_not)


class Sealed(LargeBinary):
    """A text that only the vault opens (`db/vault/sealing.py`), for one column of one row.

    `row` names the column whose value binds it to its row, where that is not the primary key; what
    it holds must never change. SQL sees ciphertext: a condition on it or an order by it would have
    no meaning, and is refused while it is written. A null in it may be asked for.
    """

    class Comparator(LargeBinary.Comparator[bytes]):
        """Refuses every operator but those that ask whether there is a value."""

        def operate(self, op: Any, *other: Any, **options: Any) -> Any:
            """The expression with an operator; TypeError for all but null tests."""
            if op not in NULL_TESTS:
                raise TypeError(f"{self.expr}: what is sealed is opened, never compared or ordered")
            return super().operate(op, *other, **options)

        def reverse_operate(self, op: Any, other: Any, **options: Any) -> Any:  # noqa: ARG002
            """Refuses it from the other side too."""
            raise TypeError(f"{self.expr}: what is sealed is opened, never compared or ordered")

    comparator_factory = Comparator

    def __init__(self, row: str = "") -> None:
        super().__init__()
        self.row = row


class BlindIndex(LargeBinary):
    """A keyed hash of what is sealed in the column `of`, which finds rows by equality.

    Whoever reads the database without the master key learns which rows have the same value, and
    nothing else. While the master key is rotated a value has two of them (`Vault.blinds()`).
    """

    def __init__(self, of: str) -> None:
        super().__init__()
        self.of = of


def sealed_columns(table: Table) -> tuple[str, ...]:
    """The names of a table's sealed columns."""
    return tuple(column.name for column in table.columns if isinstance(column.type, Sealed))


def blind_indexes(table: Table) -> dict[str, str]:
    """The names of a table's blind indexes, each with the sealed column that it finds."""
    return {c.name: c.type.of for c in table.columns if isinstance(c.type, BlindIndex)}


def row_column(table: Table, column: str) -> str:
    """The column whose value binds a sealed value to its row."""
    type_ = table.columns[column].type
    assert isinstance(type_, Sealed)
    return type_.row or _only_key(table)


def check_sealed(
    table: Table, written: tuple[str, ...], hidden: tuple[str, ...], is_internal: bool
) -> None:
    """Raises TypeError where a table's declaration would let a secret out, or lose it.

    `written` are the columns that clients write themselves, `hidden` those that they never read; of
    a table that `is_internal` they read none.
    """
    sealed, blind = sealed_columns(table), blind_indexes(table)
    for column in sealed:
        row_column(table, column)
    for column in {*sealed, *blind} & set(written):
        raise TypeError(f"{table.name}.{column}: only the server seals, so no client writes it")
    for column, of in blind.items():
        if of not in sealed:
            raise TypeError(f"{table.name}.{column} finds {of}, which is not sealed")
        if column not in hidden and not is_internal:
            raise TypeError(f"{table.name}.{column}: a blind index is hidden from clients")
    for index in table.indexes:
        for found in index.columns:
            if found.name in sealed:
                raise TypeError(f"{index.name}: ciphertext is not looked up; use a BlindIndex")


def _only_key(table: Table) -> str:
    keys = [column.name for column in table.primary_key]
    if len(keys) != 1:
        raise TypeError(f"{table.name}: name the column that binds a sealed value to its row")
    return keys[0]
