"""Stripe as its documents describe it: customers, sessions, refunds, idempotency keys and events."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from payments.base import Delivery

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

SECRET_KEY, WEBHOOK_SECRET = "sk_test_secret", "whsec_secret"
SESSIONS, CUSTOMERS, REFUNDS = "/v1/checkout/sessions", "/v1/customers", "/v1/refunds"
PORTALS = "/v1/billing_portal/sessions"
ACCOUNTS, ACCOUNT_LINKS, TRANSFERS = "/v1/accounts", "/v1/account_links", "/v1/transfers"
PAYMENTS = "/v1/payment_intents"
CONNECT_SECRET = "whsec_connect"
DAY_SECONDS, LEAST_SESSION_SECONDS = 86_400, 1_800


@dataclass
class FakeStripe:
    """What was asked of it by kind, and the answers that idempotency keys remember.

    `price_cents` are the amounts of its own prices, by their ids; `tax_percent` and
    `discount_percent` are what it adds to and takes from what is asked.
    """

    stub: Stub
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    remembered: dict[str, tuple[str, StubAnswer]] = field(default_factory=dict)
    price_cents: dict[str, int] = field(default_factory=dict)
    tax_percent: int = 0
    discount_percent: int = 0
    fails_next: list[int] = field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    transfers: list[dict[str, str]] = field(default_factory=list)
    reversals: list[dict[str, str]] = field(default_factory=list)
    reversed_with: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, make in {
            SESSIONS: self.session,
            CUSTOMERS: self.customer,
            REFUNDS: self.refund,
            PORTALS: self.portal,
            ACCOUNTS: self.account,
            TRANSFERS: self.transfer,
        }.items():
            self.stub.answers[path] = lambda request, make=make: self._once(request, make)
        self.stub.answers[ACCOUNT_LINKS] = self.account_link

    @property
    def settings(self) -> dict[str, str]:
        """What turns it on."""
        return {
            "STRIPE_API_URL": self.stub.url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_CONNECT_WEBHOOK_SECRET": CONNECT_SECRET,
        }

    def _once(self, request: StubRequest, make: Any) -> StubAnswer:
        """An answer, the same for the same key; Stripe refuses a key with other parameters."""
        if request.headers.get("authorization") != f"Bearer {SECRET_KEY}":
            return 401, error("invalid_request_error", "api_key_invalid")
        if self.fails_next:
            return self.fails_next.pop(), error("api_error", "down")
        key = request.headers["idempotency-key"]
        if key in self.remembered:
            asked, answer = self.remembered[key]
            if asked != request.body:
                return 400, error("idempotency_error", "idempotency_key_reused")
            return answer
        answer = make(request.given)
        self.remembered[key] = (request.body, answer)
        return answer

    def customer(self, given: dict[str, str]) -> StubAnswer:
        self.customers.append(given.get("metadata[user_id]") or given["metadata[organization_id]"])
        made = {"id": f"cus_{uuid4().hex}", "object": "customer"}
        self.stub.answers[f"{CUSTOMERS}/{made['id']}"] = self._forget
        return 200, made

    def _forget(self, request: StubRequest) -> StubAnswer:
        customer = request.path.rpartition("/")[2]
        if request.method != "DELETE" or customer in self.forgotten:
            return 404, error("invalid_request_error", "resource_missing")
        self.forgotten.append(customer)
        return 200, {"id": customer, "object": "customer", "deleted": True}

    def session(self, given: dict[str, str]) -> StubAnswer:
        if given["mode"] == "subscription":
            return self.begin_subscription(given)
        if "line_items[0][price]" in given:
            subtotal, currency = self.price_cents[given["line_items[0][price]"]], "usd"
        else:
            data = "line_items[0][price_data]"
            subtotal, currency = int(given[f"{data}[unit_amount]"]), given[f"{data}[currency]"]
        session_id = f"cs_test_{uuid4().hex}"
        made = checkout_session(session_id, subtotal, currency, metadata_of(given))
        made["url"] = f"https://checkout.stripe.test/{session_id}"
        made["customer"] = given.get("customer")
        made["expires_at"] = int(given.get("expires_at", made["expires_at"]))
        if made["expires_at"] < datetime.now(UTC).timestamp() + LEAST_SESSION_SECONDS:
            return 400, error("invalid_request_error", "parameter_invalid_integer")
        made["split"] = {
            "fee": given.get("payment_intent_data[application_fee_amount]"),
            "account": given.get("payment_intent_data[transfer_data][destination]"),
        }
        return self.open_session(made)

    def begin_subscription(self, given: dict[str, str]) -> StubAnswer:
        raise NotImplementedError("FakeBilling has subscriptions")

    def open_session(self, made: dict[str, Any]) -> StubAnswer:
        session_id = made["id"]
        self.sessions[session_id] = made
        self.stub.answers[f"{SESSIONS}/{session_id}"] = lambda _: (200, self._expanded(session_id))
        self.stub.answers[f"{SESSIONS}/{session_id}/expire"] = lambda _: self._expire(session_id)
        return 200, made

    def refund(self, given: dict[str, str]) -> StubAnswer:
        charge = self.charges[given["payment_intent"]]
        if charge["amount_refunded"] + int(given["amount"]) > charge["amount"]:
            return 400, error("invalid_request_error", "charge_already_refunded")
        charge["amount_refunded"] += int(given["amount"])
        refund = {"id": f"re_{uuid4().hex}", "object": "refund", "status": "succeeded"}
        is_whole = given.get("expand[0]") == "charge"
        self.reversed_with.append(given.get("reverse_transfer"))
        if given.get("reverse_transfer") == "true":
            charge["transfer"]["amount_reversed"] += int(given["amount"])
        return 200, refund | {"charge": dict(charge) if is_whole else charge["id"]}

    def account(self, given: dict[str, str]) -> StubAnswer:
        """An Express account, whose owner has told nothing yet."""
        made = connected_account(f"acct_{uuid4().hex[:16]}")
        self.accounts[made["id"]] = made | {"given": given}
        path = f"{ACCOUNTS}/{made['id']}"
        self.stub.answers[path] = lambda _: (200, self.accounts[made["id"]])
        return 200, made

    def account_link(self, request: StubRequest) -> StubAnswer:
        account = request.given["account"]
        if account not in self.accounts:
            return 400, error("invalid_request_error", "account_invalid")
        return 200, {"object": "account_link", "url": f"https://connect.stripe.test/{account}"}

    def transfer(self, given: dict[str, str]) -> StubAnswer:
        self.transfers.append(given)
        return 200, {"id": f"tr_{uuid4().hex}", "object": "transfer"}

    def reverse(self, transfer: dict[str, Any], given: dict[str, str]) -> StubAnswer:
        """Takes a part of a transfer back, never more than is left of it."""
        amount = int(given["amount"])
        if amount > transfer["amount"] - transfer["amount_reversed"]:
            return 400, error("invalid_request_error", "amount_too_large")
        self.reversals.append(given)
        made = {
            "id": f"trr_{uuid4().hex}",
            "object": "transfer_reversal",
            "amount": amount,
            "metadata": metadata_of(given),
        }
        transfer["amount_reversed"] += amount
        transfer["reversals"]["data"].append(made)
        return 200, made

    def portal(self, given: dict[str, str]) -> StubAnswer:
        url = f"https://billing.stripe.test/{given['customer']}"
        return 200, {"id": f"bps_{uuid4().hex}", "object": "billing_portal.session", "url": url}

    def pay(self, session_id: str) -> Delivery:
        """The buyer pays on its page."""
        session = self.sessions[session_id]
        subtotal = session["amount_subtotal"]
        total = subtotal * (100 - self.discount_percent) * (100 + self.tax_percent) // 10_000
        payment = f"pi_{uuid4().hex}" if total else None
        session |= {
            "status": "complete",
            "amount_total": total,
            "payment_status": "paid" if total else "no_payment_required",
            "payment_intent": payment,
        }
        if payment is not None:
            self.charges[payment] = charge(payment, total, session["currency"], session["metadata"])
            self._split(payment, session["split"])
        return event("checkout.session.completed", session)

    def _split(self, payment: str, split: dict[str, str | None]) -> None:
        """A destination charge has a transfer, whose reversals are told by its id."""
        taken = self.charges[payment]
        if split["account"] is not None:
            transfer = {
                "id": f"tr_{uuid4().hex}",
                "object": "transfer",
                "amount": taken["amount"],
                "amount_reversed": 0,
                "reversals": {"object": "list", "data": []},
            }
            taken |= {
                "transfer": transfer,
                "transfer_data": {"destination": split["account"]},
                "application_fee_amount": int(split["fee"] or 0),
            }
            path = f"{TRANSFERS}/{transfer['id']}/reversals"
            self.stub.answers[path] = lambda request: self._once(
                request, lambda given: self.reverse(transfer, given)
            )
        self.stub.answers[f"{PAYMENTS}/{payment}"] = lambda _: (
            200,
            {"id": payment, "latest_charge": self.charges[payment]},
        )

    def _expanded(self, session_id: str) -> dict[str, Any]:
        session = dict(self.sessions[session_id])
        payment = session["payment_intent"]
        if payment is not None:
            session["payment_intent"] = {"id": payment, "latest_charge": self.charges[payment]}
        return session

    def _expire(self, session_id: str) -> StubAnswer:
        self.sessions[session_id]["status"] = "expired"
        return 200, self.sessions[session_id]


def checkout_session(
    session_id: str, subtotal: int, currency: str, metadata: dict[str, str], **changed: Any
) -> dict[str, Any]:
    """An open session with more than is looked at."""
    made = {
        "id": session_id,
        "object": "checkout.session",
        "mode": "payment",
        "status": "open",
        "payment_status": "unpaid",
        "amount_subtotal": subtotal,
        "amount_total": subtotal,
        "currency": currency.lower(),
        "client_reference_id": "whatever a link says",
        "metadata": metadata,
        "payment_intent": None,
        "expires_at": int(datetime.now(UTC).timestamp()) + DAY_SECONDS,
        "livemode": False,
    }
    return made | changed


def charge(
    payment: str, amount: int, currency: str, metadata: dict[str, str], **changed: Any
) -> dict[str, Any]:
    """A charge, to which Stripe copies the metadata of its payment."""
    made = {
        "id": f"ch_{uuid4().hex}",
        "object": "charge",
        "payment_intent": payment,
        "amount": amount,
        "amount_refunded": 0,
        "currency": currency.lower(),
        "metadata": metadata,
    }
    return made | changed


def event(
    kind: str, about: dict[str, Any], event_id: str | None = None, at: datetime | None = None,
    **changed: Any,
) -> Delivery:  # fmt: skip
    """An event as it is delivered, signed at a time."""
    said = {
        "id": event_id or f"evt_{uuid4().hex}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(datetime.now(UTC).timestamp()),
        "livemode": False,
        "type": kind,
        "data": {"object": about},
    }
    body = json.dumps(said | changed).encode()
    now = datetime.now(UTC)
    return Delivery({"stripe-signature": signature(body, at or now)}, body, now)


def connected_account(account: str, **changed: Any) -> dict[str, Any]:
    """A seller's account, as it is at first."""
    made = {
        "id": account,
        "object": "account",
        "charges_enabled": False,
        "payouts_enabled": False,
        "details_submitted": False,
    }
    return made | changed


def connect_event(kind: str, account: str, about: dict[str, Any], **changed: Any) -> Delivery:
    """An event of a connected account, signed with the secret of its own endpoint."""
    made = event(kind, about, account=account, **changed)
    now = datetime.now(UTC)
    return Delivery({"stripe-signature": signature(made.body, now, CONNECT_SECRET)}, made.body, now)


def signature(body: bytes, at: datetime, secret: str = WEBHOOK_SECRET) -> str:
    """The header: https://docs.stripe.com/webhooks#verify-manually."""
    seconds = int(at.timestamp())
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed},v0={'0' * 64}"


def metadata_of(given: dict[str, str]) -> dict[str, str]:
    """The metadata of what is asked for."""
    return {
        name[len("metadata[") : -1]: value
        for name, value in given.items()
        if name.startswith("metadata[")
    }


def error(kind: str, code: str) -> dict[str, Any]:
    """What Stripe says of what it does not do."""
    return {"error": {"type": kind, "code": code, "message": "no"}}


@contextmanager
def stripe() -> Iterator[FakeStripe]:
    """A Stripe for a block."""
    with stub_server() as stub:
        yield FakeStripe(stub)
