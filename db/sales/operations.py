"""Commands on sales and discount codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.accounts.emails import check_new_email, email_key
from db.billing.operations import OpenOrder
from db.core.actor import SERVICE, Actor
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.pool import Database
from db.sales.rules import problems_of_code

_OPEN_DISCOUNTED = SqlFunction[Any](
    "app.open_discounted_order",
    "orders",
    wanted_product="text",
    wanted_provider="text",
    success_url="text",
    cancel_url="text",
    discount_code="text",
    idempotency_key="text",
)
_OPEN_GUEST = SqlFunction[Any](
    "app.open_guest_order",
    "orders",
    wanted_product="text",
    wanted_provider="text",
    success_url="text",
    cancel_url="text",
    discount_code="text",
    email="text",
    email_key="text",
    network="bytea",
    idempotency_key="text",
)
_OBTAIN = SqlFunction[UUID]("app.obtain_product", "uuid", wanted="text")
_CLAIM = SqlFunction[int]("app.claim_sales", "integer")
_CREATE_CODE = SqlFunction[UUID](
    "app.create_discount_code", "uuid", wanted_store="uuid", given="jsonb"
)
_UPDATE_CODE = SqlFunction[UUID]("app.update_discount_code", "uuid", wanted="uuid", given="jsonb")
EARNINGS = SqlFunction[Any](
    "app.seller_earnings",
    "table(store_id text, currency text, sale_count integer, gross_cents double precision,"
    " fee_cents double precision, refunded_cents double precision, net_cents double precision)",
    owner_id="uuid",
)


async def open_discounted_order(
    database: Database,
    actor: Actor,
    *,
    product_id: str,
    provider: str,
    success_url: str | None,
    cancel_url: str | None,
    discount_code: str,
    idempotency_key: str,
) -> OpenOrder:
    """Opens an order of a store's product at a lower price, or finds the one of the key."""
    wanted = _OPEN_DISCOUNTED(
        wanted_product=product_id,
        wanted_provider=provider,
        success_url=success_url,
        cancel_url=cancel_url,
        discount_code=discount_code,
        idempotency_key=idempotency_key,
    )
    return await _opened(database, actor, wanted)


async def open_guest_order(
    database: Database,
    *,
    product_id: str,
    provider: str,
    success_url: str | None,
    cancel_url: str | None,
    discount_code: str | None,
    email: str,
    network: bytes,
    idempotency_key: str,
) -> OpenOrder:
    """Opens an order for somebody without an account, or finds the one of the key and e-mail."""
    email = check_new_email(email)
    wanted = _OPEN_GUEST(
        wanted_product=product_id,
        wanted_provider=provider,
        success_url=success_url,
        cancel_url=cancel_url,
        discount_code=discount_code,
        email=email,
        email_key=email_key(email),
        network=network,
        idempotency_key=idempotency_key,
    )
    return await _opened(database, SERVICE, wanted)


async def _opened(database: Database, actor: Actor, wanted: FunctionCall[Any]) -> OpenOrder:
    async with database.transaction(actor) as transaction:
        row = await transaction.connection.fetchrow(wanted.sql, *wanted.values)
    assert row is not None
    return OpenOrder(**{name: row[name] for name in OpenOrder.__slots__})


def obtain_product(product_id: str) -> FunctionCall[UUID]:
    """Gives the actor a free product; gives the sale."""
    return _OBTAIN(wanted=product_id)


def claim_sales() -> FunctionCall[int]:
    """Makes the actor the buyer of what was bought under their confirmed e-mail; gives how many."""
    return _CLAIM()


def create_code(problems: Problems, store_id: UUID, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Makes a discount code of a store; gives it."""
    written = {**given, "code": given["code"].strip().upper()}
    problems.add(problems_of_code(written))
    problems.refuse()
    return _CREATE_CODE(wanted_store=store_id, given=written)


def update_code(problems: Problems, code_id: UUID, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes how long and how often a code is good; gives it."""
    problems.add(problems_of_code(given))
    problems.refuse()
    return _UPDATE_CODE(wanted=code_id, given=given)
