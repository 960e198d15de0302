"""Commands on API keys, and how a secret is found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, text, update

from db.api_keys.rules import problems_of_api_key, problems_of_end, problems_of_overlap
from db.api_keys.tables import ApiKey
from db.core.actor import SERVICE, Scope
from db.core.commands import FunctionCall, PythonCommand, SqlFunction, call
from db.core.errors import Problems, refuse_any
from db.core.origin import audited_place
from db.core.pool import Database, Transaction
from db.credits.rules import problems_of_key

FIND_TIMEOUT_SECONDS = 5.0

_CREATE = SqlFunction[UUID](
    "app.create_api_key",
    "uuid",
    key_name="text",
    key_prefix="text",
    key_hash="bytea",
    key_scopes="text[]",
    ends_at="timestamp with time zone",
    idempotency_key="text",
    device="text",
    place="jsonb",
)
_CREATE_FOR_ORGANIZATION = SqlFunction[UUID](
    "app.create_organization_key",
    "uuid",
    wanted="uuid",
    key_role="text",
    key_name="text",
    key_prefix="text",
    key_hash="bytea",
    key_scopes="text[]",
    ends_at="timestamp with time zone",
    idempotency_key="text",
    place="jsonb",
)
_CREATE_FOR_BOT = SqlFunction[UUID](
    "app.create_bot_key",
    "uuid",
    key_name="text",
    key_prefix="text",
    key_hash="bytea",
    ends_at="timestamp with time zone",
    idempotency_key="text",
    place="jsonb",
)
_ROTATE = SqlFunction[UUID](
    "app.rotate_api_key",
    "uuid",
    wanted="uuid",
    key_prefix="text",
    key_hash="bytea",
    overlap="interval",
    ends_at="timestamp with time zone",
    idempotency_key="text",
    place="jsonb",
)
_REVOKE = SqlFunction[UUID]("app.revoke_api_key", "uuid", wanted="uuid", place="jsonb")

_FIND = """
select k.id, k.user_id, k.organization_id, k.scopes, k.requests_per_minute, found.secret_hash,
       found.ends_at
from api_keys k
join users u on u.id = k.user_id
cross join lateral (
    select k.secret_hash, k.expires_at as ends_at where k.prefix = $1
    union all
    select k.previous_secret_hash, least(k.previous_expires_at, k.expires_at)
    where k.previous_prefix = $1
) found
where (k.prefix = $1 or k.previous_prefix = $1) and k.revoked_at is null and u.status = 'active'
  and coalesce(found.ends_at > now(), true)
"""
# The first use in a day is noted for the key's user, too.
_NOTE_KEYS = text("""
    with used as (
        select k.id, k.user_id, k.organization_id, k.last_used_at
        from api_keys k where k.id = any(:ids) for update
    ), noted as (
        insert into audit_log (user_id, action, detail)
        select u.user_id, 'api_key_used', jsonb_strip_nulls(jsonb_build_object(
            'api_key', 'apiKey_' || u.id, 'organization', 'organization_' || u.organization_id))
        from used u where coalesce(u.last_used_at < now() - interval '1 day', true)
    )
    update api_keys k set last_used_at = clock_timestamp() from used u where k.id = u.id
""")


@dataclass(frozen=True, slots=True)
class FoundKey:
    """What is stored of a secret that works; `ends_at` is null where it has no end."""

    key_id: UUID
    user_id: UUID
    organization_id: UUID | None
    secret_hash: bytes
    scopes: frozenset[Scope]
    requests_per_minute: int | None
    ends_at: datetime | None


def create(
    *,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None,
    idempotency_key: str | None,
    prefix: str,
    secret_hash: bytes,
    device: str | None,
) -> PythonCommand[UUID]:
    """Makes a key of the caller's, who is told by e-mail; gives it."""
    problems = [*problems_of_api_key(name, scopes, expires_at, datetime.now(UTC))]
    if idempotency_key is not None:
        problems += problems_of_key(idempotency_key)
    refuse_any(problems)
    return _without_payload(
        _CREATE(
            key_name=name.strip(),
            key_prefix=prefix,
            key_hash=secret_hash,
            key_scopes=sorted(set(scopes)),
            ends_at=expires_at,
            idempotency_key=idempotency_key,
            device=device,
            place=audited_place(),
        )
    )


def create_for_organization(
    problems: Problems,
    organization_id: UUID,
    *,
    role: str,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None,
    idempotency_key: str | None,
    prefix: str,
    secret_hash: bytes,
) -> PythonCommand[UUID]:
    """Makes a key of an organization; gives it.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_api_key(name, scopes, expires_at, datetime.now(UTC)))
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _without_payload(
        _CREATE_FOR_ORGANIZATION(
            wanted=organization_id,
            key_role=role,
            key_name=name.strip(),
            key_prefix=prefix,
            key_hash=secret_hash,
            key_scopes=sorted(set(scopes)),
            ends_at=expires_at,
            idempotency_key=idempotency_key,
            place=audited_place(),
        )
    )


def create_for_bot(
    *,
    name: str,
    expires_at: datetime | None,
    idempotency_key: str | None,
    prefix: str,
    secret_hash: bytes,
) -> PythonCommand[UUID]:
    """Makes the key of a bot, for an admin; gives it."""
    problems = Problems(problems_of_api_key(name, (Scope.READ,), expires_at, datetime.now(UTC)))
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _without_payload(
        _CREATE_FOR_BOT(
            key_name=name.strip(),
            key_prefix=prefix,
            key_hash=secret_hash,
            ends_at=expires_at,
            idempotency_key=idempotency_key,
            place=audited_place(),
        )
    )


def rotate(
    problems: Problems,
    key_id: UUID,
    *,
    overlap: timedelta,
    expires_at: datetime | None,
    idempotency_key: str | None,
    prefix: str,
    secret_hash: bytes,
) -> PythonCommand[UUID]:
    """Gives a key another secret; gives the key."""
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.add(problems_of_overlap(overlap))
    problems.add(problems_of_end(expires_at, datetime.now(UTC)))
    problems.refuse()
    return _without_payload(
        _ROTATE(
            wanted=key_id,
            key_prefix=prefix,
            key_hash=secret_hash,
            overlap=overlap,
            ends_at=expires_at,
            idempotency_key=idempotency_key,
            place=audited_place(),
        )
    )


def revoke(key_id: UUID) -> FunctionCall[UUID]:
    """Ends a key; gives it."""
    return _REVOKE(wanted=key_id, place=audited_place())


def _without_payload(wanted: FunctionCall[UUID]) -> PythonCommand[UUID]:
    """The call in a transaction of its own statement: as one statement with its payload, the secret
    that the payload shows would be sent to the database, whose log may show parameters."""

    async def run(transaction: Transaction) -> UUID:
        return await call(transaction, wanted)

    return PythonCommand(run)


async def find(database: Database, prefix: str) -> FoundKey | None:
    """The secret with a prefix, if it works now."""
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.fetch_rows(_FIND, (prefix,), FIND_TIMEOUT_SECONDS)
    if not rows:
        return None
    (row,) = rows
    return FoundKey(
        row["id"],
        row["user_id"],
        row["organization_id"],
        row["secret_hash"],
        frozenset(map(Scope, row["scopes"])),
        row["requests_per_minute"],
        row["ends_at"],
    )


async def end_api_keys(transaction: Transaction, user_id: UUID) -> None:
    """Ends all keys of a user, who may not be who made them."""
    await transaction.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )


async def note_keys(transaction: Transaction, key_ids: list[UUID]) -> None:
    """Writes that keys were used just now."""
    await transaction.execute(_NOTE_KEYS, ids=key_ids)
