"""What Stripe's objects say of an order: a checkout session, a charge, a dispute.

Source: https://docs.stripe.com/api (checkout/sessions, charges, disputes) and
https://docs.stripe.com/payments/checkout/fulfillment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from payments.events import (
    CheckoutEnded,
    DisputeClosed,
    DisputeOpened,
    PaymentEvent,
    PaymentFailed,
    PaymentPending,
    PaymentSucceeded,
    ProviderEvent,
    Refunded,
)
from payments.stripe_amounts import from_stripe

# By this key in an object's metadata we know what we have made from what else the account sells.
ORDER = "order_id"
COMPLETED = "checkout.session.completed"
_SESSIONS = frozenset(
    {COMPLETED, "checkout.session.async_payment_succeeded", "checkout.session.expired"}
)
_FAILED = "checkout.session.async_payment_failed"
# An inquiry that ended, and a dispute that was prevented: what went back is told of as a refund.
_NOT_LOST = frozenset({"won", "warning_closed", "prevented"})


def events_of(kind: str, said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What an event with this object says; nothing for what is none of our concern.

    Raises KeyError, TypeError or ValueError for an object that is not as Stripe documents it.
    """
    if kind in _SESSIONS:
        return session_events(said)
    if kind == _FAILED:
        return _payment(PaymentFailed, said) if _is_ours(said) else ()
    if kind == "charge.refunded":
        return (refund_of(said),) if _is_ours(said) else ()
    if kind == "charge.dispute.created":
        return (DisputeOpened(**_disputed(said)),)
    if kind == "charge.dispute.closed":
        return (DisputeClosed(**_disputed(said), won=said["status"] in _NOT_LOST),)
    return ()


def session_events(said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What a checkout session says as it is now."""
    if not _is_ours(said):
        return ()
    if said["status"] == "expired":
        return (CheckoutEnded(references=_names(said)),)
    if said["status"] != "complete":
        return ()
    # `no_payment_required` is what a promotion code made free.
    if said["payment_status"] == "unpaid":
        return _payment(PaymentPending, said)
    return _payment(PaymentSucceeded, said)


def refund_of(charge: Mapping[str, Any]) -> Refunded:
    """All that went back of a charge so far."""
    payment = id_of(charge["payment_intent"])
    return Refunded(
        references=(payment,),
        payment_id=payment,
        amount_cents=from_stripe(charge["amount_refunded"], charge["currency"]),
        currency=_currency(charge),
    )


def id_of(named: Any) -> str:
    """The id of an object that Stripe names, or has put in whole."""
    found = named["id"] if isinstance(named, Mapping) else named
    if not isinstance(found, str) or not found:
        raise TypeError("an id is no text")
    return found


def _payment(event: type[PaymentEvent], said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    metadata = said["metadata"]
    payment = said.get("payment_intent") or said["id"]
    return (
        event(
            references=_names(said),
            payment_id=id_of(payment),
            amount_cents=from_stripe(said["amount_total"], said["currency"]),
            listed_cents=from_stripe(_listed(said), said["currency"]),
            currency=_currency(said),
            product=metadata.get("product_id"),
            user_id=UUID(metadata["user_id"]) if "user_id" in metadata else None,
        ),
    )


def _listed(said: Mapping[str, Any]) -> int:
    """What was asked before discounts and taxes: no more than was paid and discounts explain."""
    listed: int = said["amount_subtotal"]
    details = said.get("total_details")
    if details is None:
        return listed
    explained: int = said["amount_total"] + details["amount_discount"]
    return min(listed, explained)


def _names(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The session and its payment; not `client_reference_id`, which anybody sets in a link."""
    payment = said.get("payment_intent")
    return (id_of(said["id"]), *((id_of(payment),) if payment else ()))


def _is_ours(said: Mapping[str, Any]) -> bool:
    return ORDER in (said.get("metadata") or {})


def _disputed(said: Mapping[str, Any]) -> dict[str, Any]:
    payment = id_of(said["payment_intent"])
    return {
        "references": (payment,),
        "payment_id": payment,
        "dispute_id": id_of(said["id"]),
        "amount_cents": from_stripe(said["amount"], said["currency"]),
        "currency": _currency(said),
    }


def _currency(said: Mapping[str, Any]) -> str:
    return str(said["currency"]).upper()
