"""Orders whose webhook never came are asked about, and the buyer's browser is only shown words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from jobs import billing
from jobs.core.declare import WorkerServices
from jobs.providers.base import LimitedProvider
from jobs.providers.offline import OfflineProvider
from payments.checkouts import Checkouts
from payments.inbox import WebhookInbox
from payments.paymob import RETURN_PATH
from payments.paymob_transactions import signed_values
from payments.registry import configured_providers
from server.paymob_return import PaymobReturn
from settings import Settings
from tests.fakes.paymob import FakePaymob, paymob

from ..conftest import MakeUser
from .conftest import CREDITS, PRICE, PRODUCT

SUCCESS, CANCEL = "https://app.example.test/paid", "https://app.example.test/back"


class Store:
    """A shop that sells by a fake Paymob, with its worker and its page."""

    def __init__(
        self, settings: Settings, database: Database, owner: asyncpg.Connection, fake: FakePaymob
    ) -> None:
        told = {name.lower(): value for name, value in fake.settings.items()}
        self.settings = Settings.model_validate(settings.model_dump() | told)
        self.fake, self.owner, self.database = fake, owner, database
        providers = configured_providers(self.settings)
        self.inbox = WebhookInbox(database, providers, is_production=False)
        self.checkouts = Checkouts(
            database, providers, origins=["https://app.example.test"], takes_any_return=False
        )
        provider: Any = providers["paymob"]
        page = PaymobReturn(database, "The shop", provider)
        self.app = Starlette()
        self.app.add_route(RETURN_PATH, page.show)

    async def order(self, buyer: Actor, minutes_old: float) -> int:
        """An order of a buyer's; its number at Paymob."""
        bought = await self.checkouts.create(
            buyer,
            product_id=PRODUCT,
            provider="paymob",
            success_url=SUCCESS,
            cancel_url=CANCEL,
            idempotency_key=f"key-{minutes_old}",
        )
        await self.owner.execute(
            "update orders set created_at = now() - $2::interval where id = $1",
            bought.order_id,
            timedelta(minutes=minutes_old),
        )
        (reference,) = await self.owner.fetchrow(  # type: ignore[misc]
            "select reference from order_references where order_id = $1", bought.order_id
        )
        return int(reference)

    async def ask(self) -> None:
        """The scheduled inquiry runs."""
        services = WorkerServices(
            self.database,
            open_storage(self.settings),
            LimitedProvider(OfflineProvider()),
            lambda: None,
            self.settings,
        )
        await services.run(billing.ask_providers)

    async def balance(self, buyer: Actor) -> int:
        found = await self.owner.fetchval(
            "select balance from wallets where user_id = $1", buyer.user_id
        )
        return int(found or 0)

    async def returned(self, number: int | None, **changed: str) -> str:
        """The page that the browser is shown behind a transaction."""
        query: dict[str, Any] = {}
        if number is not None:
            made = self.fake.transactions[number]
            query = {k: v for k, v in signed_values(made).items() if k != "order.id"}
            query |= {"order": str(made["order"]["id"])}
            query |= {"hmac": parse_qs(self.fake.callback(number).query)["hmac"][0]}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answer = await client.get(RETURN_PATH, params=query | changed)
        assert answer.status_code == 200
        assert "script" not in answer.text
        return answer.text


@pytest.fixture
def fake() -> Iterator[FakePaymob]:
    with paymob() as made:
        yield made


@pytest.fixture
async def store(
    settings: Settings, database: Database, owner: asyncpg.Connection, fake: FakePaymob
) -> Store:
    await owner.execute(PRICE, "paymob")
    return Store(settings, database, owner, fake)


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
