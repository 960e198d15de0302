"""Helpers that migrations share. What they do never changes: applied migrations stand on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alembic import op
from sqlalchemy.types import UserDefinedType

VERSIONS = Path(__file__).parent / "versions"


class TransactionId(UserDefinedType[int]):
    """Postgres's 64-bit transaction id, for migrations."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in DDL."""
        return "xid8"


def run_script(name: str) -> None:
    """Runs a `.sql` file that lies beside its migration, in the migration's transaction."""
    script = (VERSIONS / name).read_text()
    connection = op.get_bind()
    connection.exec_driver_sql("select 1")  # opens the transaction that the script must join
    adapted = connection.connection.dbapi_connection
    assert adapted is not None
    adapted.run_async(lambda driver: driver.execute(script))


def run_all(statements: Sequence[str]) -> None:
    """Runs single statements in order."""
    for statement in statements:
        op.execute(statement)


def drop_table_cascade(table: str) -> None:
    """Drops a table and the functions that take or return its rows, which would keep it.

    No migration made them: `migrate` replaces the functions whenever it runs.
    """
    op.execute(f"drop table {table} cascade")
