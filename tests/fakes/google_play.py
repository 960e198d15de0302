"""Google Play as its documents describe it: purchases, orders, access tokens, pushes of Pub/Sub."""

from __future__ import annotations

import atexit
import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from payments.base import Delivery

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

PACKAGE = "com.shop.app"
AUDIENCE, PUSHER = "https://api.example.test/webhooks/google-play", "push@shop.example"
ACCOUNT, KEY_ID = "play@shop.example", "key-1"
BASE = f"/androidpublisher/v3/applications/{PACKAGE}"
SCOPE = "https://www.googleapis.com/auth/androidpublisher"
PENDING = "ACKNOWLEDGEMENT_STATE_PENDING"
ACKNOWLEDGED = "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED"
# For whoever subscribed: https://developer.android.com/google/play/billing/rtdn-reference
PURCHASED, RENEWED, CANCELED = 4, 2, 3


@cache
def key(name: str = "google") -> rsa.RSAPrivateKey:
    """A key of Google's, of the service account, or of somebody else."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class FakePlay:
    """What is bought, by token, and the orders; `acknowledged` are the paths that were told."""

    stub: Stub
    acknowledged: list[str] = field(default_factory=list)
    refunds: dict[str, dict[str, int]] = field(default_factory=dict)
    access_tokens: int = 0
    fails_next: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stub.answers["/token"] = self._token
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key().public_key()))
        keys = {"keys": [jwk | {"kid": KEY_ID, "alg": "RS256", "use": "sig"}]}
        self.stub.answers["/certs"] = lambda _: (200, keys)

    @property
    def settings(self) -> dict[str, str]:
        """What turns it on."""
        pem = key("account").private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "client_email": ACCOUNT,
            "private_key": pem.decode(),
            "private_key_id": "account-1",
            "token_uri": f"{self.stub.url}/token",
        }
        return {
            "google_play_api_url": self.stub.url,
            "google_play_package_name": PACKAGE,
            "google_play_service_account": json.dumps(account),
            "google_play_push_audience": AUDIENCE,
            "google_play_push_email": PUSHER,
            "google_play_push_keys_url": f"{self.stub.url}/certs",
        }

    def answer(self, path: str, said: dict[str, Any]) -> None:
        """What is said at a path from now on, to whoever has an access token."""

        def make(request: StubRequest) -> StubAnswer:
            if request.headers.get("authorization") != "Bearer access":
                return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}
            if self.fails_next:
                return self.fails_next.pop(), {"error": {"status": "UNAVAILABLE"}}
            return 200, said

        self.stub.answers[f"{BASE}/{path}"] = make

    def order(self, order_id: str, cents: int, currency: str, **changed: Any) -> None:
        """An order that is paid, with what went back of it so far."""
        parts = [
            {"state": "PROCESSED_SUCCESSFULLY", "refundDetails": {"total": amount(part, currency)}}
            for part in self.refunds.get(order_id, {}).values()
        ]
        said = {
            "orderId": order_id,
            "state": "PARTIALLY_REFUNDED" if parts else "PROCESSED",
            "createTime": written(datetime.now(UTC)),
            "total": amount(cents, currency),
            "orderHistory": {"partialRefundEvents": parts},
        }
        path = f"orders/{quote(order_id, safe='')}"
        self.answer(path, said | changed)
        refunded = said | {"state": "REFUNDED"}

        def refund(_: StubRequest) -> StubAnswer:
            self.answer(path, refunded)
            return 200, b""

        self.stub.answers[f"{BASE}/{path}:refund"] = refund

    def product(self, token: str, order_id: str, product: str | None, **changed: Any) -> None:
        """Something that was bought once."""
        item = {"productOfferDetails": {"quantity": 1}} | (
            {"productId": product} if product else {}
        )
        said = {
            "kind": "androidpublisher#productPurchaseV2",
            "productLineItem": [item],
            "purchaseStateContext": {"purchaseState": "PURCHASED"},
            "orderId": order_id,
            "acknowledgementState": ACKNOWLEDGED,
        }
        self._acknowledged_at(f"products/{product}/tokens/{token}")
        self.answer(f"purchases/productsv2/tokens/{quote(token, safe='')}", said | changed)

    def subscription(
        self,
        token: str,
        order_id: str,
        expires: datetime,
        state: str = "ACTIVE",
        plan: str = "monthly",
        **changed: Any,
    ) -> None:
        """A subscription as it is now."""
        item = {
            "productId": "premium",
            "expiryTime": written(expires),
            "latestSuccessfulOrderId": order_id,
            "autoRenewingPlan": {"autoRenewEnabled": state in {"ACTIVE", "IN_GRACE_PERIOD"}},
            "offerDetails": {"basePlanId": plan},
        }
        said = {
            "kind": "androidpublisher#subscriptionPurchaseV2",
            "startTime": written(datetime.now(UTC)),
            "subscriptionState": f"SUBSCRIPTION_STATE_{state}",
            "acknowledgementState": ACKNOWLEDGED,
            "lineItems": [item],
        }
        self._acknowledged_at(f"subscriptions/premium/tokens/{token}")
        self.answer(f"purchases/subscriptionsv2/tokens/{quote(token, safe='')}", said | changed)

    def _acknowledged_at(self, path: str) -> None:
        def acknowledge(_: StubRequest) -> StubAnswer:
            if self.fails_next:
                return self.fails_next.pop(), {}
            self.acknowledged.append(path)
            return 200, b""

        self.stub.answers[f"{BASE}/purchases/{path}:acknowledge"] = acknowledge

    def _token(self, request: StubRequest) -> StubAnswer:
        claims = jwt.decode(
            request.given["assertion"],
            key("account").public_key(),
            algorithms=["RS256"],
            audience=f"{self.stub.url}/token",
        )
        if (claims["iss"], claims["scope"]) != (ACCOUNT, SCOPE):
            return 400, {"error": "invalid_grant"}
        self.access_tokens += 1
        return 200, {"access_token": "access", "expires_in": 3600, "token_type": "Bearer"}


def item_of(
    product: str, order_id: str, expires: datetime, *, renews: bool = True, **changed: Any
) -> dict[str, Any]:
    """An item of a subscription with add-ons."""
    return {
        "productId": product,
        "expiryTime": written(expires),
        "latestSuccessfulOrderId": order_id,
        "autoRenewingPlan": {"autoRenewEnabled": renews},
        "offerDetails": {"basePlanId": "monthly"},
    } | changed


def amount(cents: int, currency: str) -> dict[str, Any]:
    """Money as Google writes it."""
    return {
        "currencyCode": currency,
        "units": str(cents // 100),
        "nanos": cents % 100 * 10_000_000,
    }


def written(at: datetime) -> str:
    """A time as Google writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def push_token(by: rsa.RSAPrivateKey | None = None, **changed: Any) -> str:
    """The token of a push, signed by Google or somebody else."""
    now = datetime.now(UTC)
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "sub": "1234",
        "email": PUSHER,
        "email_verified": True,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=1)).timestamp()),
    } | changed
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, by or key(), algorithm="RS256", headers={"kid": KEY_ID})


def push(
    notification: dict[str, Any], *, event_id: str | None = None, query: str = "", **changed: Any
) -> Delivery:
    """A notification as Pub/Sub pushes it."""
    now = datetime.now(UTC)
    said = {
        "version": "1.0",
        "packageName": PACKAGE,
        "eventTimeMillis": str(int(now.timestamp() * 1000)),
    } | notification
    message = {
        "data": base64.b64encode(json.dumps(said | changed).encode()).decode(),
        "messageId": event_id or str(uuid4().int % 10**16),
        "publishTime": written(now),
    }
    body = json.dumps({"message": message, "subscription": "projects/shop/subscriptions/play"})
    headers = {"authorization": f"Bearer {push_token()}", "content-type": "application/json"}
    return Delivery(headers, body.encode(), now, query)


def of_subscription(token: str, kind: int) -> dict[str, Any]:
    """Something happened to a subscription."""
    told = {"version": "1.0", "notificationType": kind, "purchaseToken": token}
    return {"subscriptionNotification": told}


def of_product(token: str, kind: int = 1) -> dict[str, Any]:
    """Something was bought once, or called off."""
    told = {"version": "1.0", "notificationType": kind, "purchaseToken": token, "sku": "any"}
    return {"oneTimeProductNotification": told}


def of_void(token: str, order_id: str) -> dict[str, Any]:
    """Money went back."""
    told = {"purchaseToken": token, "orderId": order_id, "productType": 2, "refundType": 1}
    return {"voidedPurchaseNotification": told}


@cache
def running() -> FakePlay:
    """One for all tests of a process: what is bought has names of its own."""
    stack = ExitStack()
    atexit.register(stack.close)
    return FakePlay(stack.enter_context(stub_server()))
