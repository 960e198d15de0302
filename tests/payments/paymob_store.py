"""A shop that sells by a Paymob of the tests' own: its orders, its worker, and its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import httpx
from starlette.applications import Starlette

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from jobs import billing
from jobs.core.declare import WorkerServices
from jobs.providers.base import LimitedProvider
from jobs.providers.offline import OfflineProvider
from payments.base import Delivery
from payments.checkouts import Checkouts
from payments.inbox import WebhookInbox
from payments.paymob import RETURN_PATH
from payments.paymob_transactions import signed_values
from payments.refunds import Refunds
from payments.registry import configured_providers
from server.paymob_return import PaymobReturn
from settings import Settings
from tests.fakes.paymob import Callback, FakePaymob

# Beside those of the demo.
PRODUCT = "credits-50"
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
        self.refunds = Refunds(database, self.inbox)
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

    async def delivered(self, sent: Callback) -> None:
        """Paymob calls, and the job runs."""
        delivery = Delivery({}, sent.body, datetime.now(UTC), sent.query)
        provider = self.inbox.providers["paymob"]
        assert (await self.inbox.receive(provider, delivery)).refusal is None
        for row in await self.owner.fetch(
            "select id from webhook_events where status = 'RECEIVED' and provider = 'paymob'"
        ):
            await self.inbox.process(row["id"])

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
