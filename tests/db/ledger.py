"""The ledger's functions as tests call them, and the proof that a user's books are sound."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import TextClause, text

from db.core.actor import SERVICE, Actor
from db.core.pool import Database

GRANT = text(
    "select app.grant_credits(:user_id, :source, :amount, null,"
    " now() + make_interval(days => cast(:days as integer)))"
)
HOLD = text("select app.hold_credits(:user_id, :amount, 'test', cast(:lifetime as text)::interval)")
CAPTURE = text("select app.capture_hold(:hold, :amount)")
RELEASE = text("select app.release_hold(:hold)")
EXPIRE = text("select app.expire_holds(:user_id)")
EXPIRE_GRANTS = text("select from app.lock_wallet(:user_id)")
SPEND = text("select app.spend_credits(:amount, :reason, null, :key)")
REFUND = text("select app.refund_credits(:spend, :amount, 'test', :key)")
TRANSFER = text("select app.transfer_credits(:sender, :receiver, :amount, 'test', :key)")
PLAN_CREDITS = text("select app.grant_plan_credits(:user_id)")


def refusal(error: object) -> object:
    """The code that a function refused with, or the error when it is another."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate == "TG000":
        return error.hint
    return error


@contextmanager
def _refused_with(code: str) -> Any:
    with pytest.raises(asyncpg.PostgresError) as raised:
        yield raised
    assert refusal(raised.value) == code


def refused_with(
    code: str,
) -> AbstractContextManager[pytest.ExceptionInfo[asyncpg.PostgresError]]:
    """The block is refused with this code."""
    return _refused_with(code)


@dataclass(frozen=True)
class Ledger:
    """The functions under their lawful actors; `owner` reads what they wrote."""

    database: Database
    owner: asyncpg.Connection

    async def _call(self, actor: Actor, function: TextClause, **parameters: Any) -> Any:
        async with self.database.transaction(actor) as transaction:
            return await transaction.fetch_value(function, **parameters)

    async def grant(
        self, actor: Actor, amount: int, source: str = "ADMIN", days: int | None = None
    ) -> UUID:
        """Gives credits that expire in so many days, or never; returns the transaction."""
        result: UUID = await self._call(
            SERVICE, GRANT, user_id=actor.user_id, source=source, amount=amount, days=days
        )
        return result

    async def hold(self, actor: Actor, amount: int, lifetime: str = "1 hour") -> UUID:
        """Reserves credits; returns the hold."""
        result: UUID = await self._call(
            SERVICE, HOLD, user_id=actor.user_id, amount=amount, lifetime=lifetime
        )
        return result

    async def capture(self, hold: UUID, amount: int | None) -> None:
        """Spends part or all of a hold."""
        await self._call(SERVICE, CAPTURE, hold=hold, amount=amount)

    async def release(self, hold: UUID) -> None:
        """Gives a hold back."""
        await self._call(SERVICE, RELEASE, hold=hold)

    async def expire_holds(self, actor: Actor) -> int:
        """Ends the user's holds whose time is over; returns how many."""
        return int(await self._call(SERVICE, EXPIRE, user_id=actor.user_id))

    async def spend(self, actor: Actor, amount: int, key: str = "", reason: str = "test") -> UUID:
        """Spends at once, under a new key unless one is given; returns the transaction."""
        result: UUID = await self._call(
            actor, SPEND, amount=amount, key=key or str(uuid4()), reason=reason
        )
        return result

    async def try_spend(self, actor: Actor, amount: int, key: str | None) -> None:
        """Spends under exactly this key."""
        await self._call(actor, SPEND, amount=amount, key=key, reason="test")

    async def expire_grants(self, actor: Actor) -> None:
        """Takes the user's expired grants out of the wallet."""
        await self._call(SERVICE, EXPIRE_GRANTS, user_id=actor.user_id)

    async def refund(self, spend: UUID, amount: int | None = None, key: str = "") -> UUID:
        """Gives a spend's credits back, all that are left unless an amount is given."""
        result: UUID = await self._call(
            SERVICE, REFUND, spend=spend, amount=amount, key=key or str(uuid4())
        )
        return result

    async def transfer(self, sender: Actor, receiver: Actor, amount: int, key: str = "") -> UUID:
        """Moves credits between users; returns the sender's transaction."""
        result: UUID = await self._call(
            SERVICE,
            TRANSFER,
            sender=sender.user_id,
            receiver=receiver.user_id,
            amount=amount,
            key=key or str(uuid4()),
        )
        return result

    async def plan_credits(self, actor: Actor) -> bool:
        """Gives the credits of the user's plan, if they are due."""
        return bool(await self._call(SERVICE, PLAN_CREDITS, user_id=actor.user_id))

    async def last(self, actor: Actor) -> UUID:
        """The user's last movement."""
        result: UUID = await self.owner.fetchval(
            "select id from credit_transactions where user_id = $1"
            " order by created_at desc, id desc limit 1",
            actor.user_id,
        )
        return result

    async def expire_grant(self, actor: Actor, amount: int) -> None:
        """Lets the time of the user's grants of this amount be over."""
        await self.owner.execute(
            "update credit_grants set expires_at = now() - interval '1 second'"
            " where user_id = $1 and amount = $2",
            actor.user_id,
            amount,
        )

    async def wallet(self, actor: Actor) -> tuple[int, int]:
        """Balance and held."""
        row = await self.owner.fetchrow(
            "select balance, held from wallets where user_id = $1", actor.user_id
        )
        return (row["balance"], row["held"]) if row else (0, 0)

    async def remaining(self, actor: Actor) -> list[int]:
        """What is left of each grant, in the order they were given."""
        rows = await self.owner.fetch(
            "select remaining from credit_grants where user_id = $1 order by created_at",
            actor.user_id,
        )
        return [row["remaining"] for row in rows]

    async def history(self, actor: Actor) -> list[tuple[str, int, int, int]]:
        """Type, amount, change of held and balance after of every movement."""
        rows = await self.owner.fetch(
            "select type, amount, held_change, balance_after from credit_transactions"
            " where user_id = $1 order by created_at, id",
            actor.user_id,
        )
        return [tuple(row) for row in rows]

    async def assert_sound(self, actor: Actor) -> None:
        """Fails with everything that is wrong in the user's books."""
        rows = await self.owner.fetch(
            "select discrepancy from app.ledger_discrepancies($1)", [actor.user_id]
        )
        assert [row["discrepancy"] for row in rows] == []
