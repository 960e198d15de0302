"""Orders whose webhook never came are asked about, and the buyer's browser is only shown words."""

from __future__ import annotations

import asyncpg
import pytest

from ..conftest import MakeUser
from .conftest import CREDITS
from .paymob_store import CANCEL, SUCCESS, Store


@pytest.mark.parametrize(
    ("minutes_old", "is_asked"),
    [(0, False), (4, False), (6, True), (11, True), (17, False), (21, True), (2562, True)],
)
async def test_an_order_is_asked_about_at_growing_intervals(
    store: Store, make_user: MakeUser, minutes_old: float, is_asked: bool
) -> None:
    buyer = await make_user()
    number = await store.order(buyer, minutes_old)
    store.fake.pay(number)
    before = await store.balance(buyer)
    await store.ask()
    await store.ask()  # A second time it is paid already.
    assert await store.balance(buyer) == before + (CREDITS if is_asked else 0)


async def test_declined_and_unpaid_orders_stay_open(
    store: Store, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    buyer = await make_user()
    declined = await store.order(buyer, 6)
    await store.order(buyer, 6.5)
    store.fake.pay(declined, pays=False)
    await store.ask()
    found = await owner.fetch("select status from orders where user_id = $1", buyer.user_id)
    assert [row["status"] for row in found] == ["PENDING", "PENDING"]
    assert not await owner.fetchval(
        "select count(*) from webhook_events w join orders o on o.id = w.order_id"
        " where o.user_id = $1",
        buyer.user_id,
    )


async def test_a_provider_that_is_away_is_asked_later(
    store: Store, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await make_user()
    for minutes_old in (6, 7):
        store.fake.pay(await store.order(buyer, minutes_old))
    before = await store.balance(buyer)
    with monkeypatch.context() as away:
        away.setitem(store.fake.stub.answers, "/api/auth/tokens", lambda _: (503, {}))
        asked = store.fake.stub.count("/api/auth/tokens")
        await store.ask()
        assert store.fake.stub.count("/api/auth/tokens") == asked + 1
    assert await store.balance(buyer) == before
    await store.ask()
    assert await store.balance(buyer) == before + 2 * CREDITS


async def test_the_browsers_return_says_how_it_stands_and_gives_nothing(
    store: Store, make_user: MakeUser
) -> None:
    buyer = await make_user()
    before = await store.balance(buyer)
    number = await store.order(buyer, 6)
    store.fake.pay(number, pays=False)
    store.fake.pay(number)
    declined, paid = store.fake.of_order(number)
    page = await store.returned(declined)
    assert "declined" in page
    assert CANCEL in page
    page = await store.returned(paid)
    assert "being confirmed" in page
    assert SUCCESS in page
    assert await store.balance(buyer) == before
    await store.ask()
    assert "it is paid" in await store.returned(paid)
    for forged in ({"success": "true"}, {"hmac": "0" * 128}, {"amount_cents": "1"}):
        page = await store.returned(declined, **forged)
        assert "Go back to the app" in page
        assert "app.example.test" not in page
    assert "Go back to the app" in await store.returned(None, success="true", order="1")
