"""Brings a database up to date: migrations, the functions written in SQL, and the roles' passwords."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from db.core.functions import replace_functions
from db.core.pool import role_url
from db.core.retention import make_event_days
from db.core.roles import narrow_reach, write_role_settings
from db.marketplace.operations import publish_terms
from db.migrations.functions import (
    ForeignDatabaseError,
    declared_functions,
    newest_revision,
    revisions,
)
from db.quotas.administration import write_declared_limits
from db.uploads.operations import UploadLimits, publish_limits
from settings import ROLES, Settings

ROOT = Path(__file__).parents[2]
# Postgres gave up waiting for a lock, or ended a deadlock.
BUSY = ("55P03", "40P01")
PAUSES_SECONDS = (1, 2, 4, 8, 15)
OLDEST_POSTGRES = 16
MIGRATION_LOCK = 0x74616C6C79
SCRAM_ITERATIONS = 4096
log = structlog.get_logger("tallygraph.db")


def scram_verifier(password: str) -> str:
    """A SCRAM-SHA-256 verifier (RFC 5802), so that no log ever sees the password itself."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    b64 = base64.b64encode
    return (
        f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{b64(salt).decode()}"
        f"${b64(stored_key).decode()}:{b64(server_key).decode()}"
    )


def alembic_config(owner_url: str) -> Config:
    """Alembic's configuration, wherever the process was started."""
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["owner_url"] = owner_url
    return config


async def migrate(owner_url: str, settings: Settings) -> None:
    """Migrates to the newest revision; only one process at a time does.

    Migrations, functions and what is written from declarations and settings are one transaction: no
    server sees a table without the functions that belong to it.
    """
    lock = await asyncpg.connect(owner_url)
    try:
        refuse_old_server(lock.get_server_version().major)
        await lock.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        revision = await _revision(lock)
        if revision is not None and revision not in revisions():
            raise ForeignDatabaseError(
                f"The database is at revision {revision}, which this release does not know: a newer "
                "one migrated it. Start that one, or have it downgrade the database first."
            )
        config = alembic_config(owner_url)
        config.attributes["finish"] = partial(_finish, settings=settings, is_new=revision is None)
        await _with_retries(partial(command.upgrade, config, "head"))
        await narrow_reach(lock)
        for role in ROLES:
            await _prepare_role(lock, owner_url, role, settings)
    finally:
        await lock.close()


def refuse_old_server(major_version: int) -> None:
    """Refuses a PostgreSQL that lacks what migrations use, before anything is changed."""
    if major_version < OLDEST_POSTGRES:
        raise ForeignDatabaseError(
            f"This is PostgreSQL {major_version}: {OLDEST_POSTGRES} is the oldest that will do."
        )


async def _revision(owner: asyncpg.Connection) -> str | None:
    """What the database was migrated to; nothing when it is new, or all was undone."""
    if await owner.fetchval("select to_regclass('alembic_version') is null"):
        return None
    found: str | None = await owner.fetchval("select version_num from alembic_version")
    return found


async def _with_retries(upgrade: Callable[[], None]) -> None:
    """Tries again when tables were too busy to be locked: nothing has been changed then."""
    for pause_seconds in PAUSES_SECONDS:
        try:
            await asyncio.to_thread(upgrade)
        except (DBAPIError, asyncpg.PostgresError) as error:
            if getattr(getattr(error, "orig", error), "sqlstate", None) not in BUSY:
                raise
            log.warning("migrate.tables_are_busy", tries_again_in_seconds=pause_seconds)
            await asyncio.sleep(pause_seconds)
        else:
            return
    await asyncio.to_thread(upgrade)


async def _finish(owner: asyncpg.Connection, *, settings: Settings, is_new: bool) -> None:
    """What follows the migrations, in their transaction."""
    release = "" if is_new else newest_revision()
    await replace_functions(owner, declared_functions(), release)
    await make_event_days(owner)
    await write_declared_limits(owner)
    await publish_limits(owner, UploadLimits.of(settings))
    await publish_terms(owner, settings.platform_fee_basis_points)


async def _prepare_role(
    owner: asyncpg.Connection, owner_url: str, role: str, settings: Settings
) -> None:
    """Gives a login role its password, unless it already has this one, and its session settings."""
    password = settings.secret(f"database-{role}-password")
    try:
        probe = await asyncpg.connect(role_url(owner_url, role, password), timeout=5)
        await probe.close()
    except asyncpg.InvalidAuthorizationSpecificationError:
        await owner.execute(f"alter role {role} password '{scram_verifier(password)}'")
    await write_role_settings(owner, role, settings)
