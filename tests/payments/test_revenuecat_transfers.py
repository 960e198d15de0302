"""Transfers at RevenueCat: whoever is told of first, each purchase is one user's, and credits stay where they are."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

from db.core.actor import Actor
from payments.revenuecat import RevenueCatProvider

from ..fakes.revenuecat import FakeRevenueCat, milliseconds
from .test_revenuecat import CREDITS, MONTH, NOW, PRO, Store, store  # noqa: F401 - a fixture
from .test_revenuecat_inquiries import (  # noqa: F401 - two fixtures
    ask,
    fake,
    pro,
    provider,
    purchase,
    subscription,
)


def moved(giver: Actor | str, receiver: Actor | str, minutes: float) -> dict[str, Any]:
    """What is said of a transfer, so long after a subscription's first event."""
    names = [str(one.user_id) if isinstance(one, Actor) else one for one in (giver, receiver)]
    at = milliseconds(NOW + timedelta(minutes=minutes))
    return {
        "transferred_from": names[:1],
        "transferred_to": names[1:],
        "event_timestamp_ms": at,
    }


async def test_whatever_is_told_of_first_the_last_receiver_has_it(store: Store) -> None:  # noqa: F811
    for order in permutations(range(4)):
        first = str(uuid4())
        one, two, three = [await store.shop.buyer() for _ in range(3)]
        told = [
            ("INITIAL_PURCHASE", store.subscribed(one.user_id, first)),
            ("TRANSFER", moved(one, two, 0.25)),
            ("TRANSFER", moved(two, one, 0.5)),
            ("TRANSFER", moved(one, three, 0.75)),
        ]
        # What came first comes again, as if its answer had been lost.
        for n in (*order, order[0]):
            kind, said = told[n]
            assert await store.tell(kind, **said) == "PROCESSED", order
        assert await store.entitlement(three) == (True, NOW + MONTH, True), order
        assert await store.entitlement(one) is await store.entitlement(two) is None, order
        assert [len(await store.orders(each)) for each in (one, two, three)] == [1, 0, 0], order


async def test_what_is_bought_after_a_transfer_stays_also_when_that_is_told_of_late(
    store: Store,  # noqa: F811
) -> None:
    giver, receiver = await store.shop.buyer(), await store.shop.buyer()
    first, second = str(uuid4()), str(uuid4())
    await store.tell("INITIAL_PURCHASE", **store.subscribed(giver.user_id, first))
    again = milliseconds(NOW + timedelta(minutes=3))
    bought = store.subscribed(giver.user_id, second) | {"event_timestamp_ms": again}
    await store.tell("INITIAL_PURCHASE", **bought)
    await store.tell("TRANSFER", **moved(giver, receiver, 1))
    assert await store.entitlement(giver) == (True, NOW + MONTH, True)
    assert await store.entitlement(receiver) == (True, NOW + MONTH, True)
    # What happened before it, told of later, is the receiver's too.
    cancelled = milliseconds(NOW + timedelta(seconds=30))
    late = store.subscribed(giver.user_id, first, cancel_reason="UNSUBSCRIBE")
    await store.tell("CANCELLATION", **(late | {"event_timestamp_ms": cancelled}))
    assert await store.entitlement(receiver) == (True, NOW + MONTH, False)
    assert await store.entitlement(giver) == (True, NOW + MONTH, True)


async def test_a_transfer_to_nobody_waits_for_who_it_is(store: Store) -> None:  # noqa: F811
    giver, first = await store.shop.buyer(), str(uuid4())
    device = f"$RCAnonymousID:{uuid4().hex}"
    await store.tell("INITIAL_PURCHASE", **store.subscribed(giver.user_id, first))
    assert await store.tell("TRANSFER", **moved(giver, device, 1)) == "PARKED"
    receiver = await store.shop.buyer()
    alias = store.bought(receiver.user_id, "none", aliases=[device, str(receiver.user_id)])
    assert await store.tell("SUBSCRIBER_ALIAS", **alias) == "PROCESSED"
    await store.shop.process()
    assert await store.entitlement(giver) is None
    assert await store.entitlement(receiver) == (True, NOW + MONTH, True)


async def test_asking_about_the_receiver_books_nothing_twice(
    store: Store,  # noqa: F811
    provider: RevenueCatProvider,  # noqa: F811
    fake: FakeRevenueCat,  # noqa: F811
) -> None:
    giver, receiver = await store.shop.buyer(), await store.shop.buyer()
    pack, lost, first = str(uuid4()), str(uuid4()), str(uuid4())
    await store.tell("NON_RENEWING_PURCHASE", **store.bought(giver.user_id, pack))
    await store.shop.spend(giver, 20)
    await store.tell("INITIAL_PURCHASE", **store.subscribed(giver.user_id, first))
    wallet = await store.shop.wallet(giver)
    await store.tell("TRANSFER", **moved(giver, receiver, 0))
    fake.knows(
        receiver.user_id,
        non_subscriptions={CREDITS: [purchase(pack), purchase(lost)]},
        subscriptions={PRO: subscription(f"{first}-0", price={"amount": 14.99, "currency": "USD"})},
        entitlements=pro(NOW + MONTH),
    )
    for _ in range(2):
        assert await ask(store, provider, receiver) == "PROCESSED"
    assert await store.shop.wallet(giver) == wallet
    assert await store.shop.wallet(receiver) == (50, 0, 0)
    assert await store.orders(receiver) == [("credits-50", 2499, "PAID")]
    assert await store.entitlement(receiver) == (True, NOW + MONTH, True)
    # A store that gives the money back says so of the receiver; what was used is owed by who had it.
    back = store.bought(receiver.user_id, pack) | {"cancel_reason": "CUSTOMER_SUPPORT"}
    assert await store.tell("CANCELLATION", **back) == "PROCESSED"
    assert await store.shop.wallet(receiver) == (50, 0, 0)
    left, _, owed = await store.shop.wallet(giver)
    assert left - owed == wallet[0] - 50


async def test_what_is_told_again_of_an_alias_gives_nothing_twice(
    store: Store,  # noqa: F811
) -> None:
    one, other, transaction = await store.shop.buyer(), await store.shop.buyer(), str(uuid4())
    said = store.bought(one.user_id, transaction)
    assert await store.tell("NON_RENEWING_PURCHASE", **said) == "PROCESSED"
    both = [str(one.user_id), str(other.user_id)]
    again = said | {"app_user_id": both[1], "aliases": both}
    for kind in ("SUBSCRIBER_ALIAS", "NON_RENEWING_PURCHASE"):
        assert await store.tell(kind, **again) == "PROCESSED"
    assert await store.shop.wallet(one) == (50, 0, 0)
    assert await store.shop.wallet(other) == (0, 0, 0)
