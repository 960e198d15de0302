"""PayPal: a checkout is an order that is captured once its buyer agreed, or a subscription."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import structlog

from db.stores.tables import SellerAccount
from db.vault.sealing import Vault
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
from payments.events import NeedsOperator, Notice, ProviderEvent
from payments.paypal_client import NAME, PayPalClient
from payments.paypal_events import (
    events_of,
    fee_part,
    is_as_made,
    order_events,
    refund_event,
    seller_of,
    written_money,
)
from payments.paypal_sellers import MerchantChanged, PayPalSellers, merchant_event
from settings import Settings

RETURN_PATH = "/payments/paypal/return"
# As long as PayPal keeps an order that nobody agreed to.
CHECKOUT_LIFE = timedelta(hours=3)
NAME_MAX_CHARACTERS = 127
# The headers of a delivery that its signature is checked with, and what PayPal calls each.
SIGNED_BY = {
    "auth_algo": "paypal-auth-algo",
    "cert_url": "paypal-cert-url",
    "transmission_id": "paypal-transmission-id",
    "transmission_sig": "paypal-transmission-sig",
    "transmission_time": "paypal-transmission-time",
}
log = structlog.get_logger("tallygraph.payments")


def make_paypal(settings: Settings) -> PayPalProvider | None:
    """PayPal, where its secrets are set; half of them, or its sandbox in production, are not it."""
    needed = {
        "PAYPAL_CLIENT_ID": settings.paypal_client_id,
        "PAYPAL_CLIENT_SECRET": settings.paypal_client_secret.get_secret_value(),
        "PAYPAL_WEBHOOK_ID": settings.paypal_webhook_id,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing and len(missing) < len(needed):
        log.error("payments.provider_off", provider=NAME, missing=missing)
    if missing:
        return None
    if settings.production and ".sandbox." in settings.paypal_api_url:
        log.error("payments.provider_off", provider=NAME, reason="PAYPAL_API_URL is the sandbox")
        return None
    return PayPalProvider(settings)


class PayPalProvider:
    """PayPal's orders, subscriptions, refunds and disputes.

    Whether a delivery is PayPal's only PayPal can say: it is asked by the job that processes it.
    """

    name = NAME
    verifies_at_once = False
    sells_itself = False

    def __init__(self, settings: Settings) -> None:
        self._client = PayPalClient(settings)
        self._webhook_id = settings.paypal_webhook_id
        self._base_url = settings.base_url
        self._vault = Vault(settings)
        # Whoever is in no partner program has no sellers at PayPal.
        self.sellers = (
            PayPalSellers(self._client, self._vault) if settings.paypal_partner_id else None
        )

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """Makes an order, or a subscription; asked again, PayPal answers the same one."""
        key = f"checkout:{checkout.order_id}"
        if checkout.kind == "SUBSCRIPTION":
            made = await self._client.post(
                "/v1/billing/subscriptions", self._subscription(checkout), key
            )
        else:
            made = await self._client.post("/v2/checkout/orders", self._order(checkout), key)
        if not made.is_success:
            raise provider_refused(NAME, f"a checkout, status {made.status}")
        try:
            links = {link["rel"]: str(link["href"]) for link in made.body["links"]}
            url = links["payer-action"] if "payer-action" in links else links["approve"]
            reference = str(made.body["id"])
        except (KeyError, TypeError):
            raise provider_failed(NAME, "a checkout without an id or an address") from None
        expires_at = datetime.now(UTC) + CHECKOUT_LIFE
        return Checkout(url, min(expires_at, checkout.expires_at or expires_at), (reference,))

    def screen(self, delivery: Delivery) -> None:
        """Refuses what has no signature or is no JSON: PayPal need not be asked."""
        if not all(delivery.headers.get(header) for header in SIGNED_BY.values()):
            raise DeliveryRefused(DeliveryRefusal.FORGED, "it has no signature")
        try:
            orjson.loads(delivery.body)
        except orjson.JSONDecodeError:
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, "it is no JSON") from None

    async def verify(self, delivery: Delivery) -> None:
        """Asks PayPal whether it sent this. Its certificate's address is never fetched here."""
        self.screen(delivery)
        given = {name: delivery.headers.get(header, "") for name, header in SIGNED_BY.items()}
        # As it came: written anew, it would be another text than what was signed.
        head = orjson.dumps(given | {"webhook_id": self._webhook_id})[:-1]
        body = head + b',"webhook_event":' + delivery.body + b"}"
        path = "/v1/notifications/verify-webhook-signature"
        answer = await self._client.post_raw(path, body)
        said = answer.body if isinstance(answer.body, dict) else {}
        if answer.status == 400:
            raise DeliveryRefused(DeliveryRefusal.FORGED, "PayPal takes it for no delivery")
        if not answer.is_success:
            raise provider_failed(NAME, f"a verification, status {answer.status}")
        if said.get("verification_status") != "SUCCESS":
            raise DeliveryRefused(DeliveryRefusal.FORGED, "PayPal says that it is not its own")

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one event."""
        try:
            said = orjson.loads(delivery.body)
            kind, event_id = str(said["event_type"]), str(said["id"])
            occurred_at = datetime.fromisoformat(said["create_time"])
            merchant = merchant_event(kind, said["resource"])
            events = (merchant,) if merchant else events_of(kind, said["resource"])
        except (
            orjson.JSONDecodeError,
            KeyError,
            TypeError,
            ValueError,
            StopIteration,
        ) as error:
            detail = f"it is not as PayPal documents it: {type(error).__name__}"
            raise DeliveryRefused(DeliveryRefusal.UNREADABLE, detail) from None
        return Notice(event_id, kind, events, occurred_at=occurred_at)

    def needs_asking(self, notice: Notice) -> bool:
        """Whether it is about a seller, of whom an event says too little."""
        return any(isinstance(event, MerchantChanged) for event in notice.events)

    async def complete(self, delivery: Delivery, notice: Notice) -> Notice:  # noqa: ARG002
        """Asks how sellers stand whom an event is about."""
        told: list[ProviderEvent] = []
        for event in notice.events:
            if not isinstance(event, MerchantChanged):
                told.append(event)
            elif self.sellers is not None:
                told += await self.sellers.look(event)
        return replace(notice, events=tuple(told))

    async def capture(self, order: PaidOrder, reference: str) -> tuple[ProviderEvent, ...]:
        """Takes the money of an order whose buyer agreed, if it is as it was made here."""
        return await self._follow(order, await self._read(reference))

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        """Gives money back, once for each key; one that takes its time is told of by an event."""
        assert order.payment_id is not None
        of_subscription = any(one.startswith("I-") for one in order.references)
        payment = quote(order.payment_id, safe="")
        path = f"/v2/payments/captures/{payment}/refund"
        amount: dict[str, Any] = written_money(amount_cents, order.currency)
        if of_subscription:
            path = f"/v1/payments/sale/{payment}/refund"
            amount = {"total": amount["value"], "currency": amount["currency_code"]}
        asked: dict[str, Any] = {"amount": amount}
        seller = None
        if order.is_split:
            sold = await self._read(order.references[0])
            seller = seller_of(sold, self._client.partner_id)
            # As large a part of the fee goes back with it.
            if fee := fee_part(sold, amount_cents):
                asked["payment_instruction"] = {
                    "platform_fees": [{"amount": written_money(fee, order.currency)}]
                }
        made = await self._client.post(path, asked, f"refund:{key}", seller)
        if not made.is_success:
            raise provider_refused(NAME, f"a refund, status {made.status}")
        said = made.body if isinstance(made.body, dict) else {}
        if of_subscription or said.get("status") != "COMPLETED":
            return ()
        try:
            refunded = refund_event({"links": [], **said, **_up(payment)}, order.references[0])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise provider_failed(NAME, f"a refund: {type(error).__name__}") from None
        return (refunded,)

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:
        """What became of an order; one that its buyer agreed to is captured."""
        events: list[ProviderEvent] = []
        for reference in order.references:
            # A subscription's payments are told of one by one.
            if reference.startswith("I-"):
                continue
            events += await self._follow(order, await self._read(reference))
        return tuple(events)

    async def _follow(self, order: PaidOrder, said: dict[str, Any]) -> tuple[ProviderEvent, ...]:
        """What became of an order of ours; once its buyer agreed, its money is taken."""
        if said.get("status") != "APPROVED":
            return _read_order(said)
        if not order.can_be_paid:
            return ()
        if not is_as_made(said, str(order.order_id), order.amount_cents, order.currency):
            log.error("payments.other_order", provider=NAME, order_id=str(order.order_id))
            return (NeedsOperator(references=(), reason="PayPal has another order by that name"),)
        if not self._is_paid_to_its_seller(order, said):
            log.error("payments.other_payee", provider=NAME, order_id=str(order.order_id))
            reason = "PayPal would pay another account than the seller's"
            return (NeedsOperator(references=(), reason=reason),)
        return await self._capture(str(said["id"]), seller_of(said, self._client.partner_id))

    def _is_paid_to_its_seller(self, order: PaidOrder, said: dict[str, Any]) -> bool:
        """Whether the money goes to the store's account as it is now, or to nobody but us."""
        seller = seller_of(said, self._client.partner_id)
        if not order.is_split:
            return seller is None
        if seller is None:
            return False
        return order.account_index in self._vault.blinds(SellerAccount.account_index, seller)

    async def _capture(self, order: str, seller: str | None) -> tuple[ProviderEvent, ...]:
        """Takes the money of an order; of one that was captured before, what came of that."""
        path = f"/v2/checkout/orders/{quote(order, safe='')}/capture"
        made = await self._client.post(path, {}, f"capture:{order}", seller)
        if made.status == 422:
            return _read_order(await self._read(order))
        if not made.is_success:
            raise provider_failed(NAME, f"a capture, status {made.status}")
        return _read_order(made.body)

    async def _read(self, order: str) -> dict[str, Any]:
        answer = await self._client.get(f"/v2/checkout/orders/{quote(order, safe='')}")
        if not answer.is_success or not isinstance(answer.body, dict):
            raise provider_failed(NAME, f"an order, status {answer.status}")
        return answer.body

    def _order(self, checkout: NewCheckout) -> dict[str, Any]:
        unit: dict[str, Any] = {
            "custom_id": str(checkout.order_id),
            "invoice_id": str(checkout.order_id),
            "description": checkout.product_name[:NAME_MAX_CHARACTERS],
            "amount": written_money(checkout.amount_cents, checkout.currency),
        }
        if checkout.split is not None:
            unit["payee"] = {"merchant_id": checkout.split.account}
            if checkout.split.fee_cents > 0:
                fee = written_money(checkout.split.fee_cents, checkout.currency)
                unit["payment_instruction"] = {"platform_fees": [{"amount": fee}]}
        context = self._pages(checkout) | {"user_action": "PAY_NOW"}
        return {
            "intent": "CAPTURE",
            "purchase_units": [unit],
            "payment_source": {"paypal": {"experience_context": context}},
        }

    def _subscription(self, checkout: NewCheckout) -> dict[str, Any]:
        if checkout.price_id is None:
            raise provider_refused(NAME, "a subscription without the id of its plan at PayPal")
        return {
            "plan_id": checkout.price_id,
            "custom_id": str(checkout.order_id),
            "application_context": self._pages(checkout) | {"user_action": "SUBSCRIBE_NOW"},
        }

    def _pages(self, checkout: NewCheckout) -> dict[str, str]:
        page = self._base_url + RETURN_PATH
        return {
            "return_url": checkout.success_url or page,
            "cancel_url": checkout.cancel_url or page,
        }


def _read_order(said: Any) -> tuple[ProviderEvent, ...]:
    try:
        return order_events(said)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise provider_failed(NAME, f"an order: {type(error).__name__}") from None


def _up(payment: str) -> dict[str, Any]:
    """The link by which a refund names its capture."""
    return {"links": [{"rel": "up", "href": f"captures/{payment}"}]}
