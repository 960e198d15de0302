"""Commands of developers, how a key of theirs is found, and the log of what keys asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, PythonCommand, SqlFunction, call
from db.core.errors import Problems
from db.core.origin import audited_place
from db.core.pool import Database, Transaction
from db.credits.rules import problems_of_key
from db.developers.rules import problems_of_key_name

FIND_TIMEOUT_SECONDS = 5.0

# Read inside of the statement that finds a key; its answer is a row of the table.
_TIER_OF_PLAN = SqlFunction[Any]("app.tier_of_plan", "developer_tiers", wanted_plan="text")
TIER_NAME = SqlFunction[str]("app.tier_name", "text", wanted_plan="text")
TIER_LIMIT = SqlFunction[int]("app.tier_limit", "integer", wanted_plan="text", limited_kind="text")
USAGE = SqlFunction[int](
    "app.developer_usage", "integer", owner_id="uuid", counted="text", wanted_plan="text"
)
ALLOWANCE_START = SqlFunction[Any](
    "app.allowance_start", "timestamp with time zone", wanted_plan="text"
)
ALLOWANCE_END = SqlFunction[Any](
    "app.allowance_end", "timestamp with time zone", wanted_plan="text"
)
CREDITS_LEFT = SqlFunction[int]("app.spendable_credits", "integer", owner_id="uuid")
_CREATE_KEY = SqlFunction[UUID](
    "app.create_developer_key",
    "uuid",
    key_name="text",
    wanted_tier="text",
    key_preview="text",
    key_hash="bytea",
    idempotency_key="text",
    place="jsonb",
)
_REVOKE_KEY = SqlFunction[UUID]("app.revoke_developer_key", "uuid", wanted="uuid", place="jsonb")
_RECORD_OBFUSCATION = SqlFunction[UUID]("app.record_obfuscation", "uuid", idempotency_key="text")

_FIND = """
select k.id, k.user_id, t.requests_per_minute
from developer_keys k
join users u on u.id = k.user_id
cross join lateral app.tier_of_plan(u.plan_id) t
where k.secret_hash = $1 and k.revoked_at is null and u.status = 'active'
"""
_NOTE_USE = text("""
    update developer_keys k set last_used_at = clock_timestamp() where k.id = any(:ids)
""")
_LOG = text("""
    insert into api_request_logs
        (user_id, key_id, request_id, method, endpoint, status_code, created_at)
    select r.user_id, k.id, r.request_id, r.method, r.endpoint, r.status_code, r.created_at
    from unnest(cast(:users as uuid[]), cast(:keys as uuid[]), cast(:ids as text[]),
                cast(:methods as text[]), cast(:endpoints as text[]), cast(:codes as integer[]),
                cast(:times as timestamptz[]))
        as r (user_id, key_id, request_id, method, endpoint, status_code, created_at)
    join users u on u.id = r.user_id
    left join developer_keys k on k.id = r.key_id
""")


@dataclass(frozen=True, slots=True)
class FoundDeveloperKey:
    """What is stored of a key that works, and how many requests its tier allows in a minute."""

    key_id: UUID
    user_id: UUID
    requests_per_minute: int


@dataclass(frozen=True, slots=True)
class MadeRequest:
    """A request of a key, as it is logged."""

    user_id: UUID
    key_id: UUID
    request_id: str
    method: str
    endpoint: str
    status_code: int
    created_at: datetime


def create_key(
    *,
    name: str,
    tier: str | None,
    preview: str,
    secret_hash: bytes,
    idempotency_key: str | None,
) -> PythonCommand[UUID]:
    """Makes a key of the caller's; gives it."""
    problems = Problems(problems_of_key_name(name))
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    wanted = _CREATE_KEY(
        key_name=name.strip(),
        wanted_tier=tier,
        key_preview=preview,
        key_hash=secret_hash,
        idempotency_key=idempotency_key,
        place=audited_place(),
    )

    # Alone in its statement, so that the secret is in no statement with a payload.
    async def run(transaction: Transaction) -> UUID:
        return await call(transaction, wanted)

    return PythonCommand(run)


def revoke_key(key_id: UUID) -> FunctionCall[UUID]:
    """Ends a key of the caller's; gives it."""
    return _REVOKE_KEY(wanted=key_id, place=audited_place())


def record_obfuscation(idempotency_key: str) -> FunctionCall[UUID]:
    """Counts an obfuscation of the caller's: by the allowance, then by a credit. Gives it."""
    Problems(problems_of_key(idempotency_key)).refuse()
    return _RECORD_OBFUSCATION(idempotency_key=idempotency_key)


async def find_key(database: Database, secret_hash: bytes) -> FoundDeveloperKey | None:
    """The key of a secret, if it works now."""
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.fetch_rows(_FIND, (secret_hash,), FIND_TIMEOUT_SECONDS)
    return FoundDeveloperKey(*rows[0].values()) if rows else None


async def note_developer_keys(transaction: Transaction, key_ids: list[UUID]) -> None:
    """Writes that keys were used just now."""
    await transaction.execute(_NOTE_USE, ids=key_ids)


async def log_requests(database: Database, made: Sequence[MadeRequest]) -> None:
    """Keeps requests in the log; those of users who are gone by now are left out."""
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(
            _LOG,
            users=[one.user_id for one in made],
            keys=[one.key_id for one in made],
            ids=[one.request_id for one in made],
            methods=[one.method for one in made],
            endpoints=[one.endpoint for one in made],
            codes=[one.status_code for one in made],
            times=[one.created_at for one in made],
        )
