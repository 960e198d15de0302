"""Commands on affiliates' links, and on what came by them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.pool import Database

_CREATE_LINK = SqlFunction[UUID]("app.create_affiliate_link", "uuid", wanted_store="uuid")
_COUNT_CLICK = SqlFunction[bool](
    "app.count_affiliate_click", "boolean", wanted_code="text", network="bytea"
)
_RECOMMEND = SqlFunction[None]("app.recommend_order", "void", wanted="uuid", wanted_code="text")
EARNINGS = SqlFunction[Any](
    "app.affiliate_earnings",
    "table(currency text, referral_count integer, commission_cents double precision,"
    " reversed_cents double precision, held_cents double precision, net_cents double precision)",
    owner_id="uuid",
)


def create_link(store_id: UUID) -> FunctionCall[UUID]:
    """Gives the actor's link to a store; the same every time."""
    return _CREATE_LINK(wanted_store=store_id)


async def count_click(database: Database, code: str, network: bytes) -> bool:
    """Counts that a network came by a link; whether it counts."""
    return await call_as_service(database, _COUNT_CLICK(wanted_code=code, network=network))


async def recommend_order(database: Database, order_id: UUID, code: str) -> None:
    """Notes by whose link an order came, where that is worth something."""
    await call_as_service(database, _RECOMMEND(wanted=order_id, wanted_code=code))
