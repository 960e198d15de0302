"""A provider that bills subscriptions, or refuses to; what provokes each error of subscribing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.errors import DomainError, ErrorCode
from payments.base import (
    ChangePreview,
    Checkout,
    NewSubscription,
    OrganizationPrice,
    SubscriptionChange,
)
from payments.events import ProviderEvent
from payments.sandbox import SandboxProvider
from payments.subscriptions import subscriptions_of

START = datetime(2026, 1, 1, tzinfo=UTC)
SELL = """
with product as (
    insert into products (id, name, kind, plan_id, sort_order) values ('pro-renewed', 'Pro', 'SUBSCRIPTION', 'pro', 90)
    on conflict (id) do update set is_active = true)
insert into product_prices (product_id, provider, amount_cents, currency, billing_interval, price_id)
values ('pro-renewed', 'stripe', 9900, 'USD', 'MONTH', 'price_pro') on conflict do nothing
"""


class Seller(SandboxProvider):
    """Bills by itself; with a code, it refuses everything with that."""

    name = "stripe"

    def __init__(self, code: ErrorCode | None = None) -> None:
        super().__init__("secret", "http://localhost")
        self._code = code

    @property
    def subscriptions(self) -> Seller:
        """Itself."""
        if self._code is not None:
            raise DomainError(self._code, "No.")
        return self

    async def create_portal(self, customer_id: str, return_url: str | None) -> str:
        return f"https://pay.example.test/{customer_id}?{return_url}"

    async def forget_customer(self, customer_id: str) -> None: ...

    async def ask_prices(self) -> tuple[OrganizationPrice, ...]:
        return ()

    def organization_price(self, plan_id: str, interval: str) -> str | None:
        return f"price_{plan_id}_{interval}" if plan_id != "none" else None

    async def create_customer(self, **_: object) -> str:
        return f"cus_{uuid4()}"

    async def open_checkout(self, wanted: NewSubscription) -> Checkout:
        session_id = f"cs_{uuid4()}"
        return Checkout(
            f"https://pay.example.test/{session_id}", START + timedelta(days=9999), (session_id,)
        )

    async def close_checkout(self, checkout_id: str) -> bool:
        return bool(checkout_id)

    async def preview(self, change: SubscriptionChange) -> ChangePreview:
        return ChangePreview(100, 100, "USD", None, change.moment or START)

    async def change(
        self, change: SubscriptionChange, key: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        return ()

    async def cancel(
        self, provider_subscription_id: str, asked_at: datetime, *, immediately: bool
    ) -> tuple[ProviderEvent, ...]:
        return ()

    async def resume(
        self, provider_subscription_id: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        return ()


def sell(services: Any, code: ErrorCode | None = None) -> None:
    """Has a deployment sell subscriptions."""
    services.of(subscriptions_of).inbox.providers["stripe"] = Seller(code)


async def subscribed(
    owner: asyncpg.Connection, user_id: UUID | None, status: str = "ACTIVE"
) -> str:
    """An organization of a user's with a subscription that ends with its period; its global id."""
    organization: UUID = await owner.fetchval(
        "with made as (insert into organizations (name) values ('Acme') returning id), member as ("
        " insert into organization_members (organization_id, user_id, role)"
        "  select id, $1, 'OWNER' from made)"
        " insert into provider_subscriptions (organization_id, provider, provider_subscription_id,"
        "  plan_id, billing_interval, status, cancel_at_period_end)"
        " select id, 'stripe', 'sub_' || id, 'starter', 'MONTH', 'ACTIVE', true from made"
        " returning organization_id",
        user_id,
    )
    await owner.execute(
        "update provider_subscriptions set status = $2 where organization_id = $1 and status <> $2",
        organization,
        status,
    )
    return f"organization_{organization}"


def on(
    rest: str = "", code: ErrorCode | None = None, *, status: str = "ACTIVE", is_off: bool = False
) -> Any:
    """An input about an organization of the caller's, at a seller that may refuse."""

    async def provoke(stage: Any) -> str:
        sell(stage.services, code)
        if is_off:
            del stage.services.of(subscriptions_of).inbox.providers["stripe"]
        organization = await subscribed(stage.owner, stage.actor.user_id, status)
        return f'{{organizationId: "{organization}"{rest}}}'

    return provoke


async def subscribed_otherwise(stage: Any) -> str:
    given = await on(', planId: "pro", idempotencyKey: "other"', status="EXPIRED")(stage)
    assert await stage.codes("createSubscription", given) == []
    return given.replace('"pro"', '"starter"')


def strangers(rest: str = "") -> Any:
    """An input about an organization that there is not."""

    async def provoke(stage: Any) -> str:
        sell(stage.services)
        return f'{{organizationId: "organization_{UUID(int=1)}"{rest}}}'

    return provoke


async def bill_of_nobody(stage: Any) -> str:
    return await strangers(', provider: "stripe"')(stage)


def _refusals(rest: str = "", *, ended: str = "CANCELLED", going: str = "ACTIVE") -> dict[str, Any]:
    refused, failed = ErrorCode.PROVIDER_REFUSED, ErrorCode.PROVIDER_FAILED
    return {
        "NOT_FOUND": strangers(rest),
        "INVALID_STATE": on(rest, status=ended),
        "PROVIDER_NOT_CONFIGURED": on(rest, status=going, is_off=True),
        "PROVIDER_REFUSED": on(rest, refused, status=going),
        "PROVIDER_FAILED": on(rest, failed, status=going),
    }


BEGIN = ', planId: "pro", idempotencyKey: "k"'
CHANGE = ', idempotencyKey: "k"'
PROVOKED: dict[str, dict[str, Any]] = {
    "createSubscription": {
        "BAD_USER_INPUT": on(f"{BEGIN}, seats: 0"),
        **_refusals(BEGIN, ended="ACTIVE", going="EXPIRED"),
        "REDIRECT_NOT_ALLOWED": on(f'{BEGIN}, successUrl: "app://paid"'),
        "IDEMPOTENCY_CONFLICT": subscribed_otherwise,
    },
    "previewPlanChange": {"BAD_USER_INPUT": on(", seats: 0"), **_refusals()},
    "changeSubscription": {"BAD_USER_INPUT": on(', idempotencyKey: ""'), **_refusals(CHANGE)},
    "cancelSubscription": _refusals(),
    "resumeSubscription": _refusals(),
}
