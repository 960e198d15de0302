"""What becomes of plans that were bought when their money goes back or is questioned."""

from __future__ import annotations

from db.core.actor import Actor

from ..db.plans import Plans
from .conftest import Shop
from .drivers import Told


async def paid_yearly(shop: Shop, buyer: Actor) -> Told:
    """A year of the plan, paid at once."""
    told = await shop.order(buyer, "pro-month")
    await shop.owner.execute(
        "update orders set billing_interval = 'YEAR' where id = $1", told.order_id
    )
    await shop.tell("SUCCEEDED", told)
    return told


async def next_month(shop: Shop, buyer: Actor) -> None:
    """The month's credits are due, and come."""
    plans = Plans(shop.database, shop.owner)
    await plans.pass_time(buyer, days=31)
    assert await plans.month(buyer)


async def test_a_dispute_of_a_yearly_plan_holds_its_later_months_too(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    for verdict, wallet in (("WON", (100, 0, 0)), ("LOST", (0, 0, 0))):
        buyer = await shop.buyer()
        told = await paid_yearly(shop, buyer)
        await shop.spend(buyer, 30)
        await shop.tell("DISPUTED", told)
        assert await shop.wallet(buyer) == (70, 70, 0)
        for _ in range(2):
            await next_month(shop, buyer)
            assert await shop.wallet(buyer) == (100, 100, 0)
        await shop.tell(verdict, told)
        assert await shop.wallet(buyer) == wallet
        held = "select count(*) from credit_holds where user_id = $1 and status = 'OPEN'"
        assert await shop.owner.fetchval(held, buyer.user_id) == 0
        if verdict == "WON":
            await next_month(shop, buyer)
            assert await shop.wallet(buyer) == (100, 0, 0)


async def test_a_dispute_of_a_part_holds_as_large_a_part_of_each_month(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    buyer = await shop.buyer()
    told = await paid_yearly(shop, buyer)
    await shop.tell("DISPUTED", told.but(amount_cents=250))
    assert await shop.wallet(buyer) == (100, 25, 0)
    await next_month(shop, buyer)
    assert await shop.wallet(buyer) == (100, 25, 0)


async def test_a_refunded_plan_says_what_was_taken_back(sandbox_shop: Shop) -> None:
    """What had expired with it, and what is owed for what was used."""
    shop = sandbox_shop
    buyer = await shop.buyer()
    told = await shop.paid(buyer, "pro-month")
    await shop.spend(buyer, 30)
    whole = told.but(refund=shop.new_id())
    for _ in range(2):
        await shop.tell("REFUNDED", whole)
    row = await shop.owner.fetchrow(
        "select credits_taken_back, paid_until between paid_at and now() as is_over from orders where id = $1",
        told.order_id,
    )
    assert tuple(row) == (100, True)
    assert await shop.wallet(buyer) == (0, 0, 30)


async def test_an_order_says_until_when_it_is_paid_after_one_before_it_went_back(
    sandbox_shop: Shop,
) -> None:
    shop = sandbox_shop
    buyer = await shop.buyer()
    first = await shop.paid(buyer, "pro-month")
    second = await shop.paid(buyer, "pro-month")
    paid = """select o.paid_until, o.paid_until = p.ends_at from orders o
        join plan_periods p on p.reference = o.id::text where o.id = $1"""
    before, _ = await shop.owner.fetchrow(paid, second.order_id)
    await shop.tell("REFUNDED", first)
    after, is_the_periods = await shop.owner.fetchrow(paid, second.order_id)
    assert is_the_periods
    assert 27 <= (before - after).days <= 31
