"""Brings a database up to date: migrations, the functions written in SQL, and the roles' passwords."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

from db.core.groups import make_group_functions
from db.core.pool import role_url
from db.core.rereading import make_reread_functions
from db.core.roles import narrow_reach, write_role_settings
from db.quotas.administration import write_declared_limits
from db.uploads.operations import UploadLimits, publish_limits
from settings import ROLES, Settings

DB = Path(__file__).parents[1]
# Functions are replaced on every run, after the tables they use; the order is that of their calls.
FUNCTION_FILES = (
    "core/foundation.sql",
    "accounts/admins.sql",
    "core/events.sql",
    "quotas/quotas.sql",
    "credits/ledger.sql",
    "credits/grants.sql",
    "credits/upkeep.sql",
    "accounts/sessions.sql",
    "accounts/budgets.sql",
    "catalog/catalog.sql",
    "uploads/uploads.sql",
    "generations/life_cycle.sql",
    "generations/generations.sql",
    "generations/attempts.sql",
    "credits/usage.sql",
    "jobs/jobs.sql",
    "profiles/profiles.sql",
    "credits/administration.sql",
    "catalog/administration.sql",
    "notifications/notifications.sql",
    "organizations/organizations.sql",
)
MIGRATION_LOCK = 0x74616C6C79
SCRAM_ITERATIONS = 4096


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
    config = Config(str(DB.parent / "alembic.ini"))
    config.attributes["owner_url"] = owner_url
    return config


async def migrate(owner_url: str, settings: Settings) -> None:
    """Migrates to the newest revision; only one process at a time does."""
    lock = await asyncpg.connect(owner_url)
    try:
        await lock.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        await asyncio.to_thread(command.upgrade, alembic_config(owner_url), "head")
        async with lock.transaction():
            for name in FUNCTION_FILES:
                await lock.execute((DB / name).read_text())
            await make_group_functions(lock)
            await make_reread_functions(lock)
            await write_declared_limits(lock)
            await publish_limits(lock, UploadLimits.of(settings))
        await narrow_reach(lock)
        for role in ROLES:
            await _prepare_role(lock, owner_url, role, settings)
    finally:
        await lock.close()


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
