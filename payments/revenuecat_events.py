"""What RevenueCat's events say of purchases in app stores, subscriptions, and whose they are.

Source: https://www.revenuecat.com/docs/integrations/webhooks/event-types-and-fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from payments.events import (
    EntitlementsChanged,
    NamedPurchase,
    NeedsOperator,
    PaymentSucceeded,
    ProviderEvent,
    PurchasesMoved,
    Refunded,
    SubscriptionEnded,
    UserNamed,
)

_PAID = frozenset({"INITIAL_PURCHASE", "RENEWAL", "NON_RENEWING_PURCHASE"})
_STATE = frozenset(
    {
        "CANCELLATION",
        "UNCANCELLATION",
        "SUBSCRIPTION_PAUSED",
        "EXPIRATION",
        "BILLING_ISSUE",
        "SUBSCRIPTION_EXTENDED",
        "TEMPORARY_ENTITLEMENT_GRANT",
    }
)
# What is none of our concern: the change of a product is told again by the payment that makes it,
# and credits are kept in our ledger, not in RevenueCat's virtual currencies.
_IGNORED = frozenset(
    {
        "TEST",
        "PRODUCT_CHANGE",
        "INVOICE_ISSUANCE",
        "VIRTUAL_CURRENCY_TRANSACTION",
        "EXPERIMENT_ENROLLMENT",
    }
)
# Who was paid tells of it: Stripe by its own webhook, and of what was given away nobody.
NOT_PAID_HERE = frozenset({"STRIPE", "PROMOTIONAL"})
REFUND = "CUSTOMER_SUPPORT"
# No more than was paid goes back, so that this is all of it.
ALL_OF_IT = 2_000_000_000


def events_of(kind: str, said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What an event says; one of a type that is not known here is for a person.

    Raises KeyError, TypeError or ValueError for an event that is not as RevenueCat documents it.
    """
    if kind == "TRANSFER":
        return _moved(said)
    if kind in _IGNORED:
        return ()
    if kind == "SUBSCRIBER_ALIAS":
        return _named(said)
    if kind == "REFUND_REVERSED":
        return (_for_a_person("a refund was reversed: give back by hand what it took"),)
    if kind not in _PAID | _STATE:
        return (_for_a_person(f"an event of the unknown type {kind[:60]}"),)
    return (*_named(said), *_money(kind, said), *_entitlements(kind, said))


def _money(kind: str, said: Mapping[str, Any]) -> Iterator[ProviderEvent]:
    """The payment, the refund or the end that an event tells of; shared purchases have none."""
    if said.get("store") in NOT_PAID_HERE or said.get("is_family_share"):
        return
    if kind in _PAID:
        yield _payment(kind, said)
    elif kind == "CANCELLATION" and said.get("cancel_reason") == REFUND:
        back = cents(said.get("price_in_purchased_currency"))
        yield Refunded(
            references=(),
            payment_id=text_of(said["transaction_id"]),
            # Negative as documented; what is told as it was paid is the same refund.
            amount_cents=abs(back) if back else ALL_OF_IT,
            currency=_currency(said),
        )
    elif kind == "EXPIRATION":
        yield SubscriptionEnded(references=(), payment_id=text_of(said["transaction_id"]))


def _payment(kind: str, said: Mapping[str, Any]) -> PaymentSucceeded:
    users = names_of(said)
    user = user_in(users)
    product = text_of(said["product_id"])
    first = text_of(said.get("original_transaction_id") or said["transaction_id"])
    is_subscription = kind != "NON_RENEWING_PURCHASE"
    paid = cents(said.get("price_in_purchased_currency"))
    if paid is not None and paid < 0:
        raise ValueError("a payment of less than nothing")
    return PaymentSucceeded(
        references=(subscription_name(first, product, user) if is_subscription else first,),
        payment_id=text_of(said["transaction_id"]),
        amount_cents=paid,
        currency=_currency(said),
        user_id=user,
        paid_until=_time(said.get("expiration_at_ms")),
        # A renewal may be told of before the purchase that it renews.
        renews=is_subscription,
        purchase=NamedPurchase(user_id=user, user_names=users, price_id=product) if users else None,
    )


def _entitlements(kind: str, said: Mapping[str, Any]) -> Iterator[EntitlementsChanged]:
    """What the user may use by it, and until when."""
    names = tuple(map(text_of, said.get("entitlement_ids") or ()))
    users = names_of(said)
    if not names or not users:
        return
    told_at = _at(said["event_timestamp_ms"])
    expires_at = _time(said.get("expiration_at_ms"))
    is_refund = kind == "CANCELLATION" and said.get("cancel_reason") == REFUND
    if is_refund:
        expires_at = told_at
    yield EntitlementsChanged(
        references=(),
        user_id=user_in(users),
        user_names=users,
        names=names,
        source=text_of(said.get("original_transaction_id") or said["transaction_id"]),
        product=text_of(said["product_id"]),
        store=text_of(said["store"]),
        expires_at=expires_at,
        grace_ends_at=_time(said.get("grace_period_expiration_at_ms")),
        will_renew=expires_at is not None
        and kind not in {"CANCELLATION", "EXPIRATION", "SUBSCRIPTION_PAUSED"}
        and kind not in {"NON_RENEWING_PURCHASE", "TEMPORARY_ENTITLEMENT_GRANT"},
        told_at=told_at,
    )


def _moved(said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """What one user had is another's now: they restored it on a device of theirs."""
    left, came = (
        tuple(map(text_of, said["transferred_from"])),
        tuple(map(text_of, said["transferred_to"])),
    )
    return (
        PurchasesMoved(
            references=(), user_names=came, from_names=left, told_at=_at(said["event_timestamp_ms"])
        ),
    )


def _named(said: Mapping[str, Any]) -> tuple[ProviderEvent, ...]:
    """All names of a user; nothing where there is only one."""
    users = names_of(said)
    return (UserNamed(references=(), user_names=users),) if len(users) > 1 else ()


def names_of(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Every app user id of a subscriber, the one that was seen last at first."""
    found = (
        said.get("app_user_id"),
        said.get("original_app_user_id"),
        *(said.get("aliases") or ()),
    )
    return tuple(dict.fromkeys(text_of(one) for one in found if one))


def user_in(names: tuple[str, ...]) -> UUID | None:
    """The first of the names that is a user's id, as the app gave it."""
    for name in names:
        try:
            return UUID(name.removeprefix("user_"))
        except ValueError:
            continue
    return None


def subscription_name(first: str, product: str, user: UUID | None) -> str:
    """How the order is called that a subscription began with.

    It is another one after a change of the product, and when the subscription has moved to another
    user: what is paid from then on is of that.
    """
    return f"{first}:{product}:{user}"


def _for_a_person(reason: str) -> NeedsOperator:
    return NeedsOperator(references=(), reason=reason)


def text_of(said: Any) -> str:
    """A name; TypeError for what is none."""
    if not isinstance(said, str) or not said:
        raise TypeError("a name is no text")
    return said


def _currency(said: Mapping[str, Any]) -> str | None:
    found = said.get("currency")
    return text_of(found).upper() if found is not None else None


def cents(price: Any) -> int | None:
    """A price in hundredths; nothing where it is unknown."""
    if price is None:
        return None
    if not isinstance(price, int | float) or isinstance(price, bool):
        raise TypeError("a price is no number")
    return round(price * 100)


def _at(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _time(milliseconds: Any) -> datetime | None:
    return None if milliseconds is None else _at(milliseconds)
