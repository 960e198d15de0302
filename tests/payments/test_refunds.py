"""An admin has a provider give money back: once for each key, whatever is lost on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from payments.paymob import REFUND
from tests.fakes.http_stub import StubAnswer, StubRequest

from ..conftest import MakeUser
from .conftest import AMOUNT, CREDITS
from .paymob_store import Store


@dataclass
class Desk:
    """A paid order, and the admin who gives its money back."""

    store: Store
    admin: Actor
    buyer: Actor
    payment: int
    order_id: UUID

    async def refund(self, amount_cents: int | None, key: str) -> None:
        """The admin asks."""
        await self.store.refunds.refund(
            self.admin,
            order_id=self.order_id,
            amount_cents=amount_cents,
            reason="asked for",
            idempotency_key=key,
        )

    async def stands(self) -> tuple[str, int, int]:
        """The order's status, what went back at Paymob, and what the buyer has of its credits."""
        status = await self.store.owner.fetchval(
            "select status from orders where id = $1", self.order_id
        )
        went_back = self.store.fake.transactions[self.payment]["refunded_amount_cents"]
        return status, went_back, await self.store.balance(self.buyer) - 10


@pytest.fixture
async def desk(store: Store, make_user: MakeUser) -> AsyncIterator[Desk]:
    store.fake.voids = False
    buyer, admin = await make_user(), await make_user()
    number = await store.order(buyer, 6)
    store.fake.pay(number)
    await store.ask()
    order_id = await store.owner.fetchval("select id from orders where user_id = $1", buyer.user_id)
    await store.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    yield Desk(store, admin, buyer, store.fake.of_order(number)[0], order_id)
    await store.owner.execute("update users set role = 'user' where id = $1", admin.user_id)


async def test_parts_go_back_and_the_same_key_asks_once(desk: Desk) -> None:
    assert await desk.stands() == ("PAID", 0, CREDITS)
    for _ in range(2):
        await desk.refund(200, "first")
        assert await desk.stands() == ("PARTIALLY_REFUNDED", 200, 30)
    await desk.refund(200, "second")
    assert await desk.stands() == ("PARTIALLY_REFUNDED", 400, 10)
    await desk.refund(None, "the rest")
    assert await desk.stands() == ("REFUNDED", AMOUNT, 0)
    # Paymob's own callbacks about the same refunds change nothing.
    for number, made in list(desk.store.fake.transactions.items()):
        if made["has_parent_transaction"]:
            sent = desk.store.fake.callback(number)
            await desk.store.delivered(sent)
    assert await desk.stands() == ("REFUNDED", AMOUNT, 0)
    with pytest.raises(asyncpg.PostgresError, match="0 cents of this order"):
        await desk.refund(1, "more")


async def test_a_refund_whose_answer_was_lost_is_not_made_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = desk.store.fake.refund

    def lost(request: StubRequest) -> StubAnswer:
        make(request)
        return 504, {}

    with monkeypatch.context() as away:
        away.setitem(desk.store.fake.stub.answers, REFUND, lost)
        with pytest.raises(DomainError) as failed:
            await desk.refund(100, "lost")
        assert failed.value.code is ErrorCode.PROVIDER_FAILED
    assert await desk.stands() == ("PAID", 100, CREDITS)
    await desk.refund(100, "lost")
    assert await desk.stands() == ("PARTIALLY_REFUNDED", 100, 40)
    await desk.refund(100, "lost")
    assert await desk.stands() == ("PARTIALLY_REFUNDED", 100, 40)


async def test_what_the_provider_refuses_is_free_to_be_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as refusing:
        refusing.setitem(desk.store.fake.stub.answers, REFUND, lambda _: (400, {"message": "no"}))
        with pytest.raises(DomainError) as refused:
            await desk.refund(None, "refused")
        assert refused.value.code is ErrorCode.PROVIDER_REFUSED
    assert await desk.stands() == ("PAID", 0, CREDITS)
    await desk.refund(None, "again")
    assert await desk.stands() == ("REFUNDED", AMOUNT, 0)


async def test_none_but_admins_give_money_back(desk: Desk) -> None:
    desk.admin = desk.buyer
    with pytest.raises(asyncpg.PostgresError, match="for admins only"):
        await desk.refund(100, "mine")
    assert await desk.stands() == ("PAID", 0, CREDITS)
