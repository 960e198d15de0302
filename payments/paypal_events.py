"""What PayPal's objects say of an order: an order with its captures, a refund, a sale, a dispute.

Source: https://developer.paypal.com/api/rest/webhooks/event-names/ and the references of Orders v2,
Payments v2, Subscriptions v1 and Disputes v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from payments.events import (
    CheckoutEnded,
    DisputeClosed,
    DisputeOpened,
    OrderApproved,
    PaymentEvent,
    PaymentFailed,
    PaymentPending,
    PaymentSucceeded,
    ProviderEvent,
    Refunded,
)

# Currencies of which PayPal takes whole units alone.
WHOLE_UNITS = frozenset({"HUF", "JPY", "TWD"})
_CAPTURES: Mapping[str, type[PaymentEvent]] = {
    "COMPLETED": PaymentSucceeded,
    "PARTIALLY_REFUNDED": PaymentSucceeded,
    "REFUNDED": PaymentSucceeded,
    "PENDING": PaymentPending,
    "DECLINED": PaymentFailed,
    "FAILED": PaymentFailed,
}
_OF_BUYER = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})


def events_of(kind: str, said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What an event with this resource says; nothing for what is none of our concern.

    Raises KeyError, TypeError or ValueError for one that is not as PayPal documents it.
    """
    if kind == "CHECKOUT.ORDER.APPROVED":
        return (OrderApproved(references=(_text(said["id"]),)),)
    if kind == "CHECKOUT.PAYMENT-APPROVAL.REVERSED":
        return (CheckoutEnded(references=(_text(said["order_id"]),), cancelled=True),)
    if kind.startswith("PAYMENT.CAPTURE."):
        return _capture_events(kind, said)
    if kind == "PAYMENT.SALE.COMPLETED":
        return (_sale(said),)
    if kind in {"PAYMENT.SALE.REFUNDED", "PAYMENT.SALE.REVERSED"}:
        return (_refunded(said, _text(said.get("sale_id") or said["id"])),)
    if kind == "CUSTOMER.DISPUTE.CREATED":
        return tuple(DisputeOpened(**one) for one in _disputed(said))
    if kind == "CUSTOMER.DISPUTE.RESOLVED":
        outcome = said["dispute_outcome"]["outcome_code"]
        won = outcome not in _OF_BUYER
        return tuple(DisputeClosed(**one, won=won) for one in _disputed(said))
    return ()


def _capture_events(kind: str, said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    if kind == "PAYMENT.CAPTURE.REFUNDED":
        return (_refunded(said, _capture_behind(said)),)
    if kind in {
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.PENDING",
        "PAYMENT.CAPTURE.DENIED",
        "PAYMENT.CAPTURE.DECLINED",
    }:
        order = _text(said["supplementary_data"]["related_ids"]["order_id"])
        status = "DECLINED" if kind.endswith(("DENIED", "DECLINED")) else said["status"]
        return (capture_event({**said, "status": status}, order),)
    # What a bank takes back is told of by its dispute.
    return ()


def order_events(said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What an order says as it is now, with what was captured of it and went back."""
    order = _text(said["id"])
    if said["status"] == "VOIDED":
        return (CheckoutEnded(references=(order,)),)
    events: list[ProviderEvent] = []
    for unit in said.get("purchase_units", ()):
        payments = unit.get("payments", {})
        events += [capture_event(one, order) for one in payments.get("captures", ())]
        events += [refund_event(one, order) for one in payments.get("refunds", ())]
    return tuple(events)


def is_as_made(said: Mapping[str, Any], order_id: str, cents: int, currency: str) -> bool:
    """Whether an order at PayPal is for one of ours alone, and for its amount."""
    try:
        (unit,) = said["purchase_units"]
        return unit["custom_id"] == order_id and money(unit["amount"]) == (cents, currency)
    except (KeyError, TypeError, ValueError):
        return False


def seller_of(said: Mapping[str, Any], partner: str) -> str | None:
    """PayPal's name of the seller of an order; nothing where it is whoever runs the service."""
    for unit in said.get("purchase_units", ()):
        payee = unit.get("payee", {}).get("merchant_id")
        if isinstance(payee, str) and partner and payee != partner:
            return payee
    return None


def fee_part(said: Mapping[str, Any], cents: int) -> int:
    """What of an order's fee goes back with so much of its amount."""
    try:
        (unit,) = said["purchase_units"]
        (fee,) = unit["payment_instruction"]["platform_fees"]
        of_fee, of_order = money(fee["amount"])[0], money(unit["amount"])[0]
    except (KeyError, TypeError, ValueError):
        return 0
    part = of_fee * cents // of_order
    return part // 100 * 100 if money_is_whole(unit["amount"]) else part


def money_is_whole(said: Mapping[str, Any]) -> bool:
    """Whether its currency has no hundredths at PayPal."""
    return said["currency_code"] in WHOLE_UNITS


def capture_event(said: Mapping[str, Any], order: str) -> PaymentEvent:
    """What a capture of an order says."""
    cents, currency = money(said["amount"])
    return _CAPTURES[said["status"]](
        references=(order,),
        payment_id=_text(said["id"]),
        amount_cents=cents,
        currency=currency,
    )


def refund_event(said: Mapping[str, Any], order: str) -> Refunded:
    """What a refund says that stands with its order, or was just made."""
    cents, currency = money(said["amount"])
    return Refunded(
        references=(order,),
        payment_id=_capture_behind(said),
        amount_cents=cents,
        currency=currency,
        refund_id=_text(said["id"]),
    )


def money(said: Mapping[str, Any]) -> tuple[int, str]:
    """An amount in hundredths of its currency."""
    currency = _text(said.get("currency_code") or said["currency"])
    written = said["value"] if "value" in said else said["total"]
    try:
        cents = Decimal(_text(written)) * 100
    except InvalidOperation:
        raise ValueError("an amount is no number") from None
    if cents != cents.to_integral_value():
        raise ValueError("an amount has parts of a hundredth")
    return abs(int(cents)), currency


def written_money(cents: int, currency: str) -> dict[str, str]:
    """The same as PayPal takes it."""
    value = f"{cents // 100}" if currency in WHOLE_UNITS else f"{cents // 100}.{cents % 100:02}"
    return {"currency_code": currency, "value": value}


def _sale(said: Mapping[str, Any]) -> PaymentSucceeded:
    """What a payment of a subscription says, the first or a later one."""
    cents, currency = money(said["amount"])
    return PaymentSucceeded(
        references=(_text(said["billing_agreement_id"]),),
        payment_id=_text(said["id"]),
        amount_cents=cents,
        currency=currency,
        renews=True,
    )


def _refunded(said: Mapping[str, Any], payment: str) -> Refunded:
    cents, currency = money(said["amount"])
    return Refunded(
        references=(),
        payment_id=payment,
        amount_cents=cents,
        currency=currency,
        refund_id=_text(said["id"]),
    )


def _capture_behind(said: Mapping[str, Any]) -> str:
    """The capture that a refund is of: where its link `up` leads."""
    up = next(link["href"] for link in said["links"] if link["rel"] == "up")
    return _text(up).rstrip("/").rpartition("/")[2]


def _disputed(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    cents, currency = money(said["dispute_amount"])
    (disputed,) = said["disputed_transactions"]
    return [
        {
            "references": (),
            "payment_id": _text(disputed["seller_transaction_id"]),
            "dispute_id": _text(said["dispute_id"]),
            "amount_cents": cents,
            "currency": currency,
        }
    ]


def _text(said: Any) -> str:
    if not isinstance(said, str) or not said:
        raise TypeError("it is no text")
    return said
