"""What every provider keeps: a payment counts once, whatever is delivered, how often, in which order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from payments.base import DeliveryRefusal
from payments.inbox import WebhookInbox
from payments.registry import MAKERS

from .conftest import AMOUNT, CREDITS, Shop
from .drivers import DRIVERS, LONG_AGO, Told, told_by


def test_every_provider_has_a_driver() -> None:
    assert set(DRIVERS) == set(MAKERS)


async def test_a_payment_gives_what_was_ordered(shop: Shop) -> None:
    buyer = await shop.buyer(10)
    told = await shop.paid(buyer)
    assert await shop.wallet(buyer) == (10 + CREDITS, 0, 0)
    grant = await shop.owner.fetchrow(
        "select source, amount, reference_id from credit_grants where user_id = $1 and source = 'PURCHASE'",
        buyer.user_id,
    )
    assert grant is not None
    assert tuple(grant) == ("PURCHASE", CREDITS, str(told.order_id))
    payment = await shop.owner.fetchrow(
        "select user_id, order_id, provider, amount_cents, currency, status, pays_order from payments"
        " where provider_payment_id = $1",
        told.payment,
    )
    assert payment is not None
    name = shop.driver.provider.name
    assert tuple(payment) == (buyer.user_id, told.order_id, name, AMOUNT, "USD", "SUCCEEDED", True)
    assert await shop.purchases(buyer) == [(name, "success")]


async def test_ten_deliveries_at_once_count_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    delivery = shop.driver.delivery("SUCCEEDED", told)
    received = await asyncio.gather(*(shop.receive(delivery) for _ in range(10)))
    assert {one.refusal for one in received} == {None}
    webhook = await shop.webhook(told)
    assert webhook["deliveries"] == 10
    await asyncio.gather(*(shop.inbox.process(webhook["id"]) for _ in range(10)))
    await shop.receive(delivery)
    await shop.process()
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)


async def test_two_events_of_one_payment_count_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    for _ in range(2):
        await shop.receive(shop.driver.delivery("SUCCEEDED", told))
    events = await shop.owner.fetch(
        "select id from webhook_events where body || query like '%' || $1 || '%'", told.payment
    )
    await asyncio.gather(*(shop.inbox.process(row["id"]) for row in events))
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)
    assert (
        await shop.owner.fetchval(
            "select count(*) from payments where order_id = $1", told.order_id
        )
        == 1
    )


@pytest.mark.parametrize("how", ["forged", "altered"])
async def test_what_the_provider_has_not_signed_is_refused(shop: Shop, how: str) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    genuine = shop.driver.delivery("SUCCEEDED", told)
    received = await shop.receive(getattr(shop.driver, how)(genuine))
    assert received.refusal is DeliveryRefusal.FORGED
    webhook = await shop.webhook(told)
    assert (webhook["status"], webhook["reason"], webhook["verified"]) == (
        "QUARANTINED",
        "FORGED",
        False,
    )
    await shop.process()
    assert await shop.wallet(buyer) == (0, 0, 0)
    # It has not taken the place of the real one.
    await shop.receive(genuine)
    await shop.process()
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)


@told_by("AGE")
async def test_a_stale_delivery_is_refused(shop: Shop) -> None:
    told = await shop.order(await shop.buyer())
    now = datetime.now(UTC)
    for at in (now - LONG_AGO, now + LONG_AGO):
        received = await shop.receive(shop.driver.delivery("SUCCEEDED", told, at))
        assert received.refusal is DeliveryRefusal.STALE
    assert (await shop.webhook(told))["reason"] == "STALE"
    await shop.process()
    assert await shop.status(told) == "PENDING"


async def _is_quarantined(shop: Shop, told: Told, reason: str) -> None:
    webhook = await shop.webhook(told)
    assert (webhook["status"], webhook["reason"]) == ("QUARANTINED", reason)
    assert not await shop.owner.fetchval(
        "select count(*) from payments where provider_payment_id = $1", told.payment
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_cents": AMOUNT - 1}, "AMOUNT_MISMATCH"),
        ({"amount_cents": AMOUNT * 100}, "AMOUNT_MISMATCH"),
        ({"currency": "EGP"}, "CURRENCY_MISMATCH"),
    ],
)
async def test_other_money_than_was_asked_counts_not(
    shop: Shop, changes: dict[str, object], reason: str
) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.tell("SUCCEEDED", told.but(**changes))
    await _is_quarantined(shop, told, reason)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PENDING", (0, 0, 0))
    # What is paid as it was asked still counts.
    await shop.tell("SUCCEEDED", told.but(payment=shop.new_id()))
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)


async def _counts_not(shop: Shop, told: Told, reason: str) -> None:
    await shop.tell("SUCCEEDED", told)
    await _is_quarantined(shop, told, reason)
    assert await shop.status(told) == "PENDING"


@told_by("PRODUCT")
async def test_another_product_counts_not(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await _counts_not(shop, told.but(product="credits-200"), "PRODUCT_MISMATCH")
    assert await shop.wallet(buyer) == (0, 0, 0)


@told_by("USER")
async def test_another_user_counts_not(shop: Shop) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    told = await shop.order(buyer)
    await _counts_not(shop, told.but(user_id=other.user_id), "USER_MISMATCH")
    assert (await shop.wallet(buyer), await shop.wallet(other)) == ((0, 0, 0), (0, 0, 0))


async def test_an_order_that_is_not_ours_counts_not(shop: Shop) -> None:
    told = await shop.order(await shop.buyer())
    unknown = shop.driver.reference(uuid4())
    await shop.tell("SUCCEEDED", told.but(reference=unknown, payment=shop.new_id()))
    await shop.tell("SUCCEEDED", told.but(reference=unknown))
    await _is_quarantined(shop, told, "UNKNOWN_ORDER")


async def test_a_payment_of_an_account_that_is_gone_is_kept_for_a_person(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.owner.execute("update orders set user_id = null where id = $1", told.order_id)
    await shop.tell("SUCCEEDED", told)
    await _is_quarantined(shop, told, "UNKNOWN_USER")


@told_by("FAILED")
async def test_a_failure_before_the_success(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.tell("FAILED", told.but(payment=shop.new_id()))
    assert (await shop.status(told), await shop.wallet(buyer)) == ("FAILED", (0, 0, 0))
    await shop.tell("SUCCEEDED", told)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PAID", (CREDITS, 0, 0))
    assert [how for _, how in await shop.purchases(buyer)] == ["failure", "success"]
    # Told of late, another attempt's failure changes nothing.
    await shop.tell("FAILED", told.but(payment=shop.new_id()))
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PAID", (CREDITS, 0, 0))


@told_by("PENDING")
async def test_a_payment_on_its_way_gives_nothing_yet(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.tell("PENDING", told)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PENDING", (0, 0, 0))
    await shop.tell("SUCCEEDED", told)
    await shop.tell("PENDING", told.but(event=None))
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PAID", (CREDITS, 0, 0))


async def test_a_second_payment_of_one_order_is_kept_for_a_person(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    again = told.but(payment=shop.new_id())
    await shop.tell("SUCCEEDED", again)
    webhook = await shop.webhook(again)
    assert (webhook["status"], webhook["reason"]) == ("QUARANTINED", "ALREADY_PAID")
    assert await shop.wallet(buyer) == (CREDITS, 0, 0)
    # Its refund takes nothing of what the first one gave.
    await shop.tell("REFUNDED", again)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PAID", (CREDITS, 0, 0))


@pytest.mark.parametrize(
    ("cents", "left", "status"),
    [
        (1, 50, "PARTIALLY_REFUNDED"),
        (105, 40, "PARTIALLY_REFUNDED"),
        (499, 1, "PARTIALLY_REFUNDED"),
        (500, 0, "REFUNDED"),
    ],
)
async def test_a_refund_takes_as_large_a_part_of_the_credits(
    shop: Shop, cents: int, left: int, status: str
) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    await shop.tell("REFUNDED", told.but(amount_cents=cents))
    assert (await shop.status(told), await shop.wallet(buyer)) == (status, (left, 0, 0))


async def test_refunds_add_up_and_never_beyond_the_price(shop: Shop) -> None:
    buyer = await shop.buyer(7)
    told = await shop.paid(buyer)
    # Three parts of 33 % each leave what rounding down leaves, and the last cent takes the rest.
    for cents, balance in ((165, 41), (165, 24), (165, 8), (500, 7)):
        refund = shop.driver.delivery(
            "REFUNDED", told.but(amount_cents=cents, refund=shop.new_id())
        )
        for _ in range(2):
            await shop.receive(refund)
        await shop.process()
        assert await shop.wallet(buyer) == (balance, 0, 0)
    assert await shop.status(told) == "REFUNDED"


async def test_a_refund_that_comes_before_its_payment_waits_for_it(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.tell("REFUNDED", told)
    assert (await shop.webhook(told))["status"] == "PARKED"
    assert await shop.status(told) == "PENDING"
    await shop.tell("SUCCEEDED", told)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("REFUNDED", (0, 0, 0))
    assert not await shop.owner.fetchval(
        "select count(*) from webhook_events where status = 'PARKED' and waits_for = $1",
        told.payment,
    )


async def test_a_refund_and_its_payment_at_once_end_as_one_after_the_other(shop: Shop) -> None:
    buyer = await shop.buyer()
    orders = [await shop.order(buyer) for _ in range(5)]
    for told in orders:
        await shop.receive(shop.driver.delivery("REFUNDED", told))
        await shop.receive(shop.driver.delivery("SUCCEEDED", told))
    rows = await shop.owner.fetch("select id from webhook_events where status = 'RECEIVED'")
    await asyncio.gather(*(shop.inbox.process(row["id"]) for row in rows))
    await shop.process()
    assert {await shop.status(told) for told in orders} == {"REFUNDED"}
    assert await shop.wallet(buyer) == (0, 0, 0)


async def test_what_was_used_before_the_refund_is_owed(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    await shop.spend(buyer, 30)
    await shop.tell("REFUNDED", told)
    assert await shop.wallet(buyer) == (0, 0, 30)
    # What comes in pays it first.
    await shop.paid(buyer)
    assert await shop.wallet(buyer) == (CREDITS - 30, 0, 0)


@told_by("DISPUTED")
async def test_a_dispute_holds_and_then_gives_back_or_takes(shop: Shop) -> None:
    for verdict, status, wallet in (("WON", "PAID", (55, 0, 0)), ("LOST", "REFUNDED", (5, 0, 0))):
        buyer = await shop.buyer(5)
        told = await shop.paid(buyer)
        await shop.tell("DISPUTED", told)
        assert (await shop.status(told), await shop.wallet(buyer)) == ("DISPUTED", (55, 50, 0))
        with pytest.raises(asyncpg.PostgresError, match="Not enough credits"):
            await shop.spend(buyer, 6)
        await shop.tell(verdict, told)
        assert (await shop.status(told), await shop.wallet(buyer)) == (status, wallet)
        # Told again, or out of order, it changes nothing.
        await shop.tell("DISPUTED", told)
        assert (await shop.status(told), await shop.wallet(buyer)) == (status, wallet)


@told_by("DISPUTED")
async def test_a_lost_dispute_is_owed_for_what_was_used(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    await shop.spend(buyer, 45)
    await shop.tell("DISPUTED", told)
    assert await shop.wallet(buyer) == (5, 5, 0)
    await shop.tell("LOST", told)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("REFUNDED", (0, 0, 45))


@told_by("DISPUTED")
async def test_the_end_of_a_dispute_may_be_told_of_first(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    for kind in ("LOST", "DISPUTED"):
        await shop.tell(kind, told)
        assert (await shop.status(told), await shop.wallet(buyer)) == ("REFUNDED", (0, 0, 0))


@told_by("DISPUTED")
async def test_a_refund_under_a_dispute_takes_what_is_held(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    await shop.tell("DISPUTED", told)
    await shop.tell("REFUNDED", told.but(amount_cents=100))
    assert (await shop.status(told), await shop.wallet(buyer)) == ("DISPUTED", (40, 40, 0))
    await shop.tell("REFUNDED", told.but(amount_cents=400))
    assert (await shop.status(told), await shop.wallet(buyer)) == ("REFUNDED", (0, 0, 0))


@told_by("DISPUTED")
async def test_a_dispute_of_a_plan_holds_what_is_left_of_its_credits(shop: Shop) -> None:
    """As large a part as of the price; no daily cap counts what is held."""
    used = "select daily_used, plan_id from wallets w join users u on u.id = user_id where id = $1"
    for verdict, left in {
        "WON": ("PAID", "pro", (75, 0, 0), 30),
        "LOST": ("REFUNDED", "free", (0, 0, 25), 30),
    }.items():
        buyer = await shop.buyer(5)
        told = await shop.paid(buyer, "pro-month")
        await shop.spend(buyer, 30)
        await shop.tell("DISPUTED", told.but(amount_cents=500))
        assert (await shop.status(told), await shop.wallet(buyer)) == ("DISPUTED", (75, 35, 0))
        await shop.tell(verdict, told.but(amount_cents=500))
        if verdict == "LOST":  # of a part of the money; the plan ends when all of it went back
            assert await shop.status(told) == "PARTIALLY_REFUNDED"
            assert await shop.wallet(buyer) == (75, 0, 0)
            await shop.tell("REFUNDED", told.but(amount_cents=500))
        row = await shop.owner.fetchrow(used, buyer.user_id)
        found = (await shop.status(told), row["plan_id"], await shop.wallet(buyer))
        assert (*found, row["daily_used"]) == left


@told_by("DISPUTED")
async def test_a_buyer_is_told_of_money_that_goes_back_and_of_low_credits(shop: Shop) -> None:
    await shop.owner.execute("select app.set_low_balance(5)")
    buyer = await shop.buyer()
    told = await shop.paid(buyer)
    await shop.spend(buyer, 20)
    for _ in range(2):
        await shop.tell("DISPUTED", told.but(amount_cents=100))
    whole = told.but(refund=shop.new_id())
    for _ in range(2):
        await shop.tell("REFUNDED", whole)
    notices = await shop.owner.fetch(
        "select title_key, data ->> 'order' as of_order, data ->> 'available' as available"
        " from notifications where user_id = $1",
        buyer.user_id,
    )
    order = f"order_{told.order_id}"
    found = sorted(tuple(one) for one in notices if "welcome" not in one["title_key"])
    assert found == [
        ("notifications.creditsLow.title", None, "0"),
        ("notifications.paymentDisputed.title", order, None),
        ("notifications.paymentRefunded.title", order, None),
        ("notifications.paymentSucceeded.title", order, None),
    ]


async def test_a_payment_that_comes_too_late_still_counts(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    await shop.owner.execute(
        "update orders set expires_at = now() - interval '1 second' where id = $1", told.order_id
    )
    await shop.owner.fetchval("select app.expire_orders(1000)")
    assert await shop.status(told) == "EXPIRED"
    await shop.tell("SUCCEEDED", told)
    assert (await shop.status(told), await shop.wallet(buyer)) == ("PAID", (CREDITS, 0, 0))


async def test_an_admin_is_told_of_what_is_quarantined(shop: Shop) -> None:
    admin = await shop.buyer()
    await shop.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    told = await shop.order(await shop.buyer())
    await shop.tell("SUCCEEDED", told.but(amount_cents=1))
    data = await shop.owner.fetchval(
        "select data from notifications where user_id = $1", admin.user_id
    )
    await shop.owner.execute("update users set role = 'user' where id = $1", admin.user_id)
    assert '"AMOUNT_MISMATCH"' in data


async def test_what_a_merged_guest_ordered_is_the_members(shop: Shop) -> None:
    member = await shop.buyer()
    guest = Actor(
        "authenticated",
        await shop.owner.fetchval("insert into users (is_anonymous) values (true) returning id"),
        is_anonymous=True,
    )
    paid, waiting = await shop.paid(guest), await shop.order(guest)
    await shop.spend(guest, 20)
    await shop.owner.fetchval("select app.merge_guest($1, $2)", guest.user_id, member.user_id)
    assert await shop.wallet(member) == (30, 0, 0)
    await shop.tell("SUCCEEDED", waiting)
    assert await shop.wallet(member) == (80, 0, 0)
    await shop.tell("REFUNDED", paid)
    assert await shop.wallet(member) == (30, 0, 0)


async def test_a_test_delivery_never_counts_in_production(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await shop.order(buyer)
    production = WebhookInbox(shop.database, {}, is_production=True)
    await shop.receive(shop.driver.delivery("SUCCEEDED", told))
    await production.process((await shop.webhook(told))["id"])
    await _is_quarantined(shop, told, "PROVIDER_OFF")
    assert await shop.wallet(buyer) == (0, 0, 0)


async def test_a_plan_that_is_bought_lasts_for_its_time_and_ends_with_its_refund(
    shop: Shop,
) -> None:
    buyer = await shop.buyer()
    told = await shop.paid(buyer, "pro-month")
    plan = "select plan_id from users where id = $1"
    assert await shop.owner.fetchval(plan, buyer.user_id) == "pro"
    assert await shop.owner.fetchval(
        "select paid_until = paid_at + interval '1 month' from orders where id = $1", told.order_id
    )
    monthly = await shop.owner.fetchval("select monthly_credits from plans where id = 'pro'")
    assert await shop.wallet(buyer) == (monthly, 0, 0)
    await shop.spend(buyer, 30)
    await shop.tell("REFUNDED", told.but(amount_cents=500))
    assert await shop.owner.fetchval(plan, buyer.user_id) == "pro"
    assert (await shop.status(told), await shop.wallet(buyer)) == (
        "PARTIALLY_REFUNDED",
        (monthly - 30, 0, 0),
    )
    await shop.tell("REFUNDED", told.but(amount_cents=500))
    assert await shop.owner.fetchval(plan, buyer.user_id) != "pro"
    # What was used of the plan's credits is owed.
    assert (await shop.status(told), await shop.wallet(buyer)) == ("REFUNDED", (0, 0, 30))
