"""Commands on subscriptions that a provider renews; it is asked between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.billing.rules import problems_of_return
from db.core.actor import SERVICE, Actor
from db.core.commands import SqlFunction, call_as_actor, call_as_service, call_rows
from db.core.errors import DomainError, Problems, bad_input, refuse_any
from db.core.pool import Database
from db.credits.rules import problems_of_key

SEATS_LIMIT = 100_000

_OPEN = SqlFunction[Any](
    "app.open_subscription",
    "record(subscription_id uuid, status text, checkout_url text, earlier_checkout text,"
    " customer_id text, email text, owner_name text, asked_at timestamp with time zone)",
    wanted="uuid",
    wanted_plan="text",
    wanted_interval="text",
    wanted_seats="integer",
    at_provider="text",
    pages="text[]",
    idempotency_key="text",
).noting_place()
_NOTE_CHECKOUT = SqlFunction[str | None](
    "app.note_subscription_checkout",
    "text",
    wanted="uuid",
    made_id="text",
    made_url="text",
    lasts_until="timestamptz",
)
_TO_CHANGE = SqlFunction[Any](
    "app.subscription_to_change",
    "record(subscription_id uuid, provider text, provider_subscription_id text, plan_id text,"
    " billing_interval text, seats integer, status text, cancel_at_period_end boolean,"
    " checkout_id text, asked_at timestamp with time zone)",
    wanted="uuid",
    action="text",
).noting_place()
_CUSTOMER = SqlFunction[str | None](
    "app.billing_customer", "text", wanted="uuid", for_provider="text"
)
_NOTE_CUSTOMER = SqlFunction[str](
    "app.note_billing_customer", "text", wanted="uuid", for_provider="text", made_customer="text"
)
_LAPSE = SqlFunction[int]("app.lapse_subscriptions", "integer", at_most="integer")
_TO_ASK = SqlFunction[Any](
    "app.subscriptions_to_ask",
    "table(subscription_id uuid, provider text, provider_subscription_id text, checkout_id text,"
    " asked_at timestamp with time zone)",
    at_most="integer",
)
_OF_CHECKOUT = """
    select status from provider_subscriptions where provider = $1 and checkout_id = $2
"""
_PRICE = """
    select pp.price_id from products p join product_prices pp on pp.product_id = p.id
    where p.kind = 'SUBSCRIPTION' and p.is_active and p.plan_id = $1 and pp.provider = $2
        and pp.billing_interval = $3 and pp.price_id is not null
    order by p.sort_order, p.id limit 1
"""


@dataclass(frozen=True, slots=True)
class OpenSubscription:
    """A subscription that waits for its page, and who is to be billed."""

    subscription_id: UUID
    status: str
    checkout_url: str | None
    earlier_checkout: str | None
    customer_id: str | None
    email: str | None
    owner_name: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class ChangingSubscription:
    """A subscription that its owner is about to change; what is answered counts from `asked_at`."""

    subscription_id: UUID
    provider: str
    provider_subscription_id: str | None
    plan_id: str
    billing_interval: str
    seats: int
    status: str
    cancel_at_period_end: bool
    checkout_id: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class UnheardSubscription:
    """A subscription of which something was due, and nothing was heard."""

    subscription_id: UUID
    provider: str
    provider_subscription_id: str | None
    checkout_id: str | None
    asked_at: datetime


def check_subscription(
    *,
    seats: int | None,
    success_url: str | None,
    cancel_url: str | None,
    idempotency_key: str,
    origins: Sequence[str],
    takes_any: bool,
) -> None:
    """Refuses everything that is wrong with what a subscription is asked for."""
    problems = Problems(problems_of_key(idempotency_key))
    problems.add(_problems_of_seats(seats))
    for field, url in (("successUrl", success_url), ("cancelUrl", cancel_url)):
        problems.add(problems_of_return(field, url, origins, takes_any=takes_any))
    problems.refuse()


def check_seats(seats: int | None) -> None:
    """Refuses a number of seats that is none."""
    refuse_any([*_problems_of_seats(seats)])


def _problems_of_seats(seats: int | None) -> Iterator[DomainError]:
    if seats is not None and not 1 <= seats <= SEATS_LIMIT:
        yield bad_input(f"seats must be from 1 to {SEATS_LIMIT}.", "input", "seats")


async def find_price(database: Database, plan_id: str, provider: str, interval: str) -> str | None:
    """The provider's name of the price of a user's plan."""
    async with database.pools[SERVICE.role].connection() as connection:
        found: str | None = await connection.raw.fetchval(_PRICE, plan_id, provider, interval)
    return found


async def open_subscription(
    database: Database,
    actor: Actor,
    *,
    organization_id: UUID | None,
    plan_id: str,
    interval: str,
    seats: int,
    provider: str,
    pages: Sequence[str | None],
    idempotency_key: str,
) -> OpenSubscription:
    """Opens a subscription, or finds the one that the key has opened."""
    wanted = _OPEN(
        wanted=organization_id,
        wanted_plan=plan_id,
        wanted_interval=interval,
        wanted_seats=seats,
        at_provider=provider,
        pages=list(pages),
        idempotency_key=idempotency_key,
    )
    async with database.transaction(actor) as transaction:
        (row,) = await call_rows(transaction, wanted)
    return OpenSubscription(**row)


async def note_checkout(
    database: Database, subscription_id: UUID, made_id: str, url: str, expires_at: datetime
) -> str | None:
    """Keeps the page that was made; gives the one to show, nothing once it was paid."""
    noted = _NOTE_CHECKOUT(
        wanted=subscription_id, made_id=made_id, made_url=url, lasts_until=expires_at
    )
    return await call_as_service(database, noted)


async def subscription_to_change(
    database: Database, actor: Actor, organization_id: UUID | None, action: str | None
) -> ChangingSubscription:
    """The subscription that the actor may change."""
    wanted = _TO_CHANGE(wanted=organization_id, action=action)
    async with database.transaction(actor) as transaction:
        (row,) = await call_rows(transaction, wanted)
    return ChangingSubscription(**row)


async def find_customer(
    database: Database, actor: Actor, organization_id: UUID, provider: str
) -> str | None:
    """The name by which a provider knows an organization whose bills the actor may see."""
    wanted = _CUSTOMER(wanted=organization_id, for_provider=provider)
    return await call_as_actor(database, actor, wanted)


async def note_customer(
    database: Database, organization_id: UUID, provider: str, customer_id: str
) -> str:
    """Keeps the name by which a provider knows an organization; gives the first that was noted."""
    noted = _NOTE_CUSTOMER(wanted=organization_id, for_provider=provider, made_customer=customer_id)
    return await call_as_service(database, noted)


async def status_of_checkout(database: Database, provider: str, checkout_id: str) -> str | None:
    """How the subscription stands that a page was made for; nothing where there is none."""
    async with database.pools[SERVICE.role].connection() as connection:
        status: str | None = await connection.raw.fetchval(_OF_CHECKOUT, provider, checkout_id)
    return status


async def lapse(database: Database, at_most: int) -> int:
    """Has organizations whose grace is over lose their plan; gives how many."""
    return await call_as_service(database, _LAPSE(at_most=at_most))


async def subscriptions_to_ask(database: Database, at_most: int) -> list[UnheardSubscription]:
    """The subscriptions that providers are to be asked about now."""
    wanted = _TO_ASK(at_most=at_most)
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.raw.fetch(wanted.sql, *wanted.values)
    return [UnheardSubscription(**row) for row in rows]
