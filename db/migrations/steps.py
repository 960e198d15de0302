"""Helpers that migrations share: SQL scripts of several statements, and lists of statements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alembic import op

ROOT = Path(__file__).resolve().parents[1]


def run_script(name: str) -> None:
    """Runs a `.sql` file of the db package, all its statements in the migration's transaction."""
    script = (ROOT / name).read_text()
    connection = op.get_bind()
    connection.exec_driver_sql("select 1")  # opens the transaction that the script must join
    adapted = connection.connection.dbapi_connection
    assert adapted is not None
    adapted.run_async(lambda driver: driver.execute(script))


def run_all(statements: Sequence[str]) -> None:
    """Runs single statements in order."""
    for statement in statements:
        op.execute(statement)


def drop_with_verbs(table: str) -> None:
    """Drops a table and the functions that take or return its rows, which would keep it.

    No migration made them: `migrate` replaces the functions whenever it runs.
    """
    op.execute(f"drop table {table} cascade")
