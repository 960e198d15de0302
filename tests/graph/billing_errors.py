"""What provokes each error of buying, for the tests of all errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from db.core.errors import DomainError, ErrorCode
from payments.base import Checkout, NewCheckout, PaidOrder
from payments.checkouts import checkouts_of
from payments.events import ProviderEvent
from payments.refunds import refunds_of
from payments.sandbox import SandboxProvider

from .store_errors import new_product
from .subscribing import bill_of_nobody

CREDITS = 'productId: "credits-50"'
BUYING = f'{CREDITS}, provider: "sandbox", idempotencyKey: "k"'


class Unwilling(SandboxProvider):
    """A provider that makes no checkouts."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__("secret", "http://localhost")
        self._code = code

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        raise DomainError(self._code, "No.")


def at_unwilling(code: ErrorCode) -> Any:
    """A checkout at a provider that makes none."""

    async def provoke(stage: Any) -> str:
        name = code.value.lower()
        stage.services.of(checkouts_of).providers[name] = Unwilling(code)
        await stage.owner.execute(
            "insert into product_prices (product_id, provider, amount_cents, currency)"
            " values ('credits-50', $1, 500, 'USD') on conflict do nothing",
            name,
        )
        return f'{{{CREDITS}, provider: "{name}", idempotencyKey: "k"}}'

    return provoke


async def own_product(stage: Any) -> str:
    """What the user sells themselves."""
    product_id = await new_product(stage)
    await stage.owner.execute(
        "select app.set_product_price($1, 500, 'USD')", product_id.removeprefix("product_")
    )
    return f'{{productId: "{product_id}", provider: "sandbox", idempotencyKey: "own"}}'


async def ordered_much(stage: Any) -> str:
    await stage.owner.execute(
        "insert into orders (user_id, product_id, kind, credits, provider, amount_cents, currency,"
        " expires_at) select $1, 'credits-50', 'CREDITS', 50, 'sandbox', 500, 'USD', now()"
        " from generate_series(1, 50)",
        stage.actor.user_id,
    )
    return f"{{{BUYING}}}"


async def ordered_otherwise(stage: Any) -> str:
    assert await stage.codes("createCheckout", f"{{{BUYING}}}") == []
    return f'{{{BUYING}, successUrl: "http://localhost/"}}'


class Unrefunding(SandboxProvider):
    """A provider that gives no money back."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__("secret", "http://localhost")
        self._code = code

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        raise DomainError(self._code, "No.")


async def paid_order(owner: asyncpg.Connection, user_id: UUID | None, provider: str) -> UUID:
    """An order of a user's that is paid."""
    order: UUID = await owner.fetchval(
        "insert into orders (user_id, product_id, kind, credits, provider, amount_cents, currency,"
        " expires_at) values ($1, 'credits-50', 'CREDITS', 50, $2, 500, 'USD', now()) returning id",
        user_id,
        provider,
    )
    await owner.execute(
        "insert into payments (user_id, order_id, provider, provider_payment_id, amount_cents,"
        " currency, status, pays_order) values ($1, $2, $3, $4, 500, 'USD', 'SUCCEEDED', true)",
        user_id,
        order,
        provider,
        f"payment {order}",
    )
    await owner.execute("update orders set status = 'PAID', paid_at = now() where id = $1", order)
    return order


async def paid_at(stage: Any, provider: str) -> str:
    """A refund of an order that is paid."""
    order = await paid_order(stage.owner, stage.actor.user_id, provider)
    return f'orderId: "order_{order}", reason: "asked for", idempotencyKey: "k"'


def unrefunded(code: ErrorCode) -> Any:
    """A refund at a provider that gives nothing back."""

    async def provoke(stage: Any) -> str:
        name = f"unrefunding_{code.value.lower()}"
        if code is not ErrorCode.PROVIDER_NOT_CONFIGURED:
            stage.services.of(refunds_of).inbox.providers[name] = Unrefunding(code)
        return f"{{{await paid_at(stage, name)}}}"

    return provoke


async def unpaid(stage: Any) -> str:
    paid = await paid_at(stage, "none")
    await stage.owner.execute("delete from payments where user_id = $1", stage.actor.user_id)
    return f"{{{paid}}}"


async def refunded_otherwise(stage: Any) -> str:
    name = "unrefunding_twice"
    stage.services.of(refunds_of).inbox.providers[name] = Unrefunding(ErrorCode.PROVIDER_FAILED)
    paid = await paid_at(stage, name)
    codes = await stage.codes("refundOrder", f"{{{paid}, amountCents: 1}}")
    assert codes == ["PROVIDER_FAILED"]
    return f"{{{paid}, amountCents: 2}}"


async def processed(stage: Any) -> str:
    """A delivery that is done."""
    webhook = await stage.owner.fetchval(
        "insert into webhook_events (provider, event_id, kind, verified, status)"
        " values ('none', gen_random_uuid()::text, 'test', false, 'RECEIVED') returning id"
    )
    await stage.owner.execute(
        "update webhook_events set status = 'PROCESSED' where id = $1", webhook
    )
    return f'{{id: "webhookEvent_{webhook}"}}'


async def refunded_too_much(stage: Any) -> str:
    return f"{{{await paid_at(stage, 'none')}, amountCents: 501}}"


class Portal(Unwilling):
    """A provider that keeps customers, and shows them nothing."""

    async def create_portal(self, customer_id: str, return_url: str | None) -> str:
        raise DomainError(self._code, "No.")

    async def forget_customer(self, customer_id: str) -> None: ...


class OpenPortal(SandboxProvider):
    """A provider that keeps customers."""

    async def create_portal(self, customer_id: str, return_url: str | None) -> str:
        return f"https://pay.example.test/{customer_id}?{return_url}"

    async def forget_customer(self, customer_id: str) -> None: ...


async def open_portal(services: Any, owner: asyncpg.Connection, user_id: UUID | None) -> str:
    """The name of a provider that knows a user."""
    services.of(checkouts_of).providers["open_portal"] = OpenPortal("secret", "http://localhost")
    await owner.execute(
        "insert into payment_customers (user_id, provider, customer_id) values ($1, $2, $3)",
        user_id, "open_portal", f"cus_{user_id}",
    )  # fmt: skip
    return "open_portal"


def portal_of(code: ErrorCode, *, has_bought: bool) -> Any:
    """A portal at a provider that shows nothing."""

    async def provoke(stage: Any) -> str:
        name = f"portal_{code.value.lower()}"
        stage.services.of(checkouts_of).providers[name] = Portal(code)
        if has_bought:
            await stage.owner.execute(
                "insert into payment_customers (user_id, provider, customer_id)"
                " values ($1, $2, $3)",
                stage.actor.user_id,
                name,
                f"cus_{stage.actor.user_id}",
            )
        return f'{{provider: "{name}"}}'

    return provoke


PROVOKED: dict[str, dict[str, Any]] = {
    "createBillingPortal": {
        "BAD_USER_INPUT": '{returnUrl: "nowhere"}',
        "NOT_FOUND": bill_of_nobody,
        "INVALID_STATE": portal_of(ErrorCode.INVALID_STATE, has_bought=False),
        "REDIRECT_NOT_ALLOWED": '{returnUrl: "app://paid"}',
        "PROVIDER_NOT_CONFIGURED": '{provider: "sandbox"}',
        "PROVIDER_REFUSED": portal_of(ErrorCode.PROVIDER_REFUSED, has_bought=True),
        "PROVIDER_FAILED": portal_of(ErrorCode.PROVIDER_FAILED, has_bought=True),
    },
    "createCheckout": {
        "INVALID_STATE": own_product,
        "BAD_USER_INPUT": f'{{{CREDITS}, provider: "sandbox", idempotencyKey: ""}}',
        "NOT_FOUND": '{productId: "none", provider: "sandbox", idempotencyKey: "k"}',
        "REDIRECT_NOT_ALLOWED": f'{{{BUYING}, successUrl: "app://paid"}}',
        "PROVIDER_NOT_CONFIGURED": f'{{{CREDITS}, provider: "none", idempotencyKey: "k"}}',
        "PROVIDER_REFUSED": at_unwilling(ErrorCode.PROVIDER_REFUSED),
        "PROVIDER_FAILED": at_unwilling(ErrorCode.PROVIDER_FAILED),
        "LIMIT_EXCEEDED": ordered_much,
        "IDEMPOTENCY_CONFLICT": ordered_otherwise,
    },
    "refundOrder": {
        "BAD_USER_INPUT": refunded_too_much,
        "NOT_FOUND": '{orderId: "order_00000000-0000-0000-0000-000000000001", reason: "r",'
        ' idempotencyKey: "k"}',
        "INVALID_STATE": unpaid,
        "PROVIDER_NOT_CONFIGURED": unrefunded(ErrorCode.PROVIDER_NOT_CONFIGURED),
        "PROVIDER_REFUSED": unrefunded(ErrorCode.PROVIDER_REFUSED),
        "PROVIDER_FAILED": unrefunded(ErrorCode.PROVIDER_FAILED),
        "IDEMPOTENCY_CONFLICT": refunded_otherwise,
    },
    "replayWebhook": {
        "NOT_FOUND": '{id: "webhookEvent_00000000-0000-0000-0000-000000000001"}',
        "INVALID_STATE": processed,
    },
}
