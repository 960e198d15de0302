"""Google Play: a subscription with add-ons has several items, each with a time of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.base import PaidOrder
from settings import Settings
from tests.fakes import google_play
from tests.fakes.google_play import PENDING, PURCHASED, RENEWED, amount, item_of

from ..conftest import MakeUser
from .conftest import open_shop
from .store_subscriptions import Subscribers, subscribers_of
from .test_google_play import Subscription, shop_of

NOW = datetime.now(UTC)
MONTH = timedelta(days=31)
ADD_ON = """
with made as (insert into products (id, name, kind, plan_id, is_active)
    values ('store-add-on', 'An add-on', 'SUBSCRIPTION', $1, false)
    on conflict (id) do update set plan_id = excluded.plan_id returning id)
insert into product_prices (product_id, provider, amount_cents, currency, billing_interval, price_id)
select id, 'google-play', 99, 'USD', 'MONTH', 'extras:monthly' from made on conflict do nothing
"""


@pytest.fixture
async def store(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> Subscribers:
    shop = await open_shop("google-play", database, owner, settings, make_user)
    return await subscribers_of(shop, owner, "credits", "premium:monthly", "premium:yearly")


class Bundle(Subscription):
    """A subscriber's with add-ons."""

    def pays(self, order_id: str, lines: dict[str, int], **changed: Any) -> None:
        """What an order is for."""
        listed = [
            {"productId": name, "total": amount(cents, "USD")} for name, cents in lines.items()
        ]
        self.play.order(order_id, sum(lines.values()), "USD", lineItems=listed, **changed)

    async def has(
        self, *items: dict[str, Any], state: str = "ACTIVE", kind: int = RENEWED, **changed: Any
    ) -> None:
        """What Google Play knows from now on, and tells of."""
        self.knows(*items, state=state, **changed)
        await self.told(kind)

    def knows(self, *items: dict[str, Any], state: str = "ACTIVE", **changed: Any) -> None:
        said = self.account | {"lineItems": list(items)} | changed
        self.play.subscription(self.token, "", NOW, state, **said)

    async def paid(self) -> Sequence[tuple[Any, ...]]:
        """What was paid for what, and what became of it."""
        rows = await self.store.owner.fetch(
            "select o.product_id, p.amount_cents, p.status from orders o"
            " join payments p on p.order_id = o.id where o.user_id = $1 order by o.product_id",
            self.user.user_id,
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("place", [0, 1])
async def test_what_is_ours_counts_wherever_it_stands_and_the_rest_is_for_a_person(
    store: Subscribers, place: int
) -> None:
    one = Bundle(store, await store.shop.buyer())
    order_id = f"{one.order_id}..0"
    one.pays(order_id, {"premium": 499, "unheard-of": 100})
    items = [item_of("unheard-of", order_id, NOW + MONTH)]
    items.insert(place, item_of("premium", order_id, NOW + MONTH))
    await one.has(*items, kind=PURCHASED, acknowledgementState=PENDING)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert await one.paid() == [("store-month", 499, "SUCCEEDED")]
    jobs = await store.owner.fetch(
        "select convert_from(payload, 'UTF8')::jsonb ->> 'purchase' from queue.pgqueuer"
        " where entrypoint = 'acknowledge_purchase' and dedupe_key like '%' || $1 || '%'",
        order_id,
    )
    assert [row[0] for row in jobs] == [f"subscriptions/premium/tokens/{one.token}"]
    assert await store.quarantined(one.user.user_id or "") == ["PRODUCT_MISMATCH"]
    # The order's refund is that of what it paid for here.
    one.pays(order_id, {"premium": 499, "unheard-of": 100}, state="REFUNDED")
    await store.tell(google_play.push(google_play.of_void(one.token, order_id)))
    assert await store.plan(one.user) == ("free", "ENDED", False)
    assert await one.paid() == [("store-month", 499, "REFUNDED")]


async def test_of_nothing_that_is_ours_nothing_is_given(store: Subscribers) -> None:
    one = Bundle(store, await store.shop.buyer())
    one.pays(one.order_id, {"this": 499, "that": 100})
    items = [item_of(name, one.order_id, NOW + MONTH) for name in ("this", "that")]
    await one.has(*items, kind=PURCHASED, acknowledgementState=PENDING)
    assert await one.paid() == []
    with pytest.raises(asyncpg.PostgresError) as refused:
        await shop_of(store).validate(one.user, provider="google-play", proof=one.token)
    assert refused.value.hint == "NOT_FOUND"
    waiting = "select count(*) from queue.pgqueuer where dedupe_key like '%' || $1 || '%'"
    assert await store.owner.fetchval(waiting, one.order_id) == 0


@pytest.mark.parametrize("plan", ["pro", "free"])
async def test_each_item_is_paid_renewed_and_ends_by_itself(store: Subscribers, plan: str) -> None:
    await store.owner.execute(ADD_ON, plan)
    one = Bundle(store, await store.shop.buyer())
    first, second = f"{one.order_id}..0", f"{one.order_id}..1"
    one.pays(first, {"premium": 499, "extras": 99})
    one.knows(
        *(item_of(name, first, NOW + MONTH) for name in ("premium", "extras")),
        acknowledgementState=PENDING,
    )
    shop = shop_of(store)
    proven = await shop.validate(one.user, provider="google-play", proof=one.token)
    for _ in range(2):
        await one.told(PURCHASED)
    assert await shop.validate(one.user, provider="google-play", proof=one.token) == proven
    assert await one.paid() == [
        ("store-add-on", 99, "SUCCEEDED"),
        ("store-month", 499, "SUCCEEDED"),
    ]
    assert await store.transactions(one.user) == [("ACTIVE", True, False)] * 2
    # The add-on is taken out at once, and then renewed no more.
    over = item_of("extras", first, NOW - timedelta(minutes=1), renews=False)
    one.pays(second, {"premium": 499})
    await one.has(item_of("premium", second, NOW + 2 * MONTH), over)
    assert await store.plan(one.user) == ("pro", "ACTIVE", True)
    assert await store.paid_until(one.user) == NOW + 2 * MONTH
    assert sorted(await store.transactions(one.user)) == [
        ("ACTIVE", True, False), ("ACTIVE", True, False), ("EXPIRED", False, False)
    ]  # fmt: skip
    assert await store.quarantined(one.user.user_id or "") == []


async def test_an_item_that_is_to_be_taken_out_is_not_renewed(store: Subscribers) -> None:
    await store.owner.execute(ADD_ON, "pro")
    one = Bundle(store, await store.shop.buyer())
    one.pays(one.order_id, {"premium": 499, "extras": 99})
    removal = {"itemRemovalTime": google_play.written(NOW + MONTH)}
    leaving = item_of("extras", one.order_id, NOW + MONTH, deferredItemRemoval=removal)
    await one.has(item_of("premium", one.order_id, NOW + MONTH), leaving)
    assert sorted(await store.transactions(one.user)) == [
        ("ACTIVE", True, False), ("CANCELLED", False, False)
    ]  # fmt: skip


async def test_a_new_token_replaces_all_items_of_the_one_before(store: Subscribers) -> None:
    await store.owner.execute(ADD_ON, "pro")
    old = Bundle(store, await store.shop.buyer())
    old.pays(old.order_id, {"premium": 499, "extras": 99})
    await old.has(
        *(item_of(name, old.order_id, NOW + 12 * MONTH) for name in ("premium", "extras"))
    )
    new = Bundle(store, old.user)
    new.pays(new.order_id, {"premium": 499})
    await new.has(
        item_of("premium", new.order_id, NOW + MONTH), kind=PURCHASED, linkedPurchaseToken=old.token
    )
    assert await store.paid_until(new.user) == NOW + MONTH
    assert sorted(await store.transactions(new.user)) == [
        ("ACTIVE", True, False), ("EXPIRED", False, False), ("EXPIRED", False, False)
    ]  # fmt: skip


async def test_one_of_several_is_refunded_in_the_store(store: Subscribers) -> None:
    provider = store.shop.driver.provider
    with pytest.raises(DomainError) as refused:
        await provider.refund(PaidOrder(uuid4(), "GPA.1 extras", 99, "USD", ()), 99, "key")
    assert refused.value.code is ErrorCode.PROVIDER_REFUSED
