"""The sandbox: a provider for demos and tests that takes no money, with a checkout page of our own.

It works as the others do: its deliveries are signed, go through the inbox, and are processed by a
job. Its signature is made as Stripe's is: `t=<seconds>,v1=<hex>`, where v1 is HMAC-SHA-256 of
`<seconds>.<body>`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson

from payments.base import (
    Checkout,
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    NewCheckout,
    PaidOrder,
)
from payments.events import (
    CheckoutEnded,
    DisputeClosed,
    DisputeOpened,
    Notice,
    PaymentEvent,
    PaymentFailed,
    PaymentPending,
    PaymentSucceeded,
    ProviderEvent,
    Refunded,
)
from settings import Settings

NAME = "sandbox"
SIGNATURE_HEADER = "sandbox-signature"
# As long as Stripe allows a delivery to be under way.
TOLERANCE = timedelta(seconds=300)
CHECKOUT_LIFE = timedelta(hours=24)
_ID_BYTES = 16
_TOKEN_BYTES = 16
_PAYMENTS: Mapping[str, type[PaymentEvent]] = {
    "payment.succeeded": PaymentSucceeded,
    "payment.pending": PaymentPending,
    "payment.failed": PaymentFailed,
}


def make_sandbox(settings: Settings) -> SandboxProvider | None:
    """The sandbox of a demo; production has none."""
    if settings.production:
        return None
    return SandboxProvider(settings.secret("sandbox-webhook-secret"), settings.base_url)


class SandboxProvider:
    """A provider that says what the buttons on its page are pressed for."""

    name = NAME
    verifies_at_once = True
    sells_itself = False

    def __init__(self, secret: str, base_url: str) -> None:
        self._key = secret.encode()
        self._base_url = base_url

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """The page of this server's; its address is known to nobody but the buyer."""
        expires_at = datetime.now(UTC) + CHECKOUT_LIFE
        return Checkout(
            url=f"{self._base_url}/sandbox/checkout/{self.page_token(checkout.order_id)}",
            expires_at=min(expires_at, checkout.expires_at or expires_at),
            references=(str(checkout.order_id),),
        )

    async def verify(self, delivery: Delivery) -> None:
        """Checks the signature, then how old it is."""
        seconds, signatures = _signature_parts(delivery.headers.get(SIGNATURE_HEADER, ""))
        expected = self._signature(seconds, delivery.body)
        if not any(hmac.compare_digest(expected, given) for given in signatures):
            raise DeliveryRefused(DeliveryRefusal.FORGED, "the signature is not ours")
        age = delivery.received_at - datetime.fromtimestamp(int(seconds), UTC)
        if abs(age) > TOLERANCE:
            raise DeliveryRefused(
                DeliveryRefusal.STALE, "it was signed more than 300 s ago, or ahead"
            )

    def parse(self, delivery: Delivery) -> Notice:
        """Reads one event."""
        try:
            said = orjson.loads(delivery.body)
            kind = str(said["type"])
            return Notice(
                event_id=str(said["id"]),
                kind=kind,
                events=_events(kind, said["data"]),
                occurred_at=datetime.fromtimestamp(said["created"], UTC),
            )
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            raise DeliveryRefused(
                DeliveryRefusal.UNREADABLE, "it is no event of the sandbox"
            ) from None

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        """Takes nobody's money back: that it did is told like everything else."""
        assert order.payment_id is not None
        return (
            Refunded(
                references=order.references,
                payment_id=order.payment_id,
                amount_cents=amount_cents,
                currency=order.currency,
                refund_id=f"sandbox_refund_{key}",
            ),
        )

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:  # noqa: ARG002
        """Nothing: what the sandbox knows, it has told."""
        return ()

    def delivery(
        self, kind: str, data: Mapping[str, object], event_id: str | None = None
    ) -> Delivery:
        """A signed delivery, as the sandbox sends it."""
        now = datetime.now(UTC)
        said = {
            "id": event_id or f"sandbox_event_{uuid4()}",
            "type": kind,
            "created": int(now.timestamp()),
            "data": dict(data),
        }
        return self.signed(orjson.dumps(said), now)

    def signed(self, body: bytes, at: datetime) -> Delivery:
        """A body with the signature that it has when it is sent at a time."""
        seconds = str(int(at.timestamp()))
        headers = {
            "content-type": "application/json",
            SIGNATURE_HEADER: f"t={seconds},v1={self._signature(seconds, body)}",
        }
        return Delivery(headers, body, received_at=at)

    def page_token(self, order_id: UUID) -> str:
        """What leads to an order's page: its id, and a proof that it was made here."""
        token = order_id.bytes + self._page_proof(order_id.bytes)
        return base64.urlsafe_b64encode(token).rstrip(b"=").decode()

    def order_of_page(self, token: str) -> UUID | None:
        """Whose page a token leads to; nothing for one that was not made here."""
        try:
            made = base64.b64decode(f"{token}=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        key, proof = made[:_ID_BYTES], made[_ID_BYTES:]
        if len(key) < _ID_BYTES or not hmac.compare_digest(proof, self._page_proof(key)):
            return None
        return UUID(bytes=key)

    def _page_proof(self, key: bytes) -> bytes:
        return hmac.digest(self._key, b"page:" + key, "sha256")[:_TOKEN_BYTES]

    def _signature(self, seconds: str, body: bytes) -> str:
        return hmac.digest(self._key, seconds.encode() + b"." + body, "sha256").hex()


def _signature_parts(header: str) -> tuple[str, list[str]]:
    parts = [part.partition("=") for part in header.split(",")]
    seconds = next((value for name, _, value in parts if name.strip() == "t"), "")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 12):
        raise DeliveryRefused(DeliveryRefusal.FORGED, "it has no signature")
    # Bytes that are no ASCII cannot be compared, and are in no signature.
    given = [value for name, _, value in parts if name.strip() == "v1" and value.isascii()]
    return seconds, given


def _events(kind: str, data: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    references = (str(data["order"]),)
    if kind in {"checkout.expired", "checkout.cancelled"}:
        return (CheckoutEnded(references=references, cancelled=kind == "checkout.cancelled"),)
    money: dict[str, Any] = {
        "references": references,
        "payment_id": str(data["payment"]),
        "amount_cents": _cents(data["amount_cents"]),
        "currency": str(data["currency"]),
    }
    if kind in _PAYMENTS:
        user = data.get("user")
        money |= {"product": data.get("product"), "user_id": UUID(user) if user else None}
        return (_PAYMENTS[kind](**money),)
    if kind == "payment.refunded":
        return (Refunded(**money, refund_id=data.get("refund")),)
    if kind == "dispute.opened":
        return (DisputeOpened(**money, dispute_id=str(data["dispute"])),)
    if kind == "dispute.closed":
        won = data["won"] is True
        return (DisputeClosed(**money, dispute_id=str(data["dispute"]), won=won),)
    return ()


def _cents(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ValueError
    return value
