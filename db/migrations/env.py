"""Runs migrations as the database's owner, with a lock timeout so that a busy table fails fast."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from db.core.registry import metadata
from settings import get_settings

LOCK_TIMEOUT_SECONDS = 5


def owner_url() -> str:
    """The URL to migrate with: the caller's, else DATABASE_OWNER_URL."""
    url = context.config.attributes.get("owner_url") or get_settings().database_owner_url
    if not url:
        raise SystemExit("Set DATABASE_OWNER_URL, or run `tallygraph migrate`.")
    return str(url).replace("postgresql://", "postgresql+asyncpg://", 1)


def run(connection: Connection) -> None:
    """Runs the migrations that alembic chose, each in its own transaction."""
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Connects and runs."""
    engine = create_async_engine(owner_url(), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
