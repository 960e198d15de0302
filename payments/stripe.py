"""Stripe: a checkout is a session of Stripe Checkout, its result a signed event or the session."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from payments.base import (
    Checkout,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    NewCheckout,
    PaidOrder,
    provider_failed,
    provider_refused,
)
from payments.events import Notice, ProviderEvent
from payments.stripe_amounts import to_stripe
from payments.stripe_billing import StripeSubscriptions
from payments.stripe_billing_events import StripeChanged, billing_events
from payments.stripe_client import NAME, RETURN_PATH, asking, check_signature, make_client
from payments.stripe_connect import StripeSellers
from payments.stripe_events import ORDER, events_of, id_of, refund_of, session_events
from settings import Settings

if TYPE_CHECKING:
    import stripe

TEST_KEYS = ("sk_test_", "rk_test_")
_REVERSED: Any = {"reverse_transfer": True, "refund_application_fee": True}
log = structlog.get_logger("tallygraph.payments")


def make_stripe(settings: Settings) -> StripeProvider | None:
    """Stripe, where its secrets are set; half of them, or a test key in production, are not it."""
    needed = {
        "STRIPE_SECRET_KEY": settings.stripe_secret_key.get_secret_value(),
        "STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret.get_secret_value(),
    }
    missing = [name for name, value in needed.items() if not value]
    if len(missing) == len(needed):
        return None
    if missing:
        log.error("payments.provider_off", provider=NAME, missing=missing)
        return None
    if settings.production and needed["STRIPE_SECRET_KEY"].startswith(TEST_KEYS):
        log.error("payments.provider_off", provider=NAME, reason="STRIPE_SECRET_KEY is a test key")
        return None
    return StripeProvider(settings)


class StripeProvider:
    """Stripe Checkout, refunds and disputes, its customer portal, and subscriptions it renews."""

    name = NAME
    verifies_at_once = True
    sells_itself = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_test = settings.stripe_secret_key.get_secret_value().startswith(TEST_KEYS)
        self._secrets = [
            one.strip() for one in settings.stripe_webhook_secret.get_secret_value().split(",")
        ]
        self._base_url = settings.base_url
        self._takes_promotion_codes = settings.stripe_promotion_codes
        self._adds_tax = settings.stripe_automatic_tax

    @cached_property
    def _client(self) -> stripe.StripeClient:
        return make_client(self._settings)

    @cached_property
    def subscriptions(self) -> StripeSubscriptions:
        """What it renews by itself."""
        return StripeSubscriptions(self._settings, lambda: self._client)

    @cached_property
    def sellers(self) -> StripeSellers:
        """The accounts of those who sell."""
        return StripeSellers(self._settings, lambda: self._client)

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """Makes a session; asked again for an order within a day, Stripe answers the same one."""
        if checkout.kind == "SUBSCRIPTION":
            raise provider_refused(NAME, "a subscription, which is not sold by Checkout here")
        with asking("a checkout"):
            customer = checkout.customer_id
            if customer is None and checkout.user_id is not None:
                customer = await self._customer(checkout)
            session = await self._client.v1.checkout.sessions.create_async(
                self._session(checkout, customer),  # type: ignore[arg-type]
                {"idempotency_key": f"checkout:{checkout.order_id}:{customer}"},
            )
            if session.url is None or session.expires_at is None:
                raise provider_failed(NAME, "a session without an address or an end")
            asked = (session.amount_subtotal, (session.currency or "").upper())
            if asked != (_units(checkout.amount_cents, checkout.currency), checkout.currency):
                await self._client.v1.checkout.sessions.expire_async(session.id)
                log.error("payments.other_price", provider=NAME, price_id=checkout.price_id)
                raise provider_failed(NAME, "its price is not the product's")
            expires_at = datetime.fromtimestamp(session.expires_at, UTC)
            return Checkout(session.url, expires_at, (session.id,), customer)

    async def create_portal(self, customer_id: str, return_url: str | None) -> str:
        """The address of a customer's page of receipts and cards, for the customer alone."""
        with asking("a portal"):
            portal = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url or self._base_url}
            )
            return portal.url

    async def forget_customer(self, customer_id: str) -> None:
        """Deletes a customer: name, address and cards. Invoices and payments stay at Stripe."""
        with asking("a deletion"):
            await self._client.v1.customers.delete_async(customer_id)

    async def verify(self, delivery: Delivery) -> None:
        """Checks the signature under each of the secrets, then how old it is."""
        check_signature(delivery, self._secrets)

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one event; one of a connected account, or of another's sale, says nothing."""
        try:
            said = orjson.loads(delivery.body)
            kind, event_id = str(said["type"]), id_of(said["id"])
            is_live = bool(said["livemode"])
            occurred_at = datetime.fromtimestamp(said["created"], UTC)
            events = () if said.get("account") else _events(kind, said["data"]["object"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            detail = f"it is not as Stripe documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None
        if is_live and self._is_test:
            raise DeliveryRefused(
                DeliveryRefusal.UNREADABLE, "it is of live mode, and the key is of test mode"
            )
        return Notice(event_id, kind, events, is_test=not is_live, occurred_at=occurred_at)

    def needs_asking(self, notice: Notice) -> bool:
        """Whether it is about a subscription or an invoice, of which an event may be late."""
        return any(isinstance(event, StripeChanged) for event in notice.events)

    async def complete(self, delivery: Delivery, notice: Notice) -> Notice:
        """Asks how subscriptions and invoices stand that an event is about."""
        told: list[ProviderEvent] = []
        for event in notice.events:
            told += await self.subscriptions.look(event, delivery.received_at)
        return replace(notice, events=tuple(told))

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        """Gives money back, once for each key; one that takes its time is told of by an event."""
        assert order.payment_id is not None
        if not order.payment_id.startswith("pi_"):
            raise provider_refused(NAME, "a refund of what nothing was paid for")
        with asking("a refund"):
            refund = await self._client.v1.refunds.create_async(
                {
                    "payment_intent": order.payment_id,
                    "amount": _units(amount_cents, order.currency),
                    "expand": ["charge"],
                    # What the seller got goes back, and as large a part of the fee.
                    **(_REVERSED if order.is_split else {}),
                },
                {"idempotency_key": f"refund:{key}"},
            )
            status = refund.status
        if status in {"failed", "canceled"}:
            raise provider_refused(NAME, f"a refund: {status}")
        if status != "succeeded":
            return ()
        # As the event says it, so that the two count once: all that went back so far. Of that only
        # Stripe knows, since another refund may be asked for at the same time and be refused.
        try:
            return (refund_of(refund.to_dict()["charge"]),)
        except (KeyError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"a refund: {type(error).__name__}") from None

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:
        """What became of an order's sessions, and of what was paid by them."""
        events: list[ProviderEvent] = []
        for reference in order.references:
            if reference.startswith("cs_"):
                events += await self._asked(reference)
        return tuple(events)

    async def _asked(self, session_id: str) -> list[ProviderEvent]:
        with asking("a session"):
            session = await self._client.v1.checkout.sessions.retrieve_async(
                session_id, {"expand": ["payment_intent.latest_charge"]}
            )
        said = session.to_dict()
        try:
            events = list(session_events(said))
            paid = said.get("payment_intent")
            charge = paid.get("latest_charge") if isinstance(paid, dict) else None
            if events and isinstance(charge, dict) and charge.get("amount_refunded"):
                events.append(refund_of(charge))
        except (KeyError, TypeError, ValueError) as error:
            raise provider_failed(NAME, f"a session: {type(error).__name__}") from None
        return events

    async def _customer(self, checkout: NewCheckout) -> str:
        """A customer for a buyer; asked for twice at once, Stripe makes one."""
        asked: dict[str, Any] = {"metadata": {"user_id": str(checkout.user_id)}}
        if checkout.email is not None:
            asked["email"] = checkout.email
        made = await self._client.v1.customers.create_async(
            asked,  # type: ignore[arg-type]
            {"idempotency_key": f"customer:{checkout.user_id}:{checkout.email}"},
        )
        return made.id

    def _session(self, checkout: NewCheckout, customer: str | None) -> dict[str, Any]:
        """The same for an order at any time, as its idempotency key demands."""
        metadata = {ORDER: str(checkout.order_id), "product_id": checkout.product_id}
        if checkout.user_id is not None:
            metadata["user_id"] = str(checkout.user_id)
        page = self._base_url + RETURN_PATH
        asked: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": str(checkout.order_id),
            "line_items": [{"quantity": 1, **_price(checkout)}],
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata, **_split(checkout)},
            "success_url": checkout.success_url or f"{page}?session_id={{CHECKOUT_SESSION_ID}}",
            "allow_promotion_codes": self._takes_promotion_codes,
            "automatic_tax": {"enabled": self._adds_tax},
        }
        if customer is not None:
            asked["customer"] = customer
        elif checkout.email is not None:
            asked["customer_email"] = checkout.email
        if checkout.cancel_url is not None:
            asked["cancel_url"] = checkout.cancel_url
        if checkout.expires_at is not None:
            asked["expires_at"] = int(checkout.expires_at.timestamp())
        if checkout.split is not None:
            # The fee is of the price that was agreed: nothing is taken off or added at the till.
            asked |= {"allow_promotion_codes": False, "automatic_tax": {"enabled": False}}
        elif self._adds_tax:
            asked["customer_update"] = {"address": "auto"}
        return asked


def _events(kind: str, said: dict[str, Any]) -> tuple[ProviderEvent, ...]:
    found = billing_events(kind, said)
    return events_of(kind, said) if found is None else found


def _units(cents: int, currency: str) -> int:
    try:
        return to_stripe(cents, currency)
    except ValueError as error:
        raise provider_refused(NAME, f"an amount: {error}") from None


def _split(checkout: NewCheckout) -> dict[str, Any]:
    """A destination charge: the seller's account gets all but the fee."""
    if checkout.split is None:
        return {}
    return {
        "application_fee_amount": _units(checkout.split.fee_cents, checkout.currency),
        "transfer_data": {"destination": checkout.split.account},
    }


def _price(checkout: NewCheckout) -> dict[str, Any]:
    if checkout.price_id is not None:
        return {"price": checkout.price_id}
    return {
        "price_data": {
            "currency": checkout.currency.lower(),
            "unit_amount": _units(checkout.amount_cents, checkout.currency),
            "product_data": {"name": checkout.product_name},
        }
    }
