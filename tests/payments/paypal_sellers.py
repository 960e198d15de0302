"""A store whose seller is paid by PayPal, at a PayPal of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.actor import Actor
from db.core.pool import Database
from db.vault.sealing import Vault
from payments.base import Delivery
from payments.checkouts import Checkouts
from payments.inbox import WebhookInbox
from payments.onboarding import Sellers
from payments.refunds import Refunds
from payments.registry import configured_providers, configured_tellers
from settings import Settings

from ..fakes.paypal import FakePayPal

PAGE = "https://app.example.test"


class Shop:
    """Stores at a PayPal of their own."""

    def __init__(
        self, paypal: FakePayPal, database: Database, owner: asyncpg.Connection, settings: Settings
    ) -> None:
        given = {name.lower(): value for name, value in paypal.settings.items()}
        settings = Settings.model_validate(settings.model_dump() | given)
        vault = Vault(settings)
        self.paypal, self.owner = paypal, owner
        self.inbox = WebhookInbox(database, configured_tellers(settings), is_production=False)
        origins = {"origins": [PAGE], "takes_any_return": False}
        self.sellers = Sellers(
            database, self.inbox, vault, base_url=settings.base_url, **origins  # type: ignore[arg-type]
        )  # fmt: skip
        self.checkouts = Checkouts(
            database, configured_providers(settings), vault=vault, **origins  # type: ignore[arg-type]
        )  # fmt: skip
        self.refunds = Refunds(database, self.inbox)

    async def open(self, seller: Actor) -> tuple[UUID, str]:
        """A store of a seller's, and what it sells for 20 dollars."""
        store_id = await self.owner.fetchval(
            "insert into stores (user_id, slug, name) values ($1, $2, 'Store') returning id",
            seller.user_id,
            f"store-{uuid4().hex[:12]}",
        )
        product_id = str(uuid4())
        await self.owner.execute(
            "insert into products (id, name, kind, store_id, seller_id) values ($1, 'P', 'BOT', $2, $3)",
            product_id,
            store_id,
            seller.user_id,
        )
        await self.owner.execute("select app.set_product_price($1, 2000, 'USD')", product_id)
        return store_id, product_id

    async def onboard(self, seller: Actor, store_id: UUID) -> str:
        """The tracking id of the page that the store's owner is sent to."""
        url = await self.sellers.onboard(seller, store_id, provider="paypal", return_url=PAGE)
        return url.rpartition("/")[2]

    async def tell(self, delivery: Delivery) -> Any:
        """PayPal delivers, and the worker does what it says."""
        received = await self.inbox.receive(self.inbox.providers["paypal"], delivery)
        async for _ in self.inbox.process_new():
            pass
        return received

    async def status(self, store_id: UUID) -> tuple[str, str]:
        """How far a store's account at PayPal is, and that at Stripe."""
        row = await self.owner.fetchrow(
            "select paypal_status, connect_status from stores where id = $1", store_id
        )
        assert row is not None
        return row["paypal_status"], row["connect_status"]

    async def account(self, store_id: UUID) -> str | None:
        """What is kept of a store's account, as text."""
        found: str | None = await self.owner.fetchval(
            "select a::text from seller_accounts a where store_id = $1", store_id
        )
        return found

    async def buy(self, buyer: Actor, product_id: str) -> tuple[UUID, str]:
        """An order whose buyer agreed, and its name at PayPal."""
        order_id, name = await self.order(buyer, product_id)
        await self.tell(self.paypal.approve(name))
        return order_id, name

    async def order(self, buyer: Actor, product_id: str) -> tuple[UUID, str]:
        """An order that waits for its buyer, and its name at PayPal."""
        bought = await self.checkouts.create(
            buyer,
            product_id=product_id,
            provider="paypal",
            success_url=None,
            cancel_url=None,
            idempotency_key=str(uuid4()),
        )
        return bought.order_id, next(reversed(self.paypal.orders))
