"""Commands on orders, what is paid for them, and refunds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.billing.rules import problems_of_return
from db.core.actor import SERVICE, Actor
from db.core.commands import SqlFunction, call_as_service, call_rows
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key

_OPEN_ORDER = SqlFunction[Any](
    "app.open_order",
    "orders",
    wanted_product="text",
    wanted_provider="text",
    success_url="text",
    cancel_url="text",
    idempotency_key="text",
)
_NOTE_CHECKOUT = SqlFunction[Any](
    "app.note_checkout",
    "record(checkout_url text, expires_at timestamp with time zone)",
    wanted="uuid",
    made_url="text",
    lasts_until="timestamptz",
    made_references="text[]",
)
_NOTE_CUSTOMER = SqlFunction[str](
    "app.note_payment_customer", "text", wanted="uuid", for_provider="text", made_customer="text"
)
_EXPIRE_ORDERS = SqlFunction[int]("app.expire_orders", "integer", at_most="integer")
_REQUEST_REFUND = SqlFunction[Any](
    "app.request_refund",
    "record(request_id uuid, status text, provider text, payment_id text, paid_cents integer,"
    " currency text, amount_cents integer, refunded_before_cents integer,"
    " paid_at timestamp with time zone, names text[])",
    wanted="uuid",
    cents="integer",
    why="text",
    key="text",
).noting_place()
_END_REFUND = SqlFunction[None]("app.end_refund", "void", wanted="uuid", is_made="boolean")

_BUYER = text("""
    select coalesce(u.email, f.buyer_email) as email, u.locale, p.name as product_name,
           c.customer_id, coalesce(f.fee_cents, 0) as fee_cents, a.id as seller_account_id,
           a.sealed_account,
           f.order_id is not null and o.provider <> 'sandbox' as is_paid_to_seller,
           case when d.usage_limit is not null then o.expires_at end as holds_until
    from orders o join products p on p.id = o.product_id left join users u on u.id = o.user_id
    left join payment_customers c on c.user_id = o.user_id and c.provider = o.provider
    left join sale_offers f on f.order_id = o.id
    left join discount_codes d on d.id = f.discount_code_id
    left join seller_accounts a on a.store_id = f.store_id and a.provider = o.provider
    where o.id = :order_id
""")
_CUSTOMER = "select customer_id from payment_customers where user_id = $1 and provider = $2"
_PAGE_ORDER = """
    select o.id, o.status, o.amount_cents, o.currency, o.credits, o.refunded_cents, o.success_url,
           o.cancel_url, o.created_at, o.paid_at, p.name as product_name,
           (select a.provider_payment_id from payments a
            where a.order_id = o.id and a.pays_order) as payment_id,
           (select count(*) from payments a where a.order_id = o.id) as attempts
    from orders o join products p on p.id = o.product_id where o.id = $1
"""
_IS_SPLIT = "select exists (select from sale_offers where order_id = $1)"
_NAMED_ORDER = "select order_id from order_references where provider = $1 and reference = $2"
# One that held a place of a discount code, and was not paid in time, has given it back.
_CAN_BE_PAID = """
    o.paid_at is null and (o.user_id is not null or f.order_id is not null)
    and (o.expires_at > now() or d.usage_limit is null)
"""
_OFFERED = """
    left join sale_offers f on f.order_id = o.id
    left join discount_codes d on d.id = f.discount_code_id
    left join seller_accounts a on a.store_id = f.store_id and a.provider = o.provider
"""
_OF_SELLER = "f.order_id is not null as is_split, a.account_index"
_ORDER_TO_CAPTURE = f"""
    select o.id, o.provider, o.amount_cents, o.currency, o.refunded_cents, o.created_at,
           array[r.reference] as names, {_CAN_BE_PAID} as can_be_paid, {_OF_SELLER}
    from order_references r join orders o on o.id = r.order_id {_OFFERED}
    where r.provider = $1 and r.reference = $2
"""  # noqa: S608 - all of it is written here
# Of each order after 5, 10, 20, … minutes, the last after 43 hours, when a run comes every five.
_ORDERS_TO_ASK = f"""
    select o.id, o.provider, o.amount_cents, o.currency, o.refunded_cents, o.created_at,
           {_CAN_BE_PAID} as can_be_paid, {_OF_SELLER},
           array(select r.reference from order_references r
                 where r.order_id = o.id and r.provider = o.provider order by r.reference) as names
    from generate_series(0, 9) as k (step), lateral (
        select power(2, k.step) * interval '5 minutes' as age) asked
    join orders o on o.created_at > now() - asked.age - interval '5 minutes'
        and o.created_at <= now() - asked.age
    {_OFFERED}
    where o.status in ('PENDING', 'FAILED', 'EXPIRED') and o.checkout_url is not null
    order by o.created_at, o.id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that waits to be paid, as its checkout is made of it."""

    id: UUID
    user_id: UUID | None
    product_id: str
    kind: str
    amount_cents: int
    currency: str
    billing_interval: str | None
    price_id: str | None
    success_url: str | None
    cancel_url: str | None
    checkout_url: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Buyer:
    """What a provider is told of who buys, and the name of what they buy.

    Of a store's product also who sells it, by the provider's name of their account, and the fee; at
    the sandbox nobody is paid. An order that holds a place of a discount code does so until then.
    """

    email: str | None
    locale: str | None
    product_name: str
    customer_id: str | None
    fee_cents: int
    seller_account_id: UUID | None
    sealed_account: bytes | None
    is_paid_to_seller: bool
    holds_until: datetime | None


@dataclass(frozen=True, slots=True)
class PageOrder:
    """An order as its buyer is shown it; `payment_id` is the payment that paid it."""

    id: UUID
    status: str
    amount_cents: int
    currency: str
    credits: int | None
    refunded_cents: int
    success_url: str | None
    cancel_url: str | None
    created_at: datetime
    paid_at: datetime | None
    product_name: str
    payment_id: str | None
    attempts: int

    @property
    def changes(self) -> tuple[str, int, int]:
        """What differs once something has come of it."""
        return self.status, self.refunded_cents, self.attempts


@dataclass(frozen=True, slots=True)
class UnpaidOrder:
    """An order of which nobody has told that it is paid; `names` are its provider's for it.

    One that `can_be_paid` is somebody's, and nobody else has what it would give. Of one that
    `is_split` the seller has the account of that index, or none any more.
    """

    id: UUID
    provider: str
    amount_cents: int
    currency: str
    refunded_cents: int
    created_at: datetime
    names: list[str]
    can_be_paid: bool
    is_split: bool
    account_index: bytes | None


@dataclass(frozen=True, slots=True)
class RequestedRefund:
    """A refund that was asked for, and the payment that it is of; `names` are the order's there."""

    request_id: UUID
    status: str
    provider: str
    payment_id: str
    paid_cents: int
    currency: str
    amount_cents: int
    refunded_before_cents: int
    paid_at: datetime
    names: list[str]


def check_checkout(
    success_url: str | None,
    cancel_url: str | None,
    idempotency_key: str,
    *,
    origins: Sequence[str],
    takes_any: bool,
) -> None:
    """Refuses everything that is wrong with what a checkout is asked for."""
    problems = Problems(problems_of_key(idempotency_key))
    for field, url in (("successUrl", success_url), ("cancelUrl", cancel_url)):
        problems.add(problems_of_return(field, url, origins, takes_any=takes_any))
    problems.refuse()


def check_portal(return_url: str | None, *, origins: Sequence[str], takes_any: bool) -> None:
    """Refuses a page to come back to that is not one of ours."""
    problems = Problems()
    problems.add(problems_of_return("returnUrl", return_url, origins, takes_any=takes_any))
    problems.refuse()


async def open_order(
    database: Database,
    actor: Actor,
    *,
    product_id: str,
    provider: str,
    success_url: str | None,
    cancel_url: str | None,
    idempotency_key: str,
) -> OpenOrder:
    """Opens an order of the actor's, or finds the one that the key has opened."""
    wanted = _OPEN_ORDER(
        wanted_product=product_id,
        wanted_provider=provider,
        success_url=success_url,
        cancel_url=cancel_url,
        idempotency_key=idempotency_key,
    )
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return OpenOrder(**{name: row[name] for name in OpenOrder.__slots__})


async def buyer_of(database: Database, order_id: UUID) -> Buyer:
    """Who buys, and what."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_BUYER, order_id=order_id)
    assert row is not None
    return Buyer(**row)


async def note_checkout(
    database: Database, order_id: UUID, url: str, expires_at: datetime, references: Sequence[str]
) -> tuple[str, datetime]:
    """Notes what a provider made for an order; gives the address to show, and until when."""
    noted = _NOTE_CHECKOUT(
        wanted=order_id, made_url=url, lasts_until=expires_at, made_references=list(references)
    )
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(noted.sql, *noted.values)
    assert row is not None
    return row["checkout_url"], row["expires_at"]


async def note_payment_customer(
    database: Database, user_id: UUID, provider: str, customer_id: str
) -> None:
    """Keeps the name by which a provider knows a buyer; the first that was noted stays."""
    noted = _NOTE_CUSTOMER(wanted=user_id, for_provider=provider, made_customer=customer_id)
    await call_as_service(database, noted)


async def find_payment_customer(database: Database, user_id: UUID, provider: str) -> str | None:
    """The name by which a provider knows a user, if they have been sent there."""
    async with database.pools[SERVICE.role].connection() as connection:
        found: str | None = await connection.raw.fetchval(_CUSTOMER, user_id, provider)
    return found


async def find_page_order(database: Database, order_id: UUID) -> PageOrder | None:
    """An order for a page whose address its buyer alone has."""
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(_PAGE_ORDER, order_id)
    return PageOrder(**row) if row else None


async def find_order_by_reference(
    database: Database, provider: str, reference: str
) -> PageOrder | None:
    """An order by a name that its provider has vouched for."""
    async with database.pools[SERVICE.role].connection() as connection:
        order_id = await connection.raw.fetchval(_NAMED_ORDER, provider, reference)
    return None if order_id is None else await find_page_order(database, order_id)


async def orders_to_ask(database: Database) -> list[UnpaidOrder]:
    """The orders about which their providers are to be asked now, the oldest first."""
    async with database.pools[SERVICE.role].connection() as connection:
        return [UnpaidOrder(**row) for row in await connection.raw.fetch(_ORDERS_TO_ASK)]


async def order_to_capture(database: Database, provider: str, reference: str) -> UnpaidOrder | None:
    """The order that a provider calls so; none for what was not ordered here."""
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(_ORDER_TO_CAPTURE, provider, reference)
    return UnpaidOrder(**row) if row else None


async def expire_orders(database: Database, at_most: int) -> int:
    """Ends orders that nobody has paid in time; gives how many."""
    return await call_as_service(database, _EXPIRE_ORDERS(at_most=at_most))


async def request_refund(
    database: Database,
    admin: Actor,
    *,
    order_id: UUID,
    amount_cents: int | None,
    reason: str,
    idempotency_key: str,
) -> RequestedRefund:
    """Notes that an admin wants a refund, or finds the one that the key has asked for."""
    wanted = _REQUEST_REFUND(wanted=order_id, cents=amount_cents, why=reason, key=idempotency_key)
    async with database.transaction(admin) as transaction:
        (row,) = await call_rows(transaction, wanted)
    return RequestedRefund(**row)


async def is_split(database: Database, order_id: UUID) -> bool:
    """Whether an order was a store's, so that its seller got most of the money."""
    async with database.pools[SERVICE.role].connection() as connection:
        found: bool = await connection.raw.fetchval(_IS_SPLIT, order_id)
    return found


async def end_refund(database: Database, request_id: UUID, *, is_made: bool) -> None:
    """Notes what came of it."""
    await call_as_service(database, _END_REFUND(wanted=request_id, is_made=is_made))
