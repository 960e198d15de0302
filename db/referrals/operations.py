"""Commands on referrals, of clients and of the workers that reward them."""

from __future__ import annotations

import hashlib
from uuid import UUID

from db.accounts.emails import email_key
from db.accounts.rules import check_device_id
from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.pool import Database

_REDEEM = SqlFunction[UUID](
    "app.redeem_referral_code", "uuid", given_code="text", device="bytea"
).noting_place()
_CLAIM = SqlFunction[None]("app.claim_referral", "void", address_key="text", given_code="text")
BEGIN_CLAIMED = SqlFunction[int]("app.begin_claimed_referrals", "integer", at_most="integer")
_DUE = SqlFunction[UUID]("app.due_referrals", "uuid", at_most="integer")
SETTLE = SqlFunction[bool]("app.settle_referral", "boolean", wanted="uuid")

_REFUNDED = SqlFunction[UUID]("app.refunded_referrals", "uuid", at_most="integer")
TAKE_BACK = SqlFunction[bool]("app.take_back_referral", "boolean", wanted="uuid")


def redeem(code: str, device_id: str | None) -> FunctionCall[UUID]:
    """Notes that the actor came by a code; gives the referral. Of the device a hash is kept."""
    device = None
    if device_id is not None:
        check_device_id(device_id)
        device = hashlib.sha256(device_id.encode()).digest()
    return _REDEEM(given_code=code, device=device)


async def claim(database: Database, email: str, code: str) -> None:
    """Keeps the code that somebody signs up with; one that nobody has is forgotten."""
    await call_as_service(database, _CLAIM(address_key=email_key(email.strip()), given_code=code))


async def due(database: Database, at_most: int) -> list[UUID]:
    """Referrals of which something may have come, the oldest first."""
    return await _ids(database, _DUE(at_most=at_most))


async def refunded(database: Database, at_most: int) -> list[UUID]:
    """Rewarded referrals whose purchase was refunded, the oldest first."""
    return await _ids(database, _REFUNDED(at_most=at_most))


async def _ids(database: Database, wanted: FunctionCall[UUID]) -> list[UUID]:
    async with database.pools[SERVICE.role].connection() as connection:
        return [row[0] for row in await connection.raw.fetch(wanted.sql, *wanted.values)]
