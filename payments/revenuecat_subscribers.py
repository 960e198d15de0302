"""What RevenueCat's API says of one user now, in the same events as its deliveries.

Source: https://www.revenuecat.com/docs/api-v1 (GET /subscribers/{app_user_id}).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from payments.events import (
    EntitlementsChanged,
    NamedPurchase,
    PaymentSucceeded,
    ProviderEvent,
    Refunded,
)
from payments.revenuecat_events import ALL_OF_IT, NOT_PAID_HERE, cents, subscription_name, text_of


def subscriber_events(
    user_id: UUID, said: Mapping[str, Any], *, takes_sandbox: bool
) -> tuple[ProviderEvent, ...]:
    """What a user has bought and may use, as an answer says it.

    Raises KeyError, TypeError or ValueError for an answer that is not as RevenueCat documents it.
    """
    subscriber, told_at = said["subscriber"], datetime.fromisoformat(said["request_date"])
    names = tuple(dict.fromkeys((str(user_id), text_of(subscriber["original_app_user_id"]))))
    buyer = _Buyer(user_id, names, takes_sandbox)
    events: list[ProviderEvent] = []
    for product, purchases in (subscriber.get("non_subscriptions") or {}).items():
        for purchase in purchases:
            events += buyer.paid(product, purchase, is_subscription=False)
    subscriptions = subscriber.get("subscriptions") or {}
    for product, subscription in subscriptions.items():
        events += buyer.paid(product, subscription, is_subscription=True)
    for name, entitlement in (subscriber.get("entitlements") or {}).items():
        product = text_of(entitlement["product_identifier"])
        given_by = subscriptions.get(product) or {}
        events += buyer.may_use(name, product, entitlement, given_by, told_at)
    return tuple(events)


class _Buyer:
    """A user of whom an answer tells."""

    def __init__(self, user_id: UUID, names: tuple[str, ...], takes_sandbox: bool) -> None:
        self._user_id = user_id
        self._names = names
        self._takes_sandbox = takes_sandbox

    def paid(
        self, product: str, said: Mapping[str, Any], *, is_subscription: bool
    ) -> Iterator[ProviderEvent]:
        """The last payment for a product, and that it went back."""
        transaction = said.get("store_transaction_id")
        is_shared = said.get("ownership_type") == "FAMILY_SHARED"
        if not transaction or is_shared or self._is_elsewhere(said):
            return
        transaction, price = text_of(transaction), said.get("price") or {}
        name = subscription_name(transaction, product, self._user_id)
        yield PaymentSucceeded(
            references=(name if is_subscription else transaction,),
            payment_id=transaction,
            amount_cents=cents(price.get("amount")),
            currency=text_of(price["currency"]).upper() if price.get("currency") else None,
            user_id=self._user_id,
            paid_until=_time(said.get("expires_date")) if is_subscription else None,
            renews=is_subscription,
            purchase=NamedPurchase(user_id=self._user_id, user_names=self._names, price_id=product),
        )
        if said.get("refunded_at"):
            yield Refunded(
                references=(), payment_id=transaction, amount_cents=ALL_OF_IT, currency=None
            )

    def may_use(
        self,
        name: str,
        product: str,
        said: Mapping[str, Any],
        given_by: Mapping[str, Any],
        told_at: datetime,
    ) -> Iterator[ProviderEvent]:
        """An entitlement; which purchase gives it, the database knows better than the answer."""
        if given_by.get("is_sandbox") and not self._takes_sandbox:
            return
        expires_at = _time(said.get("expires_date"))
        yield EntitlementsChanged(
            references=(),
            user_id=self._user_id,
            user_names=self._names,
            names=(name,),
            source=None,
            product=product,
            store=str(given_by.get("store") or "UNKNOWN").upper(),
            expires_at=expires_at,
            grace_ends_at=_time(said.get("grace_period_expires_date")),
            will_renew=expires_at is not None
            and expires_at > told_at
            and not given_by.get("unsubscribe_detected_at"),
            told_at=told_at,
        )

    def _is_elsewhere(self, said: Mapping[str, Any]) -> bool:
        if str(said.get("store", "")).upper() in NOT_PAID_HERE:
            return True
        return bool(said.get("is_sandbox")) and not self._takes_sandbox


def _time(said: Any) -> datetime | None:
    return None if said is None else datetime.fromisoformat(text_of(said))
