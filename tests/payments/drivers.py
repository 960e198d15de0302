"""How the tests speak for each provider: a driver makes deliveries as the provider sends them.

A provider that is added to the registry adds its driver to `DRIVERS`; every test of the contract runs
for it then.
"""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import UUID, uuid4

import jwt
import orjson
import pytest

from payments.app_store import make_app_store
from payments.base import Delivery, PaymentProvider
from payments.google_play import make_google_play
from payments.paymob import make_paymob
from payments.paypal import make_paypal
from payments.paypal_events import written_money
from payments.revenuecat import make_revenuecat
from payments.sandbox import SIGNATURE_HEADER, SandboxProvider
from payments.stripe import make_stripe
from settings import Settings

from ..fakes import app_store, google_play, paymob, paypal, revenuecat, stripe


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a delivery is to say: of which order and payment, and of how much money."""

    order_id: UUID
    reference: str
    payment: str
    amount_cents: int
    currency: str
    event: str | None = None
    product: str | None = None
    user_id: UUID | None = None
    refund: str | None = None
    dispute: str | None = None

    def but(self, **changes: object) -> Told:
        """The same with something that is not so."""
        return replace(self, **changes)  # type: ignore[arg-type]


class Driver(Protocol):
    """Speaks for a provider.

    `tells` are the kinds of events that it has, beside SUCCEEDED and REFUNDED: FAILED, PENDING,
    DISPUTED, WON, LOST; and what its payments say beside the money: PRODUCT, USER. AGE says that its
    signatures grow old.
    """

    provider: PaymentProvider
    tells: frozenset[str]

    def reference(self, order_id: UUID) -> str:
        """The name by which it would know an order."""
        ...

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        """What it would send, signed at a time."""
        ...

    def forged(self, delivery: Delivery) -> Delivery:
        """The same with a signature that is not the provider's."""
        ...

    def altered(self, delivery: Delivery) -> Delivery:
        """The same signature on other words."""
        ...

    def unsigned(self, delivery: Delivery) -> Delivery:
        """The same without a signature."""
        ...


class SignedBeside:
    """A provider whose signature is in a header or in the query."""

    def unsigned(self, delivery: Delivery) -> Delivery:
        return replace(delivery, headers={}, query="")


class SandboxDriver(SignedBeside):
    """Speaks for the sandbox."""

    tells = frozenset({"FAILED", "PENDING", "DISPUTED", "WON", "LOST", "PRODUCT", "USER", "AGE"})
    _kinds: ClassVar = {
        "SUCCEEDED": "payment.succeeded",
        "PENDING": "payment.pending",
        "FAILED": "payment.failed",
        "REFUNDED": "payment.refunded",
        "DISPUTED": "dispute.opened",
        "WON": "dispute.closed",
        "LOST": "dispute.closed",
    }

    def __init__(self, settings: Settings) -> None:
        self.provider = SandboxProvider("a secret of the tests", settings.base_url)

    def reference(self, order_id: UUID) -> str:
        return str(order_id)

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        data: dict[str, object] = {
            "order": told.reference,
            "payment": told.payment,
            "amount_cents": told.amount_cents,
            "currency": told.currency,
        }
        if told.product is not None:
            data["product"] = told.product
        if told.user_id is not None:
            data["user"] = str(told.user_id)
        if kind == "REFUNDED":
            data["refund"] = told.refund or f"refund-{uuid4()}"
        if kind in {"DISPUTED", "WON", "LOST"}:
            data |= {"dispute": told.dispute or f"dispute-{told.payment}", "won": kind == "WON"}
        delivery = self.provider.delivery(self._kinds[kind], data, told.event)
        if at is None:
            return delivery
        signed = self.provider.signed(delivery.body, at)
        return Delivery(signed.headers, signed.body, datetime.now(UTC))

    def forged(self, delivery: Delivery) -> Delivery:
        stamp = delivery.headers[SIGNATURE_HEADER].partition(",")[0]
        return replace(delivery, headers={SIGNATURE_HEADER: f"{stamp},v1={'0' * 64}"})

    def altered(self, delivery: Delivery) -> Delivery:
        return replace(
            delivery, body=delivery.body.replace(b'"amount_cents":', b'"amount_cents":1')
        )


class PaymobDriver(SignedBeside):
    """Speaks for Paymob, which signs no time, and of a refund no more than its order."""

    tells = frozenset({"FAILED", "PENDING"})
    _states: ClassVar = {
        "SUCCEEDED": {},
        "PENDING": {"success": False, "pending": True},
        "FAILED": {"success": False},
    }

    def __init__(self, settings: Settings) -> None:
        secrets = {
            "paymob_secret_key": paymob.SECRET_KEY,
            "paymob_hmac_secret": paymob.HMAC_SECRET,
            "paymob_integration_id": [paymob.INTEGRATION],
        }
        made = make_paymob(Settings.model_validate(settings.model_dump() | secrets))
        assert made is not None
        self.provider = made

    def reference(self, order_id: UUID) -> str:
        return str(order_id.int % 10**12)

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        number, changed = int(told.payment), dict(self._states.get(kind, {}))
        if kind == "REFUNDED":
            changed = {"has_parent_transaction": True, "parent_transaction": number}
            number = int(told.refund or uuid4().int % 10**12)
        made = paymob.transaction(
            number, int(told.reference), told.amount_cents, told.currency, **changed
        )
        sent = paymob.callback(made)
        return Delivery({}, sent.body, at or datetime.now(UTC), sent.query)

    def forged(self, delivery: Delivery) -> Delivery:
        return replace(delivery, query=f"hmac={'0' * 128}")

    def altered(self, delivery: Delivery) -> Delivery:
        return replace(
            delivery, body=delivery.body.replace(b'"amount_cents": ', b'"amount_cents": 1')
        )


class StripeDriver(SignedBeside):
    """Speaks for Stripe, whose refunds say how much went back of a payment so far."""

    tells = frozenset({"FAILED", "PENDING", "DISPUTED", "WON", "LOST", "PRODUCT", "USER", "AGE"})
    _sessions: ClassVar = {
        "SUCCEEDED": ("checkout.session.completed", "paid"),
        "PENDING": ("checkout.session.completed", "unpaid"),
        "FAILED": ("checkout.session.async_payment_failed", "unpaid"),
    }

    def __init__(self, settings: Settings) -> None:
        secrets = {
            "stripe_secret_key": stripe.SECRET_KEY,
            "stripe_webhook_secret": stripe.WEBHOOK_SECRET,
        }
        made = make_stripe(Settings.model_validate(settings.model_dump() | secrets))
        assert made is not None
        self.provider = made
        self._refunded: dict[str, dict[str, int]] = {}

    def reference(self, order_id: UUID) -> str:
        return f"cs_test_{order_id.hex}"

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        metadata = {"order_id": str(told.order_id)}
        if told.product is not None:
            metadata["product_id"] = told.product
        if told.user_id is not None:
            metadata["user_id"] = str(told.user_id)
        payment = told.payment
        if kind in self._sessions:
            name, payment_status = self._sessions[kind]
            about = stripe.checkout_session(
                told.reference, told.amount_cents, told.currency, metadata,
                status="complete", payment_status=payment_status, payment_intent=payment,
            )  # fmt: skip
        elif kind == "REFUNDED":
            name = "charge.refunded"
            refunds = self._refunded.setdefault(payment, {})
            refunds[told.refund or str(uuid4())] = told.amount_cents
            about = stripe.charge(
                payment, 0, told.currency, metadata, amount_refunded=sum(refunds.values())
            )
        else:
            name = f"charge.dispute.{'created' if kind == 'DISPUTED' else 'closed'}"
            about = {
                "id": told.dispute or f"dp_{told.payment}",
                "object": "dispute",
                "payment_intent": payment,
                "amount": told.amount_cents,
                "currency": told.currency.lower(),
                "status": {"WON": "won", "LOST": "lost"}.get(kind, "needs_response"),
            }
        return stripe.event(name, about, told.event, at)

    def forged(self, delivery: Delivery) -> Delivery:
        signature = stripe.signature(delivery.body, datetime.now(UTC), "whsec_another")
        return replace(delivery, headers={"stripe-signature": signature})

    def altered(self, delivery: Delivery) -> Delivery:
        return replace(
            delivery, body=delivery.body.replace(b'"amount_total": ', b'"amount_total": 1')
        )


class AppStoreDriver:
    """Speaks for the App Store, which signs all that it says.

    A payment's id cannot be read in what is signed: it stands in the address as well, by which the
    tests find a delivery.
    """

    tells = frozenset({"PRODUCT", "USER"})

    def __init__(self, settings: Settings) -> None:
        folder = Path(tempfile.mkdtemp(prefix="app-store-"))
        made = make_app_store(
            Settings.model_validate(settings.model_dump() | app_store.settings(folder))
        )
        assert made is not None
        self.provider = made
        self._prices: dict[str, int] = {}
        self._refunded: dict[str, dict[str, int]] = {}

    def reference(self, order_id: UUID) -> str:
        return str(order_id.int % 10**15)

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        price = self._prices.setdefault(told.payment, told.amount_cents)
        if kind == "SUCCEEDED":
            price = self._prices[told.payment] = told.amount_cents
        about = app_store.transaction(
            told.payment,
            price,
            told.currency,
            originalTransactionId=told.reference,
            productId=told.product,
            appAccountToken=str(told.user_id) if told.user_id else None,
        )
        if kind == "REFUNDED":
            refunds = self._refunded.setdefault(told.payment, {})
            refunds[told.refund or str(uuid4())] = told.amount_cents
            about["revocationDate"] = about["signedDate"]
            about["revocationPercentage"] = min(100_000, sum(refunds.values()) * 100_000 // price)
        name = "REFUND" if kind == "REFUNDED" else "ONE_TIME_CHARGE"
        return app_store.notification(name, about, event_id=told.event, query=told.payment)

    def forged(self, delivery: Delivery) -> Delivery:
        said = _signed(delivery)
        by = app_store.authority("somebody else")
        return replace(delivery, body=orjson.dumps({"signedPayload": by.sign(said)}))

    def altered(self, delivery: Delivery) -> Delivery:
        head, _, signature = orjson.loads(delivery.body)["signedPayload"].split(".")
        said = _signed(delivery) | {"version": "2.1"}
        payload = base64.urlsafe_b64encode(orjson.dumps(said)).rstrip(b"=").decode()
        return replace(
            delivery, body=orjson.dumps({"signedPayload": f"{head}.{payload}.{signature}"})
        )

    def unsigned(self, delivery: Delivery) -> Delivery:
        head, payload, _ = orjson.loads(delivery.body)["signedPayload"].split(".")
        return replace(delivery, body=orjson.dumps({"signedPayload": f"{head}.{payload}."}))


def _signed(delivery: Delivery) -> dict[str, object]:
    """What is signed in a notification."""
    payload = orjson.loads(delivery.body)["signedPayload"]
    said: dict[str, object] = jwt.decode(payload, options={"verify_signature": False})
    return said


class GooglePlayDriver(SignedBeside):
    """Speaks for Google Play, which is asked what a notification means: it has to know first.

    Who pushes is signed, what is pushed is not.
    """

    tells = frozenset({"PRODUCT", "USER"})

    def __init__(self, settings: Settings) -> None:
        self.play = google_play.running()
        given = settings.model_dump() | self.play.settings
        made = make_google_play(Settings.model_validate(given))
        assert made is not None
        self.provider = made
        self._prices: dict[str, int] = {}

    def reference(self, order_id: UUID) -> str:
        return f"token.{order_id}"

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        price = self._prices.setdefault(told.payment, told.amount_cents)
        if kind == "REFUNDED":
            refunds = self.play.refunds.setdefault(told.payment, {})
            refunds[told.refund or str(uuid4())] = told.amount_cents
            about = google_play.of_void(told.reference, told.payment)
        else:
            price = self._prices[told.payment] = told.amount_cents
            self.play.product(
                told.reference, told.payment, told.product,
                **({"obfuscatedExternalAccountId": str(told.user_id)} if told.user_id else {}),
            )  # fmt: skip
            about = google_play.of_product(told.reference)
        self.play.order(told.payment, price, told.currency)
        return google_play.push(about, event_id=told.event, query=told.payment)

    def forged(self, delivery: Delivery) -> Delivery:
        return _pushed(delivery, google_play.push_token(google_play.key("somebody else")))

    def altered(self, delivery: Delivery) -> Delivery:
        head, _, signature = delivery.headers["authorization"].split(".")
        _, payload, _ = google_play.push_token(sub="5678").split(".")
        return _pushed(delivery, f"{head.removeprefix('Bearer ')}.{payload}.{signature}")


def _pushed(delivery: Delivery, token: str) -> Delivery:
    return replace(delivery, headers={"authorization": f"Bearer {token}"})


class RevenueCatDriver(SignedBeside):
    """Speaks for RevenueCat, which signs nothing: each delivery has the same value that was set.

    Its refunds are of a whole purchase; those of the tests say how much went back so far.
    """

    tells = frozenset({"USER"})

    def __init__(self, settings: Settings) -> None:
        secrets = {"revenuecat_webhook_authorization": f"old, {revenuecat.AUTHORIZATION}"}
        made = make_revenuecat(Settings.model_validate(settings.model_dump() | secrets))
        assert made is not None
        self.provider = made
        self._refunded: dict[str, dict[str, int]] = {}

    def reference(self, order_id: UUID) -> str:
        return str(order_id.int % 10**12)

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        del at
        said: dict[str, object] = {
            "transaction_id": told.payment,
            "original_transaction_id": told.reference,
            "product_id": "com.shop.credits",
            "currency": told.currency,
            "price_in_purchased_currency": told.amount_cents / 100,
        }
        if told.user_id is not None:
            said["app_user_id"] = str(told.user_id)
        if kind == "SUCCEEDED":
            return revenuecat.event("NON_RENEWING_PURCHASE", told.event, **said)
        refunds = self._refunded.setdefault(told.payment, {})
        refunds[told.refund or str(uuid4())] = told.amount_cents
        said |= {
            "cancel_reason": "CUSTOMER_SUPPORT",
            "price_in_purchased_currency": -sum(refunds.values()) / 100,
        }
        return revenuecat.event("CANCELLATION", told.event, **said)

    def forged(self, delivery: Delivery) -> Delivery:
        return replace(delivery, headers={})

    def altered(self, delivery: Delivery) -> Delivery:
        return replace(delivery, headers={"authorization": revenuecat.AUTHORIZATION[:-1]})


class PayPalDriver(SignedBeside):
    """Speaks for PayPal, which alone can say whether a delivery is its own."""

    tells = frozenset({"FAILED", "PENDING", "DISPUTED", "WON", "LOST"})
    _captures: ClassVar = {
        "SUCCEEDED": ("PAYMENT.CAPTURE.COMPLETED", "COMPLETED"),
        "PENDING": ("PAYMENT.CAPTURE.PENDING", "PENDING"),
        "FAILED": ("PAYMENT.CAPTURE.DENIED", "DECLINED"),
    }
    _outcomes: ClassVar = {"WON": "RESOLVED_SELLER_FAVOUR", "LOST": "RESOLVED_BUYER_FAVOUR"}

    def __init__(self, settings: Settings) -> None:
        self.paypal = paypal.running()
        secrets = {name.lower(): value for name, value in self.paypal.settings.items()}
        made = make_paypal(Settings.model_validate(settings.model_dump() | secrets))
        assert made is not None
        self.provider = made

    def reference(self, order_id: UUID) -> str:
        return order_id.hex[-17:].upper()

    def delivery(self, kind: str, told: Told, at: datetime | None = None) -> Delivery:
        amount = written_money(told.amount_cents, told.currency)
        if kind in self._captures:
            name, status = self._captures[kind]
            about = paypal.capture(told.payment, told.reference, amount, status=status)
        elif kind == "REFUNDED":
            name = "PAYMENT.CAPTURE.REFUNDED"
            about = paypal.refund(told.refund or str(uuid4()), told.payment, amount)
        else:
            name = f"CUSTOMER.DISPUTE.{'CREATED' if kind == 'DISPUTED' else 'RESOLVED'}"
            dispute = told.dispute or f"PP-{told.payment}"
            about = paypal.dispute(dispute, told.payment, amount, self._outcomes.get(kind))
        return self.paypal.event(name, about, told.event)

    def forged(self, delivery: Delivery) -> Delivery:
        return replace(delivery, headers=paypal.headers("somebody else's"))

    def altered(self, delivery: Delivery) -> Delivery:
        return replace(
            delivery, body=delivery.body.replace(b'"resource": {', b'"resource": {"more": 1, ')
        )


DRIVERS: dict[
    str,
    type[
        SandboxDriver
        | PaymobDriver
        | StripeDriver
        | AppStoreDriver
        | GooglePlayDriver
        | RevenueCatDriver
        | PayPalDriver
    ],
] = {
    "sandbox": SandboxDriver,
    "paymob": PaymobDriver,
    "paypal": PayPalDriver,
    "revenuecat": RevenueCatDriver,
    "stripe": StripeDriver,
    "app-store": AppStoreDriver,
    "google-play": GooglePlayDriver,
}


def told_by(kind: str) -> pytest.MarkDecorator:
    """Has a test of the contract run for those providers that tell of this."""
    names = [name for name, driver in sorted(DRIVERS.items()) if kind in driver.tells]
    return pytest.mark.parametrize("shop", names, indirect=True)


LONG_AGO = timedelta(minutes=10)
