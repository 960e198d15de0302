"""What Google Play says of a purchase, a subscription and an order when it is asked.

Source: https://developers.google.com/android-publisher/api-ref/rest (purchases.subscriptionsv2,
purchases.productsv2, orders) and https://developer.android.com/google/play/billing/rtdn-reference
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from payments.events import (
    AcknowledgementDue,
    NeedsOperator,
    PaymentSucceeded,
    ProviderEvent,
    Purchase,
    Refunded,
    SubscriptionState,
)

Said = Mapping[str, Any]

_STATE = "SUBSCRIPTION_STATE_"
_UNPAID = frozenset({f"{_STATE}PENDING", f"{_STATE}PENDING_PURCHASE_CANCELED"})
# Without what was paid for: it is over, or waits for money, or its subscriber wants it to rest.
_ENDED = frozenset({f"{_STATE}EXPIRED", f"{_STATE}ON_HOLD", f"{_STATE}PAUSED"})
_IN_GRACE = f"{_STATE}IN_GRACE_PERIOD"
_REFUND_MADE = "PROCESSED_SUCCESSFULLY"
REFERENCE_MAX_CHARACTERS = 255
NANOS_OF_A_CENT = 10_000_000


def reference_of(token: str) -> str:
    """The name of a purchase: its token, or that one's digest where it is long."""
    if len(token) <= REFERENCE_MAX_CHARACTERS:
        return token
    return hashlib.sha256(token.encode()).hexdigest()


def subscription_order(said: Said) -> str | None:
    """The order that paid for a subscription's present time; nothing before one did."""
    if said["subscriptionState"] in _UNPAID:
        return None
    return _text(_item(said).get("latestSuccessfulOrderId") or said.get("latestOrderId"))


def subscription_events(
    said: Said, order: Said, token: str, asked_at: datetime, buyer: UUID | None
) -> tuple[ProviderEvent, ...]:
    """What a subscription says with the order that paid for its present time."""
    item, state = _item(said), str(said["subscriptionState"])
    expires_at = moment(item["expiryTime"])
    references = [reference_of(token)]
    # A change of plan, and subscribing again, make a new token that names the one before, whose
    # time is over: what was left of it is in the new one's.
    if said.get("linkedPurchaseToken"):
        references.append(reference_of(_text(said["linkedPurchaseToken"])))
    product, plan = item.get("productId"), (item.get("offerDetails") or {}).get("basePlanId")
    name = f"{product}:{plan}" if product and plan else product
    events = [
        *_paid(
            order,
            tuple(references),
            name,
            _account(said) or buyer,
            paid_until=expires_at,
            replaces=tuple(references[1:]),
        ),
        SubscriptionState(
            references=tuple(references),
            payment_id=_text(order["orderId"]),
            started_at=moment(order.get("createTime") or said["startTime"]),
            told_at=asked_at,
            # In a period of grace it says when that ends.
            expires_at=None if state == _IN_GRACE else expires_at,
            auto_renews=state not in _ENDED
            and bool((item.get("autoRenewingPlan") or {}).get("autoRenewEnabled")),
            grace_until=expires_at if state == _IN_GRACE else None,
            has_ended=state in _ENDED,
        ),
    ]
    if said.get("acknowledgementState") == "ACKNOWLEDGEMENT_STATE_PENDING":
        events.append(_due(order, f"subscriptions/{product}/tokens/{token}"))
    return tuple(events)


def product_order(said: Said) -> str | None:
    """The order of what was bought once; nothing before it is paid, or once that was called off."""
    state = (said.get("purchaseStateContext") or {}).get("purchaseState")
    return _text(said["orderId"]) if state == "PURCHASED" else None


def product_events(
    said: Said, order: Said, token: str, buyer: UUID | None
) -> tuple[ProviderEvent, ...]:
    """What was bought once says, with its order."""
    item = said["productLineItem"][0]
    references, product = (reference_of(token),), item.get("productId")
    quantity = (item.get("productOfferDetails") or {}).get("quantity", 1)
    if len(said["productLineItem"]) != 1 or quantity != 1:
        reason = f"{_text(order['orderId'])} is for several at once: give them by hand"
        return (NeedsOperator(references=references, reason=reason),)
    events = _paid(order, references, product, _account(said) or buyer, paid_until=None)
    if said.get("acknowledgementState") == "ACKNOWLEDGEMENT_STATE_PENDING":
        events.append(_due(order, f"products/{product}/tokens/{token}"))
    return tuple(events)


def refund_events(order: Said) -> tuple[ProviderEvent, ...]:
    """All that went back of an order so far; nothing while that is nothing."""
    total, currency = money(order["total"])
    history = order.get("orderHistory") or {}
    if order.get("state") == "REFUNDED" or history.get("refundEvent"):
        back = total
    else:
        parts = [
            money(part["refundDetails"]["total"])[0]
            for part in history.get("partialRefundEvents") or ()
            if part.get("state") == _REFUND_MADE
        ]
        if not parts:
            return ()
        back = min(total, sum(parts))
    return (
        Refunded(
            references=(),
            payment_id=_text(order["orderId"]),
            amount_cents=back,
            currency=currency,
        ),
    )


def is_test(said: Said) -> bool:
    """Whether a purchase is a licence tester's, for which nobody pays."""
    return "testPurchase" in said or "testPurchaseContext" in said


def money(said: Said) -> tuple[int, str]:
    """An amount in hundredths, and its currency (google.type.Money)."""
    nanos = int(said.get("units") or 0) * 100 * NANOS_OF_A_CENT + int(said.get("nanos") or 0)
    return (nanos + NANOS_OF_A_CENT // 2) // NANOS_OF_A_CENT, _text(said["currencyCode"])


def moment(text: Any) -> datetime:
    """A time as Google writes it (RFC 3339), to microseconds."""
    found = datetime.fromisoformat(_text(text))
    return found.replace(tzinfo=found.tzinfo or UTC)


def _paid(
    order: Said,
    references: tuple[str, ...],
    product: str | None,
    user: UUID | None,
    *,
    paid_until: datetime | None,
    replaces: tuple[str, ...] = (),
) -> list[ProviderEvent]:
    cents, currency = money(order["total"])
    return [
        PaymentSucceeded(
            references=references,
            payment_id=_text(order["orderId"]),
            amount_cents=cents,
            currency=currency,
            product=product,
            user_id=user,
            paid_until=paid_until,
            renews=paid_until is not None,
            replaces=replaces,
            purchase=Purchase(user_id=user, price_id=product) if user and product else None,
        ),
        *refund_events(order),
    ]


def _due(order: Said, purchase: str) -> AcknowledgementDue:
    return AcknowledgementDue(references=(), payment_id=_text(order["orderId"]), purchase=purchase)


def _account(said: Said) -> UUID | None:
    """Whose it is, as the app told the store."""
    named = said.get("externalAccountIdentifiers") or said
    account = named.get("obfuscatedExternalAccountId")
    return UUID(account) if account else None


def _item(said: Said) -> Said:
    item: Said = said["lineItems"][0]
    return item


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("what should be text is none")
    return value
