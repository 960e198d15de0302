"""Runs migrations as the database's owner, with a lock timeout so that a busy table fails fast."""

from __future__ import annotations

import asyncio
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

import db.migrations.autogenerate  # noqa: F401 -- the operations and what drafts them
from db.core.events import TransactionId
from db.core.registry import metadata
from db.core.sealed import BlindIndex, Sealed
from settings import get_settings

# How long a migration may hold up those who queue behind its wait for a lock.
LOCK_TIMEOUT_SECONDS = 2


def owner_url() -> str:
    """The URL to migrate with: the caller's, else DATABASE_OWNER_URL."""
    url = context.config.attributes.get("owner_url") or get_settings().database_owner_url
    if not url:
        raise SystemExit("Set DATABASE_OWNER_URL, or run `tallygraph migrate`.")
    return str(url).replace("postgresql://", "postgresql+asyncpg://", 1)


def run(connection: Connection) -> None:
    """Runs the migrations that alembic chose, each in its own transaction.

    With something to `finish`, as `tallygraph migrate` has, all are one transaction with it.
    """
    finish = context.config.attributes.get("finish")
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        render_item=render_item,
        compare_server_default=True,
        transaction_per_migration=finish is None,
    )
    with context.begin_transaction():
        context.run_migrations()
        if finish is not None:
            connection.exec_driver_sql("select 1")  # opens the transaction when nothing has yet
            driver = connection.connection.dbapi_connection
            assert driver is not None
            driver.run_async(finish)


def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """How a draft writes what is of our own making: as a migration may have it."""
    if kind == "type" and isinstance(item, TransactionId):
        context.imports.add("from db.migrations.steps import TransactionId")
        return "TransactionId()"
    if kind == "type" and isinstance(item, Sealed | BlindIndex):
        return "sa.LargeBinary()"
    return False


async def main() -> None:
    """Connects and runs."""
    engine = create_async_engine(owner_url(), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
