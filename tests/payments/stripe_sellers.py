"""A store whose seller is paid by Stripe Connect, at a Stripe of its own."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.actor import Actor
from db.core.pool import Database
from db.vault.sealing import Vault
from db.vault.watching import VaultKeys
from jobs.stores import settle_transfer
from payments.base import Delivery
from payments.checkouts import Checkouts
from payments.inbox import WebhookInbox
from payments.onboarding import Sellers
from payments.refunds import Refunds
from payments.registry import configured_providers, configured_tellers
from settings import Settings

from ..fakes import stripe as fake
from ..fakes.stripe import FakeStripe

PAGE = "https://app.example.test"
READY = {"charges_enabled": True, "payouts_enabled": True, "details_submitted": True}


class Shop:
    """A store of a seller's with one product, at a Stripe of its own."""

    def __init__(
        self, stripe: FakeStripe, database: Database, owner: asyncpg.Connection, settings: Settings
    ) -> None:
        given = {name.lower(): value for name, value in stripe.settings.items()}
        settings = Settings.model_validate(settings.model_dump() | given)
        vault = Vault(settings)
        self.stripe, self.database, self.owner = stripe, database, owner
        self.inbox = WebhookInbox(
            database,
            configured_tellers(settings),
            is_production=False,
            keys=VaultKeys(database, vault),
        )
        origins = {"origins": [PAGE], "takes_any_return": False}
        self.sellers = Sellers(
            database, self.inbox, vault, base_url=settings.base_url, **origins  # type: ignore[arg-type]
        )  # fmt: skip
        self.checkouts = Checkouts(
            database, configured_providers(settings), vault=vault, **origins  # type: ignore[arg-type]
        )  # fmt: skip
        self.refunds = Refunds(database, self.inbox)

    async def open(
        self, seller: Actor, cents: int = 2_000, currency: str = "USD"
    ) -> tuple[UUID, str]:
        """A store of a seller's, and what it sells."""
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
        await self.owner.execute(
            "select app.set_product_price($1, $2, $3)", product_id, cents, currency
        )
        return store_id, product_id

    async def onboard(self, seller: Actor, store_id: UUID) -> str:
        """The account at Stripe, with the page that its owner is sent to."""
        url = await self.sellers.onboard(seller, store_id, provider="stripe", return_url=PAGE)
        return url.rpartition("/")[2]

    async def tell(self, delivery: Delivery, name: str = "stripe-connect") -> Any:
        """Stripe delivers, and the worker does what it says."""
        received = await self.inbox.receive(self.inbox.providers[name], delivery)
        async for _ in self.inbox.process_new():
            pass
        return received

    async def connect(self, account: str, **changed: bool) -> None:
        """Stripe tells how an account stands."""
        about = fake.connected_account(account, **changed)
        self.stripe.accounts[account] = about
        await self.tell(fake.connect_event("account.updated", account, about))

    async def status(self, store_id: UUID) -> str:
        """How far a store's account is."""
        found: str = await self.owner.fetchval(
            "select connect_status from stores where id = $1", store_id
        )
        return found

    async def sell(self, seller: Actor, cents: int, currency: str) -> tuple[str, str]:
        """What a seller who can be paid sells, and their account."""
        store_id, product_id = await self.open(seller, cents, currency)
        account = await self.onboard(seller, store_id)
        await self.connect(account, **READY)
        return product_id, account

    async def dispute(self, payment: str, kind: str, status: str) -> None:
        """Stripe tells of a dispute about the whole payment."""
        charge = self.stripe.charges[payment]
        about = {
            "id": f"dp_{payment}",
            "payment_intent": payment,
            "amount": charge["amount"],
            "currency": charge["currency"],
            "status": status,
        }
        await self.tell(fake.event(f"charge.dispute.{kind}", about), "stripe")

    async def settle_transfers(self) -> None:
        """Runs the jobs that wait, as a worker does."""
        jobs = await self.owner.fetch(
            "delete from queue.pgqueuer where entrypoint = 'settle_transfer'"
            " returning convert_from(payload, 'UTF8') as payload"
        )
        services = SimpleNamespace(database=self.database, of=lambda _: self.inbox)
        for job in jobs:
            await settle_transfer(services, **json.loads(job["payload"]))  # type: ignore[arg-type]

    async def buy(self, buyer: Actor, product_id: str, key: str | None = None) -> tuple[UUID, str]:
        """An order that is paid, and its payment."""
        bought = await self.checkouts.create(
            buyer,
            product_id=product_id,
            provider="stripe",
            success_url=None,
            cancel_url=None,
            idempotency_key=key or str(uuid4()),
        )
        session_id = next(reversed(self.stripe.sessions))
        await self.tell(self.stripe.pay(session_id), "stripe")
        return bought.order_id, self.stripe.sessions[session_id]["payment_intent"]
