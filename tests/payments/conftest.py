"""A shop with one provider: orders of users, what the provider delivers, and what the books say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest

from db.billing import operations
from db.core.actor import SERVICE, Actor
from db.core.commands import call_rows
from db.core.pool import Database
from db.credits.operations import LEDGER_DISCREPANCIES
from payments.base import Delivery
from payments.inbox import Received, WebhookInbox
from settings import Settings

from ..conftest import MakeUser
from ..fakes.paymob import FakePaymob, paymob
from .drivers import DRIVERS, Driver, Told
from .paymob_store import Store

PRODUCT, CREDITS, AMOUNT, CURRENCY = "credits-50", 50, 500, "USD"
PRICE = """
insert into product_prices (product_id, provider, amount_cents, currency, billing_interval)
select p.id, $1, case p.id when 'credits-50' then 500 when 'credits-200' then 1500 else 1000 end, 'USD',
       case when p.plan_id is not null then 'MONTH' end
from products p where p.id in ('credits-50', 'credits-200', 'pro-month')
on conflict (product_id, provider) do update
set amount_cents = excluded.amount_cents, currency = excluded.currency
"""


@dataclass
class Shop:
    """One provider's orders and deliveries."""

    driver: Driver
    inbox: WebhookInbox
    database: Database
    owner: asyncpg.Connection
    make_user: MakeUser

    async def buyer(self, credits: int = 0) -> Actor:
        """Somebody with so many credits of their own."""
        return await self.make_user(credits)

    async def order(self, actor: Actor, product: str = PRODUCT) -> Told:
        """An order of theirs, as its payment in full would be told of."""
        opened = await operations.open_order(
            self.database,
            actor,
            product_id=product,
            provider=self.driver.provider.name,
            success_url=None,
            cancel_url=None,
            idempotency_key=str(uuid4()),
        )
        reference = self.driver.reference(opened.id)
        await operations.note_checkout(
            self.database, opened.id, "https://pay.example.test", opened.expires_at, [reference]
        )
        return Told(
            order_id=opened.id,
            reference=reference,
            payment=self.new_id(),
            amount_cents=opened.amount_cents,
            currency=opened.currency,
        )

    def new_id(self) -> str:
        """An id that the provider has not used; a number, which suits them all."""
        return str(uuid4().int % 10**12)

    async def receive(self, delivery: Delivery) -> Received:
        """The provider delivers."""
        return await self.inbox.receive(self.driver.provider, delivery)

    async def process(self) -> None:
        """The jobs run, again and again until nothing is left to do."""
        while waiting := await self._waiting():
            for row in waiting:
                await self.inbox.process(row["id"])

    async def _waiting(self) -> list[asyncpg.Record]:
        async with self.database.transaction(SERVICE) as transaction:
            found: list[asyncpg.Record] = await transaction.connection.fetch(
                "select id from webhook_events where status = 'RECEIVED' and provider = $1"
                " order by id",
                self.driver.provider.name,
            )
            return found

    async def tell(self, kind: str, told: Told) -> None:
        """The provider delivers, and the jobs run."""
        assert (await self.receive(self.driver.delivery(kind, told))).refusal is None
        await self.process()

    async def paid(self, actor: Actor, product: str = PRODUCT) -> Told:
        """An order of theirs that is paid."""
        told = await self.order(actor, product)
        await self.tell("SUCCEEDED", told)
        assert await self.status(told) == "PAID"
        return told

    async def status(self, told: Told) -> str:
        """How far an order is."""
        found: str = await self.owner.fetchval(
            "select status from orders where id = $1", told.order_id
        )
        return found

    async def webhook(self, told: Told) -> asyncpg.Record:
        """The last that was delivered about an order."""
        row = await self.owner.fetchrow(
            "select * from webhook_events where body || query like '%' || $1 || '%'"
            " order by id desc limit 1",
            told.payment,
        )
        assert row is not None
        return row

    async def wallet(self, actor: Actor) -> tuple[int, int, int]:
        """Balance, held and debt; the books are proven on the way."""
        async with self.database.transaction(SERVICE) as transaction:
            found = await call_rows(transaction, LEDGER_DISCREPANCIES(wallet_ids=[actor.user_id]))
        assert [row["discrepancy"] for row in found] == []
        row = await self.owner.fetchrow(
            "select balance, held, debt from wallets where user_id = $1", actor.user_id
        )
        return tuple(row) if row else (0, 0, 0)  # type: ignore[return-value]

    async def purchases(self, actor: Actor) -> list[tuple[str, str]]:
        """What the audit log says of their payments: who took each, and whether it succeeded."""
        rows = await self.owner.fetch(
            "select subject, detail ->> 'status' as status from audit_log"
            " where user_id = $1 and action = 'purchase' order by id",
            actor.user_id,
        )
        return [(row["subject"], row["status"]) for row in rows]

    async def spend(self, actor: Actor, amount: int) -> None:
        """They use credits."""
        async with self.database.transaction(actor) as transaction:
            await transaction.connection.execute(
                "select app.spend_credits($1, 'test', null, $2)", amount, str(uuid4())
            )


async def open_shop(
    name: str,
    database: Database,
    owner: asyncpg.Connection,
    settings: Settings,
    make_user: MakeUser,
) -> Shop:
    """The shop of one provider."""
    driver = DRIVERS[name](settings)
    inbox = WebhookInbox(database, {driver.provider.name: driver.provider}, is_production=False)
    await owner.execute(PRICE, driver.provider.name)
    return Shop(driver, inbox, database, owner, make_user)


@pytest.fixture(params=sorted(DRIVERS))
async def shop(
    request: pytest.FixtureRequest,
    database: Database,
    owner: asyncpg.Connection,
    settings: Settings,
    make_user: MakeUser,
) -> Shop:
    """The shop, once for each provider of the registry."""
    return await open_shop(request.param, database, owner, settings, make_user)


@pytest.fixture
async def sandbox_shop(
    database: Database, owner: asyncpg.Connection, settings: Settings, make_user: MakeUser
) -> Shop:
    """The shop that sells with the sandbox, for what every provider has alike."""
    return await open_shop("sandbox", database, owner, settings, make_user)


@pytest.fixture
def fake() -> Iterator[FakePaymob]:
    """A Paymob of the tests' own."""
    with paymob() as made:
        yield made


@pytest.fixture
async def store(
    settings: Settings, database: Database, owner: asyncpg.Connection, fake: FakePaymob
) -> Store:
    """A shop that sells by it."""
    await owner.execute(PRICE, "paymob")
    return Store(settings, database, owner, fake)
