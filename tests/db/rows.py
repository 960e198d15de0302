"""Rows of two users in every table, and scratch databases to put them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4, uuid5

import asyncpg

from db.core.actor import Actor
from db.core.registry import metadata
from db.embedded.database import EmbeddedDatabase

FIRST = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000a"))
SECOND = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000b"))
# Has a session and nothing else, so that a new row of theirs meets no unique key.
NEWCOMER = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000c"))
ADMIN = Actor("authenticated", UUID("00000000-0000-7000-8000-00000000000d"), is_admin=True)
USERS = (FIRST, SECOND, NEWCOMER, ADMIN)

Row = dict[str, Any]
LATER = datetime.now(UTC) + timedelta(days=1)
FORMAT = "image/jpeg"


def known_id(user_id: UUID, table: str) -> UUID:
    """The id of the row that `fill` gives a user in a table."""
    return uuid5(user_id, table)


def _serial(key: UUID) -> int:
    return int(key) % 1_000_000_000


# A new row of a user, by table: each maker takes the user's id and a key that no row has yet.
MAKERS: dict[str, Callable[[UUID, UUID], Row]] = {
    "public.users": lambda user, key: {
        "id": key,
        "email": f"{key}@example.test",
        "role": "admin" if key == ADMIN.user_id else "user",
    },
    "public.credentials": lambda user, key: {"user_id": user, "password_hash": f"$argon2id${key}"},
    "public.sessions": lambda user, key: {"id": key, "user_id": user, "expires_at": LATER},
    "public.refresh_tokens": lambda user, key: {
        "token_hash": f"\\x{key.hex}",
        "session_id": known_id(user, "public.sessions"),
        "expires_at": LATER,
    },
    "public.sign_up_terms": lambda user, key: {
        "id": 1,
        "bonus_credits": 10,
        "anonymous_bonus_credits": 3,
    },
    "public.deleted_sessions": lambda user, key: {"id": key},
    "public.rate_budgets": lambda user, key: {
        "kind": str(key),
        "holder_hash": f"\\x{key.hex}",
        "used_at": f"{{{LATER.isoformat()}}}",
        "expires_at": LATER,
    },
    "public.audit_log": lambda user, key: {"user_id": user, "action": "test"},
    "public.quota_limits": lambda user, key: {
        "audience": key,
        "slice": "profiles",
        "rows_limit": 10,
        "bytes_limit": 1_000,
    },
    "public.upload_terms": lambda user, key: {
        "id": 1,
        "url_lasts": "15 minutes",
        "waiting": "1 hour",
        "waiting_limit": 200,
    },
    "public.ledger_proofs": lambda user, key: {
        "started_at": LATER,
        "wallets": 1,
        "faults": "[]",
        "fault_count": 0,
    },
    "public.plans": lambda user, key: {
        "id": key,
        "name": key,
        "monthly_credits": 10,
        "max_daily_credits": 5,
    },
    "public.tools": lambda user, key: {
        "id": key,
        "name_key": "name",
        "description_key": "description",
        "type": "FILTER",
        "icon_name": "icon",
        "is_active": user == FIRST.user_id,
    },
    "public.hairstyles": lambda user, key: {
        "id": key,
        "name": "Bob",
        "image_url": "https://example.test/bob.jpg",
        "gender": "FEMALE",
        "category": "short",
    },
    "public.hair_colors": lambda user, key: {"hex_code": f"#{key.hex[:6]}"},
    "public.skin_colors": lambda user, key: {"hex_code": f"#{key.hex[:6]}", "name": "Tan"},
    "public.profiles": lambda user, key: {
        "id": key,
        "user_id": user,
        "local_id": _serial(key),
        "name": f"Profile of {user}",
        "analysis": "{}",
    },
    "public.uploads": lambda user, key: {
        "id": key,
        "user_id": user,
        "content_type": FORMAT,
        "declared_size_bytes": 10,
        "expires_at": LATER,
    },
    "public.generations": lambda user, key: {
        "id": key,
        "user_id": user,
        "tool_id": known_id(user, "public.tools"),
        "upload_id": known_id(user, "public.uploads"),
        "cache_key": key.hex,
    },
    "public.result_cache": lambda user, key: {
        "cache_key": key.hex,
        "user_id": user,
        "expires_at": LATER,
    },
    "public.ai_generation_logs": lambda user, key: {
        "id": key,
        "generation_id": known_id(user, "public.generations"),
        "user_id": user,
        "tool_id": known_id(user, "public.tools"),
        "attempt": _serial(key),
        "provider": "offline",
        "outcome": "SUCCEEDED",
        "latency_milliseconds": 5,
    },
    "public.provider_circuits": lambda user, key: {"provider": key},
    "public.dead_jobs": lambda user, key: {
        "id": key,
        "entrypoint": "run_generation",
        "payload": f"\\x{key.hex}",
        "generation_id": known_id(user, "public.generations"),
        "attempts": 3,
        "error": "ProviderFailed",
    },
    "public.scheduled_runs": lambda user, key: {
        "name": key,
        "times": "* * * * *",
        "next_run_at": LATER,
    },
    "public.notifications": lambda user, key: {
        "id": key,
        "user_id": user,
        "type": "GENERAL",
        "title_key": "title",
        "message_key": "message",
    },
    "queue.pgqueuer": lambda user, key: {
        "priority": 0,
        "status": "queued",
        "entrypoint": "test",
        "dedupe_key": key,
    },
    "queue.pgqueuer_log": lambda user, key: {
        "job_id": _serial(key),
        "status": "queued",
        "priority": 0,
        "entrypoint": "test",
    },
    "queue.pgqueuer_schedules": lambda user, key: {"expression": key, "entrypoint": "test"},
    "queue.pgqueuer_statistics": lambda user, key: {
        "count": 1,
        "priority": _serial(key),
        "status": "successful",
        "entrypoint": "test",
    },
}

# The ledger's rows come from its own functions: its entries must balance.
LEDGER = """
select app.grant_credits($1, 'ADMIN', 10), app.hold_credits($1, 2, 'test', interval '1 hour'),
       app.refund_credits(app.spend_credits(1, 'test', null, 'key'), null, 'test', 'key'),
       app.transfer_credits($1, $2, 1, 'test', 'key')
"""


def new_row(table: str, user_id: UUID, columns: tuple[str, ...] = ()) -> Row | None:
    """A row of the user that the table does not have yet; nothing when no maker knows the table."""
    maker = MAKERS.get(table)
    row = maker(user_id, uuid4()) if maker else None
    return {name: row[name] for name in columns if name in row} if row and columns else row


def literal(value: Any) -> str:
    """A value in SQL; Postgres gives it the type of the column that it is written to."""
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def insert_sql(table: str, row: Row) -> str:
    """The statement that inserts a row."""
    return (
        f"insert into {table} ({', '.join(row)}) values ({', '.join(map(literal, row.values()))})"
    )


async def _insert_known(owner: asyncpg.Connection, table: str, user_id: UUID) -> None:
    key = user_id if table == "public.users" else known_id(user_id, table)
    row = MAKERS[table](user_id, key)
    await owner.execute(insert_sql(table, row) + " on conflict do nothing")


async def fill(owner: asyncpg.Connection) -> None:
    """Gives the first and the second user a row in every table that a maker knows."""
    order = [f"public.{table.name}" for table in metadata.sorted_tables]
    order += [table for table in MAKERS if table not in order]
    for table in order:
        if table in MAKERS:
            for actor in USERS if table in ("public.users", "public.sessions") else USERS[:2]:
                assert actor.user_id
                await _insert_known(owner, table, actor.user_id)
    for actor in USERS[:2]:
        async with owner.transaction():
            await owner.execute("select set_config('app.user_id', $1, true)", actor.user_claim)
            await owner.execute(LEDGER, actor.user_id, NEWCOMER.user_id)


@asynccontextmanager
async def scratch_database(cluster: EmbeddedDatabase, name: str) -> AsyncIterator[str]:
    """An empty database beside the worker's own, for a block; yields its owner's URL."""
    owner = await asyncpg.connect(cluster.owner_url)
    try:
        await owner.execute(f"create database {name}")
        try:
            yield other_database(cluster.owner_url, name)
        finally:
            await owner.execute(f"drop database {name} with (force)")
    finally:
        await owner.close()


def other_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
