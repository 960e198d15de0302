"""The last place of a discount code is held for as long as its order can be paid, and no longer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.billing.operations import order_to_capture
from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from payments.checkouts import Bought, Guest
from settings import Settings

from ..conftest import MakeUser
from ..fakes import stripe as fake
from ..fakes.stripe import stripe
from .stripe_sellers import Shop

EXPIRES = "update orders set expires_at = now() - interval '1 second' where id = $1"


class LastPlace:
    """A product with a code that is good for one sale."""

    def __init__(self, shop: Shop, product_id: str) -> None:
        self.shop, self.product_id = shop, product_id

    async def open(self, actor: Actor = NOBODY, provider: str = "stripe") -> Bought:
        """An order with the code; without an account it is a guest's."""
        return await self.shop.checkouts.create(
            actor,
            product_id=self.product_id,
            provider=provider,
            success_url=None,
            cancel_url=None,
            idempotency_key=str(uuid4()),
            discount_code="LAST",
            guest=Guest(f"{uuid4().hex}@example.com", secrets.token_bytes(16))
            if actor is NOBODY
            else None,
        )

    async def is_taken(self, actor: Actor) -> bool:
        """Whether somebody else has the place."""
        try:
            await self.open(actor)
        except asyncpg.PostgresError as error:
            if "as often as it may" not in str(error):
                raise
            return True
        return False


@pytest.fixture
def shop(database: Database, owner: asyncpg.Connection, settings: Settings) -> Iterator[Shop]:
    with stripe() as running:
        yield Shop(running, database, owner, settings)


@pytest.fixture
async def sale(shop: Shop, make_user: MakeUser) -> LastPlace:
    product_id, _ = await shop.sell(await make_user(), 2_000, "USD")
    await shop.owner.execute(
        "insert into discount_codes (user_id, store_id, code, kind, percent, usage_limit)"
        " select seller_id, store_id, 'LAST', 'PERCENTAGE', 10, 1 from products where id = $1",
        product_id,
    )
    return LastPlace(shop, product_id)


def last_session(shop: Shop) -> str:
    """Stripe's name of the last session."""
    return next(reversed(shop.stripe.sessions))


async def test_a_place_is_held_no_longer_than_stripes_page_lasts(
    sale: LastPlace, make_user: MakeUser
) -> None:
    buyer, held = await make_user(), await sale.open()
    session = sale.shop.stripe.sessions[last_session(sale.shop)]
    assert held.expires_at == datetime.fromtimestamp(session["expires_at"], UTC)
    left = held.expires_at - datetime.now(UTC)
    assert timedelta(minutes=30) < left <= timedelta(minutes=40)
    assert await sale.is_taken(buyer)
    # By the database's clock, though nobody has told of the end yet.
    await sale.shop.owner.execute(EXPIRES, held.order_id)
    assert not await sale.is_taken(buyer)


async def test_a_place_is_given_back_as_soon_as_stripe_tells(
    sale: LastPlace, make_user: MakeUser
) -> None:
    await sale.open()
    session = sale.shop.stripe.sessions[last_session(sale.shop)]
    gone = fake.event("checkout.session.expired", session | {"status": "expired"})
    await sale.shop.tell(gone, "stripe")
    assert not await sale.is_taken(await make_user())


async def test_a_place_is_held_while_money_is_on_its_way(
    sale: LastPlace, make_user: MakeUser
) -> None:
    held = await sale.open()
    session = sale.shop.stripe.sessions[last_session(sale.shop)]
    paying = {"status": "complete", "payment_status": "unpaid", "payment_intent": "pi_slow"}
    session |= paying | {"amount_total": 1_800}
    await sale.shop.tell(fake.event("checkout.session.completed", session), "stripe")
    await sale.shop.owner.execute(EXPIRES, held.order_id)
    assert await sale.is_taken(await make_user())
    failed = fake.event("checkout.session.async_payment_failed", session)
    await sale.shop.tell(failed, "stripe")
    assert not await sale.is_taken(await make_user())


async def test_what_needs_no_place_can_be_paid_for_a_day(sale: LastPlace) -> None:
    await sale.shop.owner.execute("update discount_codes set usage_limit = null")
    held = await sale.open()
    assert held.expires_at - datetime.now(UTC) > timedelta(hours=23)


async def test_a_place_that_was_given_back_is_not_captured(
    sale: LastPlace, make_user: MakeUser
) -> None:
    shop = sale.shop
    can_be_paid: list[bool] = []
    for given_back in (False, True):
        order: UUID = (await sale.open(await make_user(), "sandbox")).order_id
        if given_back:
            await shop.owner.execute(EXPIRES, order)
        found = await order_to_capture(shop.database, "sandbox", str(order))
        assert found is not None
        can_be_paid.append(found.can_be_paid)
        await shop.owner.execute(EXPIRES, order)
    assert can_be_paid == [True, False]
    assert await order_to_capture(shop.database, "sandbox", str(uuid4())) is None
