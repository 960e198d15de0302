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
    return _digest(token)


def subscription_orders(said: Said) -> tuple[str, ...]:
    """The orders that paid for a subscription's present time; none before one did."""
    if said["subscriptionState"] in _UNPAID:
        return ()
    return tuple(dict.fromkeys(_order_id(item, said) for item in _items(said)))


def subscription_events(
    said: Said, orders: Mapping[str, Said], token: str, asked_at: datetime, buyer: UUID | None
) -> tuple[ProviderEvent, ...]:
    """What a subscription says with the orders that paid for its present time.

    With add-ons it is of several items, each with a time of its own. Source:
    https://developer.android.com/google/play/billing/subscription-with-addons
    """
    references = [reference_of(token)]
    # A change of plan, and subscribing again, make a new token that names the one before, whose
    # time is over: what was left of it is in the new one's.
    if said.get("linkedPurchaseToken"):
        references.append(reference_of(_text(said["linkedPurchaseToken"])))
    items = _items(said)
    events: list[ProviderEvent] = []
    for item in items:
        order = orders[_order_id(item, said)]
        is_over = len(items) > 1 and _is_over(item, said, asked_at)
        if not is_over:
            events += _item_paid(said, item, order, tuple(references), buyer)
        events.append(_item_state(said, item, order, tuple(references), asked_at, is_over=is_over))
    if said.get("acknowledgementState") == "ACKNOWLEDGEMENT_STATE_PENDING":
        for item in items:
            purchase = f"subscriptions/{item.get('productId')}/tokens/{token}"
            payment_id = _payment_id(orders[_order_id(item, said)], item)
            events.append(_due(payment_id, purchase, if_known=len(items) > 1))
    return tuple(events)


def _item_paid(
    said: Said, item: Said, order: Said, references: tuple[str, ...], buyer: UUID | None
) -> list[ProviderEvent]:
    product, plan = item.get("productId"), (item.get("offerDetails") or {}).get("basePlanId")
    return _paid(
        order,
        _references(said, item, references),
        f"{product}:{plan}" if product and plan else product,
        _account(said) or buyer,
        item=item,
        paid_until=moment(item["expiryTime"]),
        # Items with long names are called by the digest.
        replaces=tuple(name for one in references[1:] for name in (one, _digest(one))),
        is_one_of_several=len(_items(said)) > 1,
    )


def _item_state(
    said: Said,
    item: Said,
    order: Said,
    references: tuple[str, ...],
    asked_at: datetime,
    *,
    is_over: bool,
) -> SubscriptionState:
    state, expires_at = str(said["subscriptionState"]), moment(item["expiryTime"])
    has_ended = is_over or state in _ENDED
    renews = bool((item.get("autoRenewingPlan") or {}).get("autoRenewEnabled"))
    return SubscriptionState(
        references=_references(said, item, references),
        payment_id=_payment_id(order, item),
        started_at=moment(order.get("createTime") or said["startTime"]),
        told_at=asked_at,
        # In a period of grace it says when that ends.
        expires_at=None if state == _IN_GRACE else expires_at,
        auto_renews=not has_ended and renews and not item.get("deferredItemRemoval"),
        grace_until=expires_at if state == _IN_GRACE else None,
        has_ended=has_ended,
        if_known=len(_items(said)) > 1,
    )


def _references(said: Said, item: Said, references: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an item: its own comes first, where a purchase has several."""
    if len(_items(said)) == 1:
        return references
    name = f"{references[0]} {_text(item.get('productId'))}"
    if len(name) > REFERENCE_MAX_CHARACTERS:
        name = f"{_digest(references[0])} {_text(item.get('productId'))}"
    return (name, *references)


def _digest(reference: str) -> str:
    return hashlib.sha256(reference.encode()).hexdigest()


def _is_over(item: Said, said: Said, asked_at: datetime) -> bool:
    """Whether an item has been taken out of a purchase whose others go on."""
    return str(said["subscriptionState"]) not in _ENDED and moment(item["expiryTime"]) <= asked_at


def _order_id(item: Said, said: Said) -> str:
    return _text(item.get("latestSuccessfulOrderId") or said.get("latestOrderId"))


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
        events.append(_due(_text(order["orderId"]), f"products/{product}/tokens/{token}"))
    return tuple(events)


def refund_events(order: Said) -> tuple[Refunded, ...]:
    """All that went back of an order so far; nothing while that is nothing.

    Of an order with several lines each is a payment; the store says what went back of them all.
    """
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
    lines = _lines(order) or ({"total": order["total"]},)
    return tuple(
        Refunded(
            references=(),
            payment_id=_payment_id(order, line),
            amount_cents=money(line["total"])[0] * back // max(total, 1),
            currency=currency,
            if_known=len(lines) > 1,
        )
        for line in lines
    )


def _lines(order: Said) -> tuple[Said, ...]:
    """What an order is for, where that is several things; none where it is one."""
    lines = tuple(order.get("lineItems") or ())
    return lines if len(lines) > 1 else ()


def _payment_id(order: Said, item: Said) -> str:
    """The name of what an order paid for an item."""
    order_id = _text(order["orderId"])
    return f"{order_id} {_text(item.get('productId'))}" if _lines(order) else order_id


def _charged(order: Said, item: Said | None) -> tuple[int, str]:
    """What an order cost, or the line of it that is for an item."""
    lines = _lines(order) if item else ()
    mine = [line for line in lines if line.get("productId") == (item or {}).get("productId")]
    return money(mine[0]["total"] if mine else order["total"])


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
    item: Said | None = None,
    replaces: tuple[str, ...] = (),
    is_one_of_several: bool = False,
) -> list[ProviderEvent]:
    cents, currency = _charged(order, item)
    payment_id = _payment_id(order, item) if item else _text(order["orderId"])
    return [
        PaymentSucceeded(
            references=references,
            payment_id=payment_id,
            amount_cents=cents,
            currency=currency,
            product=product,
            user_id=user,
            paid_until=paid_until,
            renews=paid_until is not None,
            replaces=replaces,
            is_one_of_several=is_one_of_several,
            purchase=Purchase(user_id=user, price_id=product) if user and product else None,
        ),
        *(event for event in refund_events(order) if event.payment_id == payment_id),
    ]


def _due(payment_id: str, purchase: str, *, if_known: bool = False) -> AcknowledgementDue:
    return AcknowledgementDue(
        references=(), payment_id=payment_id, purchase=purchase, if_known=if_known
    )


def _account(said: Said) -> UUID | None:
    """Whose it is, as the app told the store."""
    named = said.get("externalAccountIdentifiers") or said
    account = named.get("obfuscatedExternalAccountId")
    return UUID(account) if account else None


def _items(said: Said) -> tuple[Said, ...]:
    items = tuple(said["lineItems"])
    if not items:
        raise ValueError("a subscription to nothing")
    return items


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("what should be text is none")
    return value
