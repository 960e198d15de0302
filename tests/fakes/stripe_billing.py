"""Stripe Billing as its documents describe it: subscriptions, invoices, previews and their events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from payments.base import Delivery

from .http_stub import StubAnswer, StubRequest, stub_server
from .stripe import FakeStripe, checkout_session, error, event, metadata_of

SUBSCRIPTIONS, INVOICES = "/v1/subscriptions", "/v1/invoices"
PREVIEWS, INVOICE_PAYMENTS = f"{INVOICES}/create_preview", "/v1/invoice_payments"
LENGTH = {"month": timedelta(days=30), "year": timedelta(days=365)}


@dataclass
class FakeBilling(FakeStripe):
    """Prices are of `price_cents`; those in `yearly` are paid by the year.

    While `declines`, no payment succeeds. `events` are what it would deliver, in its order.
    """

    yearly: set[str] = field(default_factory=set)
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[Delivery] = field(default_factory=list)
    declines: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stub.answers[PREVIEWS] = lambda request: self._once(request, self._preview)
        self.stub.answers[INVOICE_PAYMENTS] = self._invoice_payments

    def show_prices(self) -> None:
        """Lets each of its prices be asked for."""
        for price_id in self.price_cents:
            price = self._price(price_id) | {"currency": "usd"}
            self.stub.answers[f"/v1/prices/{price_id}"] = lambda _, price=price: (200, price)

    def delivered(self) -> list[Delivery]:
        """What happened since this was asked last."""
        told, self.events = self.events, []
        return told

    def begin_subscription(self, given: dict[str, str]) -> StubAnswer:
        price, quantity = given["line_items[0][price]"], int(given["line_items[0][quantity]"])
        session_id = f"cs_test_{uuid4().hex}"
        made = checkout_session(
            session_id,
            self.price_cents[price] * quantity,
            "usd",
            metadata_of(given),
            mode="subscription",
            url=f"https://checkout.stripe.test/{session_id}",
            customer=given["customer"],
            subscription=None,
            bought=(price, quantity),
        )
        return self.open_session(made)

    def subscribe(self, session_id: str) -> str:
        """The buyer pays on its page; the subscription's id."""
        session = self.sessions[session_id]
        price, quantity = session["bought"]
        subscription_id = f"sub_{uuid4().hex}"
        now = datetime.now(UTC)
        self.subscriptions[subscription_id] = subscription(
            subscription_id,
            session["customer"],
            self._price(price),
            quantity,
            starts=now,
            ends=now + LENGTH[self._price(price)["recurring"]["interval"]],
            metadata=session["metadata"],
        )
        self.stub.answers[f"{SUBSCRIPTIONS}/{subscription_id}"] = self._subscription
        session |= {
            "status": "complete", "payment_status": "paid", "subscription": subscription_id
        }  # fmt: skip
        self._tell("customer.subscription.created", self.subscriptions[subscription_id])
        self._bill(subscription_id, "subscription_create")
        self._tell("checkout.session.completed", session)
        return subscription_id

    def renew(self, subscription_id: str) -> None:
        """The next period begins, paid unless the card is declined."""
        item = self._item(subscription_id)
        ends = item["current_period_end"]
        length = LENGTH[item["price"]["recurring"]["interval"]]
        item |= {
            "current_period_start": ends, "current_period_end": ends + int(length.total_seconds())
        }  # fmt: skip
        self._bill(subscription_id, "subscription_cycle")
        self._tell("customer.subscription.updated", self.subscriptions[subscription_id])

    def retry(self, subscription_id: str) -> None:
        """Stripe tries the open invoice again."""
        invoice = self.invoices[self.subscriptions[subscription_id]["latest_invoice"]]
        self._collect(invoice)
        self._tell("customer.subscription.updated", self.subscriptions[subscription_id])

    def set_status(self, subscription_id: str, status: str) -> None:
        """Stripe gives up, or whatever else its settings say."""
        self.subscriptions[subscription_id]["status"] = status
        self._tell("customer.subscription.updated", self.subscriptions[subscription_id])

    def _subscription(self, request: StubRequest) -> StubAnswer:
        subscription_id = request.path.rpartition("/")[2]
        if request.method == "GET":
            return 200, self.subscriptions[subscription_id]
        if request.method == "DELETE":
            return self._once(request, lambda _: self._cancel(subscription_id))
        return self._once(request, lambda given: self._update(subscription_id, given))

    def _cancel(self, subscription_id: str) -> StubAnswer:
        found = self.subscriptions[subscription_id]
        if found["status"] == "canceled":
            return 404, error("invalid_request_error", "resource_missing")
        found |= {"status": "canceled", "ended_at": int(datetime.now(UTC).timestamp())}
        self._tell("customer.subscription.deleted", found)
        return 200, found

    def _update(self, subscription_id: str, given: dict[str, str]) -> StubAnswer:
        found = self.subscriptions[subscription_id]
        if found["status"] == "canceled":
            return 404, error("invalid_request_error", "resource_missing")
        if "cancel_at_period_end" in given:
            found["cancel_at_period_end"] = given["cancel_at_period_end"] == "true"
        if "items[0][price]" in given:
            item = self._item(subscription_id)
            assert given["items[0][id]"] == item["id"]
            due = self._difference(item, given)
            if due > 0 and self.declines:
                return 402, error("card_error", "card_declined")
            item |= {
                "price": self._price(given["items[0][price]"]),
                "quantity": int(given["items[0][quantity]"]),
            }
            self._bill(subscription_id, "subscription_update", due)
        self._tell("customer.subscription.updated", found)
        return 200, found

    def _preview(self, given: dict[str, str]) -> StubAnswer:
        details = "subscription_details[items][0]"
        item = self._item(given["subscription"])
        assert given[f"{details}[id]"] == item["id"]
        named = {f"items[0][{name}]": given[f"{details}[{name}]"] for name in ("price", "quantity")}
        due = self._difference(item, named)
        line = invoice_line(item["price"]["id"], due, item, is_proration=True)
        return 200, {
            "object": "invoice", "amount_due": max(0, due), "total": due, "currency": "usd",
            "lines": {"data": [line]},
        }  # fmt: skip

    def _difference(self, item: dict[str, Any], given: dict[str, str]) -> int:
        """What the rest of the period costs more: here the whole of it."""
        before = self.price_cents[item["price"]["id"]] * item["quantity"]
        after = self.price_cents[given["items[0][price]"]] * int(given["items[0][quantity]"])
        return after - before

    def _bill(self, subscription_id: str, reason: str, cents: int | None = None) -> None:
        item = self._item(subscription_id)
        total = item["price"]["unit_amount"] * item["quantity"] if cents is None else cents
        made = invoice(f"in_{uuid4().hex}", self.subscriptions[subscription_id], total, reason)
        self.invoices[made["id"]] = made
        self.subscriptions[subscription_id]["latest_invoice"] = made["id"]
        self.stub.answers[f"{INVOICES}/{made['id']}"] = lambda _: (200, made)
        self._collect(made)

    def _collect(self, made: dict[str, Any]) -> None:
        found = self.subscriptions[made["parent"]["subscription_details"]["subscription"]]
        if self.declines and made["total"] > 0:
            made["attempt_count"] += 1
            made["next_payment_attempt"] = int(datetime.now(UTC).timestamp()) + 86_400
            found["status"] = "past_due"
            self._tell("invoice.payment_failed", made)
            return
        made |= {
            "status": "paid", "amount_paid": max(0, made["total"]), "next_payment_attempt": None
        }  # fmt: skip
        made["status_transitions"]["paid_at"] = int(datetime.now(UTC).timestamp())
        if made["total"] > 0:
            self._pay(made)
        if found["status"] == "past_due":
            found["status"] = "active"
        self._tell("invoice.paid", made)
        self._tell("invoice.payment_succeeded", made)

    def _pay(self, made: dict[str, Any]) -> None:
        payment = f"pi_{uuid4().hex}"
        charge_id = f"ch_{uuid4().hex}"
        made["payments"]["data"] = [
            {"status": "paid", "payment": {"type": "payment_intent", "payment_intent": payment}}
        ]
        charge = {
            "id": charge_id, "object": "charge", "payment_intent": payment,
            "amount": made["total"], "amount_refunded": 0, "currency": "usd", "metadata": {},
        }  # fmt: skip
        self.charges[payment] = charge
        self.stub.answers[f"/v1/charges/{charge_id}"] = lambda _: (200, charge)

    def refund_invoice(self, invoice_id: str) -> None:
        """All that was paid of it goes back, by the operator's hand."""
        payment = self.invoices[invoice_id]["payments"]["data"][0]["payment"]["payment_intent"]
        self.charges[payment]["amount_refunded"] = self.charges[payment]["amount"]
        self._tell("charge.refunded", self.charges[payment])

    def _invoice_payments(self, request: StubRequest) -> StubAnswer:
        wanted = request.given["payment[payment_intent]"]
        found = [
            {"id": "inpay_1", "object": "invoice_payment", "invoice": one["id"]}
            for one in self.invoices.values()
            for paid in one["payments"]["data"]
            if paid["payment"]["payment_intent"] == wanted
        ]
        return 200, {"object": "list", "data": found, "has_more": False, "url": INVOICE_PAYMENTS}

    def _item(self, subscription_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.subscriptions[subscription_id]["items"]["data"][0]
        return found

    def _price(self, price_id: str) -> dict[str, Any]:
        interval = "year" if price_id in self.yearly else "month"
        return {
            "id": price_id, "object": "price", "unit_amount": self.price_cents[price_id],
            "recurring": {"interval": interval, "interval_count": 1},
        }  # fmt: skip

    def _tell(self, kind: str, about: dict[str, Any]) -> None:
        self.events.append(event(kind, about))


def subscription(
    subscription_id: str,
    customer: str,
    price: dict[str, Any],
    quantity: int,
    *,
    starts: datetime,
    ends: datetime,
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A subscription that is paid, with more than is looked at."""
    return {
        "id": subscription_id,
        "object": "subscription",
        "customer": customer,
        "status": "active",
        "cancel_at_period_end": False,
        "cancel_at": None,
        "ended_at": None,
        "latest_invoice": None,
        "metadata": metadata or {},
        "items": {
            "object": "list",
            "data": [
                {
                    "id": f"si_{uuid4().hex}",
                    "object": "subscription_item",
                    "price": price,
                    "quantity": quantity,
                    "current_period_start": int(starts.timestamp()),
                    "current_period_end": int(ends.timestamp()),
                }
            ],
        },
    }


def invoice(invoice_id: str, billed: dict[str, Any], total: int, reason: str) -> dict[str, Any]:
    """An invoice that waits to be paid."""
    (item,) = billed["items"]["data"]
    return {
        "id": invoice_id,
        "object": "invoice",
        "number": invoice_id[-8:].upper(),
        "customer": billed["customer"],
        "status": "open",
        "billing_reason": reason,
        "total": total,
        "amount_due": max(0, total),
        "amount_paid": 0,
        "currency": "usd",
        "created": int(datetime.now(UTC).timestamp()),
        "period_start": item["current_period_start"],
        "period_end": item["current_period_start"],
        "attempt_count": 0,
        "next_payment_attempt": None,
        "hosted_invoice_url": f"https://invoice.stripe.test/{invoice_id}",
        "invoice_pdf": f"https://pay.stripe.test/{invoice_id}.pdf",
        "status_transitions": {"paid_at": None},
        "payments": {"object": "list", "data": []},
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": billed["id"]},
        },
        "lines": {
            "object": "list",
            "data": [
                invoice_line(
                    item["price"]["id"], total, item, is_proration=reason == "subscription_update"
                )
            ],
        },
    }


def invoice_line(
    price_id: str, amount: int, item: dict[str, Any], *, is_proration: bool
) -> dict[str, Any]:
    """What is billed for an item's period."""
    return {
        "object": "line_item",
        "amount": amount,
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "pricing": {"type": "price_details", "price_details": {"price": price_id}},
        "parent": {"subscription_item_details": {"proration": is_proration}},
    }


@contextmanager
def stripe_billing() -> Iterator[FakeBilling]:
    """A Stripe for a block."""
    with stub_server() as stub:
        yield FakeBilling(stub)
