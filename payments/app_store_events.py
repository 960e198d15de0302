"""What the App Store's transactions and notifications say of payments and subscriptions.

Source: https://developer.apple.com/documentation/appstoreservernotifications/notificationtype and
https://developer.apple.com/documentation/appstoreserverapi/jwstransactiondecodedpayload
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from payments.events import (
    NeedsOperator,
    PaymentSucceeded,
    ProviderEvent,
    Purchase,
    Refunded,
    SubscriptionState,
)

if TYPE_CHECKING:
    from appstoreserverlibrary.models.JWSRenewalInfoDecodedPayload import (
        JWSRenewalInfoDecodedPayload as Renewal,
    )
    from appstoreserverlibrary.models.JWSTransactionDecodedPayload import (
        JWSTransactionDecodedPayload as Transaction,
    )

_RENEWABLE = "Auto-Renewable Subscription"
_SHARED = "FAMILY_SHARED"
# Somebody bought it; the system makes renewals, also those by which a downgrade comes. Source:
# https://developer.apple.com/documentation/appstoreserverapi/transactionreason
_BOUGHT = "PURCHASE"
# A transaction of these has been paid.
_PAID = frozenset(
    {"SUBSCRIBED", "DID_RENEW", "OFFER_REDEEMED", "ONE_TIME_CHARGE", "DID_CHANGE_RENEWAL_PREF"}
)
_ENDED = frozenset({"EXPIRED", "GRACE_PERIOD_EXPIRED"})
_STATES = _ENDED | {"DID_CHANGE_RENEWAL_STATUS", "DID_FAIL_TO_RENEW", "RENEWAL_EXTENDED"}
_GIVEN_BACK = frozenset({"REFUND", "REVOKE"})
_REVERSED = "REFUND_REVERSED"
TRANSACTION_KINDS = _PAID | _STATES | _GIVEN_BACK | {_REVERSED}
# Prices have thousandths of the currency, and parts that went back thousandths of a per cent.
_WHOLE = 100_000


def notice_events(
    kind: str, subtype: str | None, transaction: Transaction, renewal: Renewal | None
) -> tuple[ProviderEvent, ...]:
    """What a notification with this transaction says; TypeError for one without what it needs."""
    if kind in _PAID:
        # A plan of a lower price comes with the next renewal.
        is_later = kind == "DID_CHANGE_RENEWAL_PREF" and subtype != "UPGRADE"
        return () if is_later else purchase_events(transaction, renewal)
    if kind in _GIVEN_BACK:
        return _given_back(transaction, renewal)
    if kind == _REVERSED:
        return _paid_again(transaction)
    # Without a period of grace of Apple's, what this server grants counts.
    if kind == "DID_FAIL_TO_RENEW" and subtype != "GRACE_PERIOD":
        return ()
    return (_state(transaction, renewal, has_ended=kind in _ENDED),)


def purchase_events(
    transaction: Transaction, renewal: Renewal | None = None, buyer: UUID | None = None
) -> tuple[ProviderEvent, ...]:
    """What a transaction says that was paid; its own account token comes before the buyer."""
    if (transaction.quantity or 1) != 1:
        reason = f"{transaction.quantity} were bought at once: give them by hand"
        return (NeedsOperator(references=(_original(transaction),), reason=reason),)
    events: list[ProviderEvent] = [_payment(transaction, buyer)]
    if _renews(transaction):
        events.append(_state(transaction, renewal))
    if transaction.revocationDate is not None:
        events.extend(_given_back(transaction, renewal))
    return tuple(events)


def moment(milliseconds: int | None) -> datetime:
    """A time as Apple writes it."""
    if milliseconds is None:
        raise TypeError("a time is missing")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _payment(transaction: Transaction, buyer: UUID | None) -> PaymentSucceeded:
    token = transaction.appAccountToken
    user = UUID(token) if token else buyer
    product = transaction.productId
    return PaymentSucceeded(
        references=(_original(transaction),),
        payment_id=_id(transaction),
        amount_cents=_price(transaction),
        currency=_currency(transaction),
        product=product,
        user_id=user,
        paid_until=_paid_until(transaction) if _renews(transaction) else None,
        renews=_renews(transaction),
        replaces=_replaced(transaction),
        began_at=moment(transaction.purchaseDate) if _renews(transaction) else None,
        purchase=Purchase(user_id=user, price_id=product) if user and product else None,
    )


def _replaced(transaction: Transaction) -> tuple[str, ...]:
    """What somebody bought in a subscription that ran already is an upgrade, or as good as one.

    It begins at once, and Apple gives the rest of what was paid before back by proportion, so that
    none of it is left, also when the new payment is refunded. Source:
    https://developer.apple.com/app-store/subscriptions/#ranking
    """
    is_change = _renews(transaction) and transaction.rawTransactionReason == _BOUGHT
    return (_original(transaction),) if is_change else ()


def _paid_until(transaction: Transaction) -> datetime:
    """When its time ends; that of one which an upgrade replaced ended before it was signed."""
    ends_at = moment(transaction.expiresDate)
    return min(ends_at, moment(transaction.signedDate)) if transaction.isUpgraded else ends_at


def _state(
    transaction: Transaction, renewal: Renewal | None, *, has_ended: bool = False
) -> SubscriptionState:
    grace = renewal.gracePeriodExpiresDate if renewal else None
    # A transaction alone says what was bought, and nothing of what was decided since.
    is_proof = renewal is None and not has_ended
    told = [transaction.purchaseDate if is_proof else transaction.signedDate]
    if renewal is not None:
        told.append(renewal.signedDate)
    return SubscriptionState(
        references=(_original(transaction),),
        payment_id=_id(transaction),
        started_at=moment(transaction.purchaseDate),
        expires_at=_paid_until(transaction),
        auto_renews=not has_ended and (renewal is None or renewal.rawAutoRenewStatus != 0),
        grace_until=moment(grace) if grace and not has_ended else None,
        has_ended=has_ended,
        told_at=max(moment(one) for one in told),
    )


def _given_back(transaction: Transaction, renewal: Renewal | None) -> tuple[ProviderEvent, ...]:
    """A refund; what goes back of a subscription by proportion is the time that is left of it."""
    refund = _refund(transaction)
    if not _renews(transaction) or refund.amount_cents >= _price(transaction):
        return (refund,)
    ended = _state(transaction, renewal, has_ended=True)
    return (refund, replace(ended, expires_at=moment(transaction.revocationDate)))


def _refund(transaction: Transaction) -> Refunded:
    """All that went back of a transaction: the whole, where no part is named."""
    part = transaction.revocationPercentage
    price = _price(transaction)
    return Refunded(
        references=(),
        payment_id=_id(transaction),
        amount_cents=price if part is None else price * min(part, _WHOLE) // _WHOLE,
        currency=_currency(transaction),
    )


def _paid_again(transaction: Transaction) -> tuple[ProviderEvent, ...]:
    """A refund that Apple took back: the money is there again, for what it had paid for."""
    again = _payment(transaction, None)
    return (
        PaymentSucceeded(
            references=again.references if again.renews else (f"{again.payment_id}:reversed",),
            payment_id=f"{again.payment_id}:reversed",
            amount_cents=again.amount_cents,
            currency=again.currency,
            product=again.product,
            user_id=again.user_id,
            paid_until=again.paid_until,
            renews=again.renews,
            after_refund_of=_id(transaction),
            purchase=again.purchase,
        ),
    )


def _renews(transaction: Transaction) -> bool:
    return transaction.rawType == _RENEWABLE


def _id(transaction: Transaction) -> str:
    return _text(transaction.transactionId)


def _original(transaction: Transaction) -> str:
    """The name of a purchase with all its renewals."""
    return _text(transaction.originalTransactionId)


def _price(transaction: Transaction) -> int:
    """In hundredths; what a family shares has been paid by somebody else."""
    price = transaction.price
    if not isinstance(price, int) or isinstance(price, bool):
        raise TypeError("a price is no whole number")
    return 0 if transaction.rawInAppOwnershipType == _SHARED else (price + 5) // 10


def _currency(transaction: Transaction) -> str:
    return _text(transaction.currency)


def _text(value: str | None) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("an id is no text")
    return value
