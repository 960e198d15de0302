"""What Stripe's subscriptions and invoices say.

Source: https://docs.stripe.com/api/subscriptions, https://docs.stripe.com/api/invoices and
https://docs.stripe.com/billing/subscriptions/webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from payments.events import InvoiceTold, ProviderEvent, SubscriptionCheckoutEnded, SubscriptionTold
from payments.stripe_amounts import from_stripe
from payments.stripe_events import ORDER

STATUSES = {
    "incomplete": "INCOMPLETE",
    "incomplete_expired": "EXPIRED",
    "trialing": "TRIALING",
    "active": "ACTIVE",
    "past_due": "PAST_DUE",
    "unpaid": "UNPAID",
    "paused": "PAUSED",
    "canceled": "CANCELLED",
}
INVOICE_STATUSES = {
    "open": "OPEN",
    "paid": "PAID",
    "uncollectible": "UNCOLLECTIBLE",
    "void": "VOID",
}
INTERVALS = {"month": "MONTH", "year": "YEAR"}
# What an invoice is for that pays time; other changes do when they cost something.
_PERIODS = frozenset({"subscription_create", "subscription_cycle"})
OUR_PLAN = "plan_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeChanged(ProviderEvent):
    """That an object changed, which Stripe is asked for: its event may be late, or of before."""

    what: Literal["subscription", "invoice", "charge"]
    object_id: str


def billing_events(kind: str, said: Mapping[str, Any]) -> tuple[ProviderEvent, ...] | None:
    """What an event says of a subscription or an invoice; None for what is about neither."""
    if kind.startswith("checkout.session."):
        if said.get("mode") != "subscription":
            return None
        return checkout_events(said)
    if kind.startswith("customer.subscription."):
        return (_changed("subscription", said["id"]),)
    if kind.startswith("invoice."):
        # One that is about to be made has no id yet.
        return (_changed("invoice", said["id"]),) if said.get("id") else ()
    if kind == "charge.refunded" and ORDER not in (said.get("metadata") or {}):
        return (_changed("charge", said["id"]),)
    return None


def checkout_events(said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What a page says on which a subscription begins."""
    if said["status"] == "expired":
        checkout = str(said["id"])
        return (SubscriptionCheckoutEnded(references=(checkout,), checkout_id=checkout),)
    if said["status"] == "complete" and said.get("subscription"):
        return (_changed("subscription", _id(said["subscription"])),)
    return ()


def subscription_told(
    said: Mapping[str, Any], *, told_at: datetime, grace_days: int, plans: Mapping[str, str]
) -> SubscriptionTold:
    """How a subscription stands; `plans` are those of organizations by their prices.

    A price that was agreed on with somebody is in none of the settings: the operator writes the
    plan in the subscription's metadata.
    """
    item = said["items"]["data"][0]
    price = item["price"]
    # Before the API of 2025-03-31 the period stood at the subscription itself.
    period = item if "current_period_start" in item else said
    plan = plans.get(price["id"]) or (said.get("metadata") or {}).get(OUR_PLAN)
    subscription = _id(said["id"])
    return SubscriptionTold(
        references=(subscription,),
        subscription_id=subscription,
        customer_id=_id(said["customer"]),
        plan_id=plan,
        price_id=str(price["id"]),
        interval=INTERVALS[price["recurring"]["interval"]],
        seats=max(1, item.get("quantity") or 1),
        status=STATUSES[said["status"]],
        period_start=_time(period["current_period_start"]),
        period_end=_time(period["current_period_end"]),
        cancel_at_period_end=bool(said["cancel_at_period_end"] or said.get("cancel_at")),
        ended_at=_time_or_none(said.get("ended_at")),
        grace_days=grace_days,
        told_at=told_at,
    )


def invoice_told(said: Mapping[str, Any], *, told_at: datetime) -> InvoiceTold | None:
    """How an invoice stands; nothing for a draft, and for what no subscription is billed by."""
    subscription = subscription_of(said)
    if subscription is None or said["status"] not in INVOICE_STATUSES:
        return None
    line = _main_line(said)
    period = line.get("period") or {"start": said["period_start"], "end": said["period_end"]}
    transitions = said.get("status_transitions") or {}
    total = from_stripe(said["total"], said["currency"])
    invoice = _id(said["id"])
    return InvoiceTold(
        references=(invoice,),
        invoice_id=invoice,
        subscription_id=subscription,
        customer_id=_id(said["customer"]),
        price_id=_price_of(line),
        payment_id=_payment_of(said) or invoice,
        number=said.get("number"),
        status=INVOICE_STATUSES[said["status"]],
        total_cents=total,
        paid_cents=from_stripe(said["amount_paid"], said["currency"]),
        currency=str(said["currency"]).upper(),
        period_start=_time(period["start"]),
        period_end=_time(period["end"]),
        pays_period=said.get("billing_reason") in _PERIODS or total > 0,
        page_url=said.get("hosted_invoice_url"),
        document_url=said.get("invoice_pdf"),
        attempts=int(said.get("attempt_count") or 0),
        next_attempt_at=_time_or_none(said.get("next_payment_attempt")),
        created_at=_time(said["created"]),
        paid_at=_time_or_none(transitions.get("paid_at")),
        told_at=told_at,
    )


def subscription_of(invoice: Mapping[str, Any]) -> str | None:
    """The subscription that an invoice bills."""
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    named = details.get("subscription") or invoice.get("subscription")
    return _id(named) if named else None


def _main_line(invoice: Mapping[str, Any]) -> Mapping[str, Any]:
    """The line that says what is paid for: of a change, the one that costs something."""
    lines: list[Mapping[str, Any]] = (invoice.get("lines") or {}).get("data") or [{}]
    return max(
        lines, key=lambda line: (line.get("amount", 0), (line.get("period") or {}).get("end", 0))
    )


def _price_of(line: Mapping[str, Any]) -> str | None:
    details = (line.get("pricing") or {}).get("price_details") or {}
    named = details.get("price") or line.get("price")
    return _id(named) if named else None


def _payment_of(invoice: Mapping[str, Any]) -> str | None:
    for one in (invoice.get("payments") or {}).get("data") or ():
        payment = one.get("payment") or {}
        if one.get("status") == "paid" and payment.get("payment_intent"):
            return _id(payment["payment_intent"])
    named = invoice.get("payment_intent")
    return _id(named) if named else None


def _changed(what: Literal["subscription", "invoice", "charge"], named: Any) -> StripeChanged:
    object_id = _id(named)
    return StripeChanged(references=(object_id,), what=what, object_id=object_id)


def _id(named: Any) -> str:
    found = named["id"] if isinstance(named, Mapping) else named
    if not isinstance(found, str) or not found:
        raise TypeError("an id is no text")
    return found


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: Any) -> datetime | None:
    return None if seconds is None else _time(seconds)
