"""Commands on the inbox of what providers deliver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.pool import Database

_RECEIVE = SqlFunction[Any](
    "app.receive_webhook",
    "record(webhook_id uuid, is_new boolean)",
    from_provider="text",
    given_event_id="text",
    given_kind="text",
    genuine="boolean",
    given_headers="jsonb",
    given_query="text",
    given_body="text",
    problem="text",
    problem_detail="text",
)
_SETTLE = SqlFunction[Any](
    "app.settle_webhook",
    "record(status text, reason text, detail text, order_id uuid, is_changed boolean)",
    wanted="uuid",
    events="jsonb",
    patient="boolean",
)
_APPLY_ANSWER = SqlFunction[Any](
    "app.apply_answer",
    "record(webhook_id uuid, status text, reason text, detail text, order_id uuid,"
    " is_changed boolean)",
    from_provider="text",
    given_event_id="text",
    given_kind="text",
    events="jsonb",
)
_VOUCH = SqlFunction[bool](
    "app.vouch_for_webhook", "boolean", wanted="uuid", given_event_id="text", given_kind="text"
)
_QUARANTINE = SqlFunction[bool](
    "app.quarantine_webhook", "boolean", wanted="uuid", why="text", what="text"
)
_RETRY = SqlFunction[None]("app.retry_webhook", "void", wanted="uuid")
REPLAY_WEBHOOK = SqlFunction[bool]("app.replay_webhook", "boolean", wanted="uuid")
_REPLAY_FOR_ADMIN = SqlFunction[UUID](
    "app.replay_webhook_for_admin", "uuid", wanted="uuid"
).noting_place()
_SWEEP = SqlFunction[UUID]("app.sweep_webhooks", "uuid")
_WEBHOOK = """
    select id, provider, status, verified, headers, query, body, received_at
    from webhook_events where id = $1
"""
_NEXT_WEBHOOKS = """
    select id, provider, status, verified, headers, query, body, received_at
    from webhook_events
    where status = 'RECEIVED' and attempts = 0 and ($4::text is null or provider = $4)
      and ($1::timestamptz is null or (received_at, id) > ($1, $2::uuid))
    order by received_at, id limit $3
"""


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A delivery as it lies in the inbox."""

    id: UUID
    provider: str
    status: str
    verified: bool
    headers: dict[str, str]
    query: str
    body: str
    received_at: datetime

    @property
    def is_answer(self) -> bool:
        """Whether `apply_answer()` kept it: events, which came in no delivery with headers."""
        return self.verified and not self.headers and self.body.startswith("[")


@dataclass(frozen=True, slots=True)
class SettledWebhook:
    """How a webhook stands; `is_changed` says whether that has just come of it.

    Without a status another worker is processing it.
    """

    status: str | None
    reason: str | None
    detail: str | None
    order_id: UUID | None
    is_changed: bool


async def receive_webhook(
    database: Database,
    *,
    provider: str,
    event_id: str,
    kind: str,
    genuine: bool,
    headers: Mapping[str, str],
    query: str,
    body: str,
    problem: str | None = None,
    detail: str | None = None,
) -> tuple[UUID | None, bool]:
    """Stores a delivery; gives it, unless too many of its kind are kept, and whether it is new."""
    wanted = _RECEIVE(
        from_provider=provider,
        given_event_id=event_id,
        given_kind=kind,
        genuine=genuine,
        given_headers=dict(headers),
        given_query=query,
        given_body=body,
        problem=problem,
        problem_detail=detail,
    )
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return row["webhook_id"], row["is_new"]


async def find_webhook(database: Database, webhook_id: UUID) -> StoredWebhook | None:
    """A delivery in the inbox."""
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(_WEBHOOK, webhook_id)
    return StoredWebhook(**row) if row else None


async def next_webhooks(
    database: Database, after: StoredWebhook | None, at_most: int, provider: str | None = None
) -> list[StoredWebhook]:
    """The oldest deliveries behind one that nobody has tried to process yet, of one provider."""
    behind = (after.received_at, after.id) if after else (None, None)
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.raw.fetch(_NEXT_WEBHOOKS, *behind, at_most, provider)
    return [StoredWebhook(**row) for row in rows]


async def retry_webhook(database: Database, webhook_id: UUID) -> None:
    """Has a delivery tried again by a job, after an attempt that failed."""
    await call_as_service(database, _RETRY(wanted=webhook_id))


async def settle_webhook(
    database: Database,
    webhook_id: UUID,
    events: Sequence[Mapping[str, object]],
    *,
    patient: bool,
) -> SettledWebhook:
    """Does what a webhook says, once; not `patient`, not if another worker does it now."""
    wanted = _SETTLE(wanted=webhook_id, events=list(events), patient=patient)
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return SettledWebhook(**row)


async def apply_answer(
    database: Database,
    *,
    provider: str,
    event_id: str,
    kind: str,
    events: Sequence[Mapping[str, object]],
) -> tuple[UUID, SettledWebhook]:
    """Does what a provider answered, and keeps it as a webhook: all of it, or nothing."""
    wanted = _APPLY_ANSWER(
        from_provider=provider, given_event_id=event_id, given_kind=kind, events=list(events)
    )
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    settled = {name: row[name] for name in SettledWebhook.__slots__}
    return row["webhook_id"], SettledWebhook(**settled)


async def vouch_for_webhook(database: Database, webhook_id: UUID, event_id: str, kind: str) -> bool:
    """Notes that a delivery is the provider's; False for one that was stored before."""
    vouched = _VOUCH(wanted=webhook_id, given_event_id=event_id, given_kind=kind)
    return await call_as_service(database, vouched)


async def quarantine_webhook(
    database: Database, webhook_id: UUID, reason: str, detail: str
) -> bool:
    """Sets a delivery aside for a person; False when it had ended before."""
    return await call_as_service(database, _QUARANTINE(wanted=webhook_id, why=reason, what=detail))


async def sweep_webhooks(database: Database) -> list[UUID]:
    """Queues what was forgotten; gives the webhooks that have waited for too long."""
    swept = _SWEEP()
    async with database.pools[SERVICE.role].connection() as connection:
        return [row[0] for row in await connection.raw.fetch(swept.sql)]


def replay_webhook(webhook_id: UUID) -> FunctionCall[UUID]:
    """Has a delivery processed again on behalf of an admin; gives it."""
    return _REPLAY_FOR_ADMIN(wanted=webhook_id)
