"""Stripe Billing: subscriptions that Stripe renews, of organizations and of users.

Source: https://docs.stripe.com/billing/subscriptions/build-subscriptions and
https://docs.stripe.com/billing/subscriptions/prorations.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from payments.base import (
    ChangePreview,
    Checkout,
    NewSubscription,
    OrganizationPrice,
    SubscriptionChange,
    provider_failed,
)
from payments.events import ProviderEvent, Refunded
from payments.stripe_amounts import from_stripe
from payments.stripe_billing_events import (
    StripeChanged,
    checkout_events,
    invoice_told,
    subscription_of,
    subscription_told,
)
from payments.stripe_client import NAME, RETURN_PATH, asking
from payments.stripe_events import refund_of
from settings import Settings

if TYPE_CHECKING:
    import stripe

# What of an invoice says which payment paid it.
WITH_PAYMENTS = ["payments"]


class StripeSubscriptions:
    """Checkout in the mode of subscriptions, changes of them, and how they and invoices stand."""

    def __init__(self, settings: Settings, client: Callable[[], stripe.StripeClient]) -> None:
        self._client = client
        self._base_url = settings.base_url
        self._grace_days = settings.plan_grace_days
        self._takes_promotion_codes = settings.stripe_promotion_codes
        self._adds_tax = settings.stripe_automatic_tax
        self._prices = settings.stripe_organization_prices
        self._plans = {price: plan for (plan, _), price in self._prices.items()}

    def organization_price(self, plan_id: str, interval: str) -> str | None:
        """Stripe's name of the price of an organization's plan."""
        return self._prices.get((plan_id, interval))

    async def ask_prices(self) -> tuple[OrganizationPrice, ...]:
        """What the prices in the settings cost; one in tiers has no amount, and is left out."""
        found = []
        for (plan_id, interval), price_id in self._prices.items():
            with asking("a price"):
                price = await self._client().v1.prices.retrieve_async(price_id)
                if price.unit_amount is not None:
                    cents = _cents(price.unit_amount, price.currency)
                    currency = price.currency.upper()
                    found.append(OrganizationPrice(plan_id, interval, cents, currency))
        return tuple(found)

    async def create_customer(
        self, *, organization_id: UUID | None, user_id: UUID, name: str | None, email: str | None
    ) -> str:
        """A customer for an organization, or for the user; asked for twice at once, one is made."""
        asked: dict[str, Any] = {"metadata": {"user_id": str(user_id)}}
        key = f"customer:{user_id}:{email}"
        if organization_id is not None:
            asked = {"metadata": {"organization_id": str(organization_id)}, "name": name}
            key = f"customer:{organization_id}:{sha256(f'{name}:{email}'.encode()).hexdigest()}"
        if email is not None:
            asked["email"] = email
        with asking("a customer"):
            made = await self._client().v1.customers.create_async(
                asked,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            return made.id

    async def open_checkout(self, wanted: NewSubscription) -> Checkout:
        """A session of Checkout; asked again for a subscription within a day, it is the same."""
        key = f"subscription:{wanted.subscription_id}:{wanted.key}"
        with asking("a checkout"):
            session = await self._client().v1.checkout.sessions.create_async(
                self._session(wanted),  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            if session.url is None or session.expires_at is None:
                raise provider_failed(NAME, "a session without an address or an end")
            expires_at = datetime.fromtimestamp(session.expires_at, UTC)
            return Checkout(session.url, expires_at, (session.id,))

    async def close_checkout(self, checkout_id: str) -> bool:
        """Expires a session; false for one that is complete."""
        with asking("a session"):
            session = await self._client().v1.checkout.sessions.retrieve_async(checkout_id)
            if session.status == "open":
                session = await self._client().v1.checkout.sessions.expire_async(
                    checkout_id, {}, {"idempotency_key": f"expire:{checkout_id}"}
                )
            return session.status == "expired"

    async def preview(self, change: SubscriptionChange) -> ChangePreview:
        """The invoice that a change would make now."""
        moment = change.moment or datetime.now(UTC)
        with asking("a preview"):
            item = await self._item(change.provider_subscription_id)
            invoice = await self._client().v1.invoices.create_preview_async(
                {
                    "subscription": change.provider_subscription_id,
                    "subscription_details": {
                        "items": [_changed_item(item, change)],
                        "proration_behavior": "always_invoice",
                        "proration_date": int(moment.timestamp()),
                    },
                },
                {"idempotency_key": f"preview:{uuid4()}"},
            )
        said = invoice.to_dict()
        try:
            currency = said["currency"]
            prorated = [line["amount"] for line in said["lines"]["data"] if _is_proration(line)]
            ends = [line["period"]["end"] for line in said["lines"]["data"]]
            return ChangePreview(
                due_cents=from_stripe(said["amount_due"], currency),
                proration_cents=from_stripe(sum(prorated), currency),
                currency=currency.upper(),
                next_payment_at=datetime.fromtimestamp(max(ends), UTC) if ends else None,
                moment=datetime.fromtimestamp(int(moment.timestamp()), UTC),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"a preview: {type(error).__name__}") from None

    async def change(
        self, change: SubscriptionChange, key: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """Changes price and seats; what that costs is charged now, or nothing changes."""
        asked: dict[str, Any] = {
            "proration_behavior": "always_invoice",
            "payment_behavior": "error_if_incomplete",
        }
        if change.moment is not None:
            asked["proration_date"] = int(change.moment.timestamp())
        with asking("a change"):
            item = await self._item(change.provider_subscription_id)
            asked["items"] = [_changed_item(item, change)]
            await self._client().v1.subscriptions.update_async(
                change.provider_subscription_id,
                asked,  # type: ignore[arg-type]
                {"idempotency_key": f"change:{change.provider_subscription_id}:{key}"},
            )
        return await self.ask_subscription(change.provider_subscription_id, asked_at)

    async def cancel(
        self, provider_subscription_id: str, asked_at: datetime, *, immediately: bool
    ) -> tuple[ProviderEvent, ...]:
        """Has it end with its period, or now; what was paid is not given back."""
        # A key of its own each time: it may have been resumed since, and is to end again.
        options: Any = {"idempotency_key": f"cancel:{uuid4()}"}
        with asking("a cancellation"):
            if immediately:
                said = await self._client().v1.subscriptions.cancel_async(
                    provider_subscription_id, {}, options
                )
            else:
                said = await self._client().v1.subscriptions.update_async(
                    provider_subscription_id, {"cancel_at_period_end": True}, options
                )
        return (self._told(said.to_dict(), asked_at),)

    async def end(self, provider_subscription_id: str) -> None:
        """Ends it for whom nobody is left."""
        with asking("an end"):
            await self._client().v1.subscriptions.cancel_async(
                provider_subscription_id, {}, {"idempotency_key": f"end:{provider_subscription_id}"}
            )

    async def resume(
        self, provider_subscription_id: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """Has it go on behind its period."""
        with asking("a resumption"):
            said = await self._client().v1.subscriptions.update_async(
                provider_subscription_id,
                {"cancel_at_period_end": False},
                {"idempotency_key": f"resume:{uuid4()}"},
            )
        return (self._told(said.to_dict(), asked_at),)

    async def ask_subscription(
        self, provider_subscription_id: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """How a subscription and its latest invoice stand."""
        with asking("a subscription"):
            found = await self._client().v1.subscriptions.retrieve_async(provider_subscription_id)
        said = found.to_dict()
        told: tuple[ProviderEvent, ...] = (self._told(said, asked_at),)
        latest = said.get("latest_invoice")
        if latest:
            invoice = await self._invoice(latest if isinstance(latest, str) else latest["id"])
            told += self._invoiced(invoice, asked_at)
        return told

    async def ask_checkout(self, checkout_id: str, asked_at: datetime) -> tuple[ProviderEvent, ...]:
        """What became of a session."""
        with asking("a session"):
            session = await self._client().v1.checkout.sessions.retrieve_async(checkout_id)
        told: list[ProviderEvent] = []
        for event in checkout_events(session.to_dict()):
            told += await self.look(event, asked_at)
        return tuple(told)

    async def look(self, event: ProviderEvent, asked_at: datetime) -> tuple[ProviderEvent, ...]:
        """What an event means: of an object that changed, how it stands now."""
        if not isinstance(event, StripeChanged):
            return (event,)
        if event.what == "subscription":
            return await self.ask_subscription(event.object_id, asked_at)
        if event.what == "charge":
            return await self._ask_charge(event.object_id)
        invoice = await self._invoice(event.object_id)
        subscription = subscription_of(invoice)
        if subscription is None:
            return ()
        with asking("a subscription"):
            said = await self._client().v1.subscriptions.retrieve_async(subscription)
        return (self._told(said.to_dict(), asked_at), *self._invoiced(invoice, asked_at))

    async def _ask_charge(self, charge_id: str) -> tuple[ProviderEvent, ...]:
        """What went back of a charge, where an invoice of a subscription asked for it."""
        with asking("a charge"):
            charge = (await self._client().v1.charges.retrieve_async(charge_id)).to_dict()
            if not charge.get("payment_intent"):
                return ()
            paid = await self._client().v1.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": charge["payment_intent"]}}
            )
        return (_refunded(charge),) if paid.data else ()

    async def _invoice(self, invoice_id: str) -> dict[str, Any]:
        with asking("an invoice"):
            found = await self._client().v1.invoices.retrieve_async(
                invoice_id,
                {"expand": WITH_PAYMENTS},
            )
        return found.to_dict()

    async def _item(self, provider_subscription_id: str) -> str:
        """The one item that a subscription has."""
        said = await self._client().v1.subscriptions.retrieve_async(provider_subscription_id)
        item: str = said.to_dict()["items"]["data"][0]["id"]
        return item

    def _told(self, said: dict[str, Any], asked_at: datetime) -> ProviderEvent:
        try:
            return subscription_told(
                said, told_at=asked_at, grace_days=self._grace_days, plans=self._plans
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"a subscription: {type(error).__name__}") from None

    def _invoiced(self, said: dict[str, Any], asked_at: datetime) -> tuple[ProviderEvent, ...]:
        try:
            told = invoice_told(said, told_at=asked_at)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"an invoice: {type(error).__name__}") from None
        return () if told is None else (told,)

    def _session(self, wanted: NewSubscription) -> dict[str, Any]:
        metadata = {"subscription_id": str(wanted.subscription_id), "plan_id": wanted.plan_id}
        page = self._base_url + RETURN_PATH
        asked: dict[str, Any] = {
            "mode": "subscription",
            "customer": wanted.customer_id,
            "client_reference_id": str(wanted.subscription_id),
            "line_items": [{"price": wanted.price_id, "quantity": wanted.seats}],
            "metadata": metadata,
            "subscription_data": {"metadata": metadata},
            "success_url": wanted.success_url or f"{page}?session_id={{CHECKOUT_SESSION_ID}}",
            "allow_promotion_codes": self._takes_promotion_codes,
            "automatic_tax": {"enabled": self._adds_tax},
        }
        if wanted.cancel_url is not None:
            asked["cancel_url"] = wanted.cancel_url
        if self._adds_tax:
            asked["customer_update"] = {"address": "auto", "name": "auto"}
            asked["tax_id_collection"] = {"enabled": True}
        return asked


def _cents(amount: int, currency: str) -> int:
    try:
        return from_stripe(amount, currency)
    except (TypeError, ValueError) as error:
        raise provider_failed(NAME, f"an amount: {type(error).__name__}") from None


def _refunded(charge: dict[str, Any]) -> Refunded:
    try:
        return refund_of(charge)
    except (KeyError, TypeError, ValueError) as error:
        raise provider_failed(NAME, f"a charge: {type(error).__name__}") from None


def _changed_item(item: str, change: SubscriptionChange) -> Any:
    return {"id": item, "price": change.price_id, "quantity": change.seats}


def _is_proration(line: dict[str, Any]) -> bool:
    details = (line.get("parent") or {}).get("subscription_item_details") or {}
    return bool(details.get("proration", line.get("proration")))
