"""Commands on purchases in app stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database

_CLAIM = SqlFunction[UUID](
    "app.claim_purchase", "uuid", owner_id="uuid", from_provider="text", events="jsonb"
)
_TAKE_PROOF = SqlFunction[None]("app.take_proof", "void", owner_id="uuid")
_EXPIRE = SqlFunction[int]("app.expire_subscription_transactions", "integer", at_most="integer")


async def take_proof(database: Database, owner_id: UUID) -> None:
    """Counts that a user sends a proof; LIMIT_EXCEEDED for too many in an hour."""
    await call_as_service(database, _TAKE_PROOF(owner_id=owner_id))


async def claim_purchase(
    database: Database, owner_id: UUID, provider: str, events: Sequence[Mapping[str, object]]
) -> UUID:
    """Gives a user what a proof says that they bought, once; its order."""
    wanted = _CLAIM(owner_id=owner_id, from_provider=provider, events=list(events))
    return await call_as_service(database, wanted)


async def expire_subscription_transactions(database: Database, at_most: int) -> int:
    """Notes which subscriptions are over; gives how many."""
    return await call_as_service(database, _EXPIRE(at_most=at_most))
