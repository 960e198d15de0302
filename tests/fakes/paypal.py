"""PayPal as its documents describe it: tokens, orders, captures, refunds, and signed deliveries."""

from __future__ import annotations

import atexit
import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from payments.base import Delivery

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID = "client", "client secret", "webhook-1"
TOKEN, VERIFY = "/v1/oauth2/token", "/v1/notifications/verify-webhook-signature"
ORDERS, SUBSCRIPTIONS = "/v2/checkout/orders", "/v1/billing/subscriptions"
PARTNER_ID, REFERRALS = "PARTNER00001", "/v2/customer/partner-referrals"
INTEGRATIONS = f"/v1/customer/partners/{PARTNER_ID}/merchant-integrations"


@dataclass
class FakePayPal:
    """What was asked of it, the orders that it made, and the answers that request ids remember.

    `signed` are the signatures that it made, each with the text that it is of. `referrals` are the
    last of each tracking id, `tracked` the merchants that they led to, `merchants` how these stand.
    """

    stub: Stub
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    remembered: dict[str, StubAnswer] = field(default_factory=dict)
    signed: dict[str, str] = field(default_factory=dict)
    referrals: dict[str, dict[str, Any]] = field(default_factory=dict)
    tracked: dict[str, str] = field(default_factory=dict)
    merchants: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200

    def __post_init__(self) -> None:
        self.stub.answers |= {
            TOKEN: self._token,
            VERIFY: self._verify,
            ORDERS: lambda request: self._once(request, self._create),
            SUBSCRIPTIONS: lambda request: self._once(request, self._subscribe),
            REFERRALS: lambda request: self._once(request, self._refer),
            INTEGRATIONS: self._find_merchant,
        }

    @property
    def settings(self) -> dict[str, str]:
        """What turns it on."""
        return {
            "PAYPAL_API_URL": self.stub.url,
            "PAYPAL_CLIENT_ID": CLIENT_ID,
            "PAYPAL_CLIENT_SECRET": CLIENT_SECRET,
            "PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
            "PAYPAL_PARTNER_ID": PARTNER_ID,
        }

    def _token(self, request: StubRequest) -> StubAnswer:
        pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": "A21", "token_type": "Bearer", "expires_in": 32_400}

    def _verify(self, request: StubRequest) -> StubAnswer:
        """PayPal's own check: of the text as it was sent, under the webhook's id."""
        if request.headers.get("authorization") != "Bearer A21":
            return 401, {"name": "AUTHENTICATION_FAILURE"}
        asked = json.loads(request.body)
        raw = request.body.partition('"webhook_event":')[2].removesuffix("}")
        is_ours = (
            asked["webhook_id"] == WEBHOOK_ID and self.signed.get(asked["transmission_sig"]) == raw
        )
        return 200, {"verification_status": "SUCCESS" if is_ours else "FAILURE"}

    def _once(self, request: StubRequest, make: Any) -> StubAnswer:
        if request.headers.get("authorization") != "Bearer A21":
            return 401, {"name": "AUTHENTICATION_FAILURE"}
        if self.status != 200:
            return self.status, {"name": "INTERNAL_SERVER_ERROR"}
        key = request.headers["paypal-request-id"]
        if key not in self.remembered:
            self.remembered[key] = make(json.loads(request.body or "{}"))
        return self.remembered[key]

    def _create(self, asked: dict[str, Any]) -> StubAnswer:
        order_id = uuid4().hex[:17].upper()
        made = {"id": order_id, "status": "CREATED", "purchase_units": asked["purchase_units"]}
        made["links"] = [
            {"rel": "payer-action", "href": f"https://paypal.test/pay?token={order_id}"}
        ]
        self.orders[order_id] = made
        self.stub.answers[f"{ORDERS}/{order_id}"] = lambda _: (200, self.orders[order_id])
        self.stub.answers[f"{ORDERS}/{order_id}/capture"] = lambda request: self._once(
            request, lambda _: self._capture(order_id)
        )
        return 201, made

    def _subscribe(self, asked: dict[str, Any]) -> StubAnswer:
        made = {"id": f"I-{uuid4().hex[:12].upper()}", "status": "APPROVAL_PENDING"} | asked
        made["links"] = [{"rel": "approve", "href": f"https://paypal.test/sub?id={made['id']}"}]
        return 201, made

    def _capture(self, order_id: str) -> StubAnswer:
        order = self.orders[order_id]
        if order["status"] != "APPROVED":
            return 422, {"name": "UNPROCESSABLE_ENTITY"}
        (unit,) = order["purchase_units"]
        taken = capture(uuid4().hex[:17].upper(), order_id, unit["amount"])
        unit["payments"] = {"captures": [taken]}
        order["status"] = "COMPLETED"
        self.stub.answers[f"/v2/payments/captures/{taken['id']}/refund"] = lambda request: (
            self._once(request, lambda asked: self._refund(unit, taken, asked))
        )
        return 201, order

    def _refund(
        self, unit: dict[str, Any], taken: dict[str, Any], asked: dict[str, Any]
    ) -> StubAnswer:
        made = refund(uuid4().hex[:17].upper(), taken["id"], asked["amount"])
        unit["payments"].setdefault("refunds", []).append(made)
        return 201, made

    def _refer(self, asked: dict[str, Any]) -> StubAnswer:
        self.referrals[asked["tracking_id"]] = asked
        page = f"https://paypal.test/onboard/{asked['tracking_id']}"
        return 201, {"links": [{"rel": "self", "href": "x"}, {"rel": "action_url", "href": page}]}

    def _find_merchant(self, request: StubRequest) -> StubAnswer:
        merchant = self.tracked.get(request.given["tracking_id"])
        return (200, {"merchant_id": merchant}) if merchant else (404, {"name": "NOT_FOUND"})

    def agree(self, tracking: str, merchant: str, **changed: Any) -> Delivery:
        """A seller agrees on their page; how they stand is as `seller()` says."""
        self.tracked[tracking] = merchant
        self.stand(merchant, **changed)
        told = {"merchant_id": merchant, "tracking_id": tracking, "partner_client_id": CLIENT_ID}
        return self.event("MERCHANT.ONBOARDING.COMPLETED", told)

    def stand(self, merchant: str, **changed: Any) -> None:
        """How a seller stands from now on."""
        self.merchants[merchant] = seller(merchant, **changed)
        self.stub.answers[f"{INTEGRATIONS}/{merchant}"] = lambda _: (
            (200, self.merchants[merchant]) if merchant in self.merchants else (404, {})
        )

    def revoke(self, tracking: str, merchant: str) -> Delivery:
        """A seller takes back that whoever runs the service may sell for them."""
        self.merchants.pop(merchant, None)
        told = {"merchant_id": merchant, "tracking_id": tracking, "partner_client_id": CLIENT_ID}
        return self.event("MERCHANT.PARTNER-CONSENT.REVOKED", told)

    def approve(self, order_id: str) -> Delivery:
        """The buyer agrees on its page."""
        self.orders[order_id]["status"] = "APPROVED"
        return self.event("CHECKOUT.ORDER.APPROVED", self.orders[order_id])

    def event(self, kind: str, resource: dict[str, Any], event_id: str | None = None) -> Delivery:
        """An event as it is delivered, signed."""
        said = {
            "id": event_id or f"WH-{uuid4().hex}",
            "event_type": kind,
            "create_time": datetime.now(UTC).isoformat(),
            "resource": resource,
        }
        return self.sign(json.dumps(said).encode())

    def sign(self, body: bytes) -> Delivery:
        """A body with PayPal's signature."""
        signature = uuid4().hex
        self.signed[signature] = body.decode()
        return Delivery(headers(signature), body, datetime.now(UTC))


def headers(signature: str) -> dict[str, str]:
    """What a delivery is signed by."""
    return {
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "paypal-transmission-id": str(uuid4()),
        "paypal-transmission-sig": signature,
        "paypal-transmission-time": datetime.now(UTC).isoformat(),
    }


def seller(merchant: str, **changed: Any) -> dict[str, Any]:
    """How a seller stands who can be paid, but for what is changed."""
    granted = {"partner_client_id": CLIENT_ID, "merchant_client_id": "x", "scopes": ["x"]}
    made = {
        "merchant_id": merchant,
        "payments_receivable": True,
        "primary_email_confirmed": True,
        "oauth_integrations": [
            {"integration_type": "OAUTH_THIRD_PARTY", "oauth_third_party": [granted]}
        ],
    }
    return made | changed


def capture(payment: str, order: str, amount: dict[str, str], **changed: Any) -> dict[str, Any]:
    """A capture of an order."""
    made = {
        "id": payment,
        "status": "COMPLETED",
        "amount": amount,
        "supplementary_data": {"related_ids": {"order_id": order}},
    }
    return made | changed


def refund(refund_id: str, payment: str, amount: dict[str, str]) -> dict[str, Any]:
    """A refund of a capture."""
    up = f"https://api.paypal.com/v2/payments/captures/{payment}"
    return {
        "id": refund_id,
        "status": "COMPLETED",
        "amount": amount,
        "links": [{"rel": "self", "href": "x"}, {"rel": "up", "href": up}],
    }


def dispute(
    dispute_id: str, payment: str, amount: dict[str, str], outcome: str | None = None
) -> dict[str, Any]:
    """A dispute about a payment, with its outcome once there is one."""
    made: dict[str, Any] = {
        "dispute_id": dispute_id,
        "disputed_transactions": [{"seller_transaction_id": payment}],
        "dispute_amount": amount,
    }
    return made | ({"dispute_outcome": {"outcome_code": outcome}} if outcome else {})


@contextmanager
def paypal() -> Iterator[FakePayPal]:
    """A PayPal for a block."""
    with stub_server() as stub:
        yield FakePayPal(stub)


def running() -> FakePayPal:
    """One for all tests of a process: what is bought has names of its own."""
    stack = ExitStack()
    atexit.register(stack.close)
    return FakePayPal(stack.enter_context(stub_server()))
