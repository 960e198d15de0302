"""The App Store: what becomes of a subscription that is changed, given back or proven in between."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import asyncpg
import pytest

from db.core.pool import Database
from settings import Settings
from tests.fakes.app_store import milliseconds

from ..conftest import MakeUser
from .conftest import open_shop
from .store_subscriptions import Subscribers, subscribers_of
from .test_app_store import BOUGHT, MONTH, NOW, YEAR, Subscription, purchases, signed, subscribed

UPGRADED = ("DID_CHANGE_RENEWAL_PREF", "UPGRADE")


@pytest.fixture
async def store(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> Subscribers:
    shop = await open_shop("app-store", database, owner, settings, make_user)
    return await subscribers_of(
        shop, owner, "com.shop.credits", "com.shop.premium.month", "com.shop.premium.year"
    )


@pytest.mark.parametrize("told_by", ["a notification", "a proof"])
async def test_a_refunded_upgrade_leaves_nothing_of_what_it_replaced(
    store: Subscribers, told_by: str
) -> None:
    """Apple gives the rest of the month back when the year begins, and the year's money then."""
    one = await subscribed(store, NOW + MONTH)
    one.product = "com.shop.premium.year"
    year = one.paid(NOW + YEAR, 2, **BOUGHT)
    if told_by == "a proof":
        await purchases(store).validate(one.user, provider="app-store", proof=signed(year))
    await store.tell(one.says(UPGRADED[0], year, UPGRADED[1]))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert await store.transactions(one.user) == [
        ("EXPIRED", False, False), ("ACTIVE", True, False)
    ]  # fmt: skip
    back = one.paid(NOW + YEAR, 2, revocationDate=milliseconds(NOW))
    await store.tell(one.says("REFUND", back))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    await store.tell(one.says("REFUND_REVERSED", one.paid(NOW + YEAR, 2)))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(NOW + YEAR)


async def test_an_upgrade_is_the_same_in_any_order_of_telling(store: Subscribers) -> None:
    for order in permutations(range(3)):
        one = Subscription(await store.shop.buyer())
        month = one.says("SUBSCRIBED", one.paid(NOW + MONTH), "INITIAL_BUY")
        one.product = "com.shop.premium.year"
        year = one.says(UPGRADED[0], one.paid(NOW + YEAR, 2, **BOUGHT), UPGRADED[1])
        back = one.says("REFUND", one.paid(NOW + YEAR, 2, revocationDate=milliseconds(NOW)))
        told = [month, year, back]
        await store.tell(*(told[n] for n in order))
        assert await store.plan(one.user) == ("free", "ENDED", False), order
        assert await store.quarantined(one.user.user_id or "") == [], order


async def test_a_renewal_replaces_nothing(store: Subscribers) -> None:
    one = await subscribed(store, NOW + MONTH)
    renewed = one.paid(NOW + 2 * MONTH, 2)
    await store.tell(one.says("DID_RENEW", renewed))
    assert await store.transactions(one.user) == [("ACTIVE", True, False)] * 2
    await store.tell(one.says("REFUND", renewed | {"revocationDate": milliseconds(NOW)}))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(NOW + MONTH)


async def test_a_downgrade_waits_for_the_renewal(store: Subscribers) -> None:
    one = Subscription(await store.shop.buyer(), "com.shop.premium.year")
    until = NOW + timedelta(days=3)
    await store.tell(one.says("SUBSCRIBED", one.paid(until), "INITIAL_BUY"))
    await store.tell(one.says(UPGRADED[0], one.paid(until), "DOWNGRADE"))
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(until)
    one.product = "com.shop.premium.month"
    renewed = one.paid(until + MONTH, 2)
    await store.tell(one.says("DID_RENEW", renewed))
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(until + MONTH)
    assert await store.transactions(one.user) == [("ACTIVE", True, False)] * 2


async def test_a_part_of_a_subscription_that_goes_back_ends_it(store: Subscribers) -> None:
    """What goes back by proportion is the time that is left."""
    one = await subscribed(store, NOW + MONTH)
    back = one.paid(
        NOW + MONTH, revocationDate=milliseconds(NOW), revocationPercentage=60_000,
        revocationType="REFUND_PRORATED",
    )  # fmt: skip
    for _ in range(2):
        await store.tell(one.says("REFUND", back))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert await store.transactions(one.user) == [("EXPIRED", False, False)]
    assert await store.quarantined(one.user.user_id or "") == []


async def test_a_refund_that_is_told_of_behind_its_reversal_takes_nothing(
    store: Subscribers,
) -> None:
    one = await subscribed(store, NOW + MONTH)
    back = one.says("REFUND", one.paid(NOW + MONTH, revocationDate=milliseconds(NOW)))
    reversed_ = one.says("REFUND_REVERSED", one.paid(NOW + MONTH))
    await store.tell(reversed_)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    await store.tell(back)
    await store.shop.process()
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(NOW + MONTH)
    assert await store.quarantined(one.user.user_id or "") == []


async def test_a_proof_says_nothing_of_renewals(store: Subscribers) -> None:
    """A phone that is opened proves what it has; that it is cancelled, only Apple says."""
    shop = purchases(store)
    one = await subscribed(store, NOW + MONTH)
    off = one.paid(NOW + MONTH)
    await store.tell(one.says("DID_CHANGE_RENEWAL_STATUS", off, autoRenewStatus=0))
    proof = signed(one.paid(NOW + MONTH))
    assert await shop.restore(one.user, provider="app-store", proofs=[proof]) == 1
    assert await store.plan(one.user) == ("pro", "CANCELLING", True)
    assert await store.transactions(one.user) == [("CANCELLED", False, False)]
    # Nor does it outdo what is told of late.
    late = one.paid(NOW + MONTH)
    proof = signed(one.paid(NOW + MONTH))
    await shop.validate(one.user, provider="app-store", proof=proof)
    await store.tell(one.says("DID_CHANGE_RENEWAL_STATUS", late, autoRenewStatus=1))
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)


async def test_a_proof_in_a_period_of_grace_ends_nothing(store: Subscribers) -> None:
    until = NOW + timedelta(hours=1)
    one = await subscribed(store, until)
    grace = {"gracePeriodExpiresDate": milliseconds(NOW + timedelta(days=16))}
    await store.tell(one.says("DID_FAIL_TO_RENEW", one.paid(until), "GRACE_PERIOD", **grace))
    await purchases(store).validate(one.user, provider="app-store", proof=signed(one.paid(until)))
    assert await store.transactions(one.user) == [("ACTIVE", True, True)]


async def test_what_was_upgraded_proves_nothing_more(store: Subscribers) -> None:
    one = Subscription(await store.shop.buyer())
    month = one.paid(NOW + MONTH, isUpgraded=True)
    year = one.paid(NOW + YEAR, 2, productId="com.shop.premium.year", **BOUGHT)
    proofs = [signed(month), signed(year)]
    assert await purchases(store).restore(one.user, provider="app-store", proofs=proofs) >= 1
    assert milliseconds(await store.paid_until(one.user)) == milliseconds(NOW + YEAR)
    back = one.paid(NOW + YEAR, 2, revocationDate=milliseconds(NOW))
    await store.tell(one.says("REFUND", back | {"productId": "com.shop.premium.year"}))
    assert await store.plan(one.user) == ("free", "ENDED", False)
