"""What every payment provider does: the `PaymentProvider` protocol, and what else it may do.

A provider knows nothing of orders' states, credits or plans: it says what happened in its own
house, as typed events (`payments/events.py`). A new one is a module here,
a line in `payments/registry.py`, and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable
from uuid import UUID

import structlog

from db.core.errors import DomainError, ErrorCode
from payments.events import Notice, ProviderEvent

log = structlog.get_logger("tallygraph.payments")

# Headers that hold secrets of ours rather than signatures; the inbox keeps none of them.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


@dataclass(frozen=True, slots=True)
class NewCheckout:
    """An order that a provider is to make a checkout for; whatever is sent there is in here.

    `order_id` is also what the provider is given as our own reference, and as the key under which
    the same checkout may be asked for again. `price_id` is the provider's own name of the price,
    where it keeps a catalog. `interval` is MONTH or YEAR for what is paid for again and again.
    `customer_id` is the provider's own name of the buyer, where it gave them one before. Of what a
    store sells there may be no user, and `split` says who gets the money. Where there is an
    `expires_at`, nobody may pay after it.
    """

    order_id: UUID
    user_id: UUID | None
    email: str | None
    product_id: str
    product_name: str
    kind: str
    amount_cents: int
    currency: str
    interval: str | None = None
    price_id: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    locale: str | None = None
    customer_id: str | None = None
    split: Split | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Who gets the money of a store's sale: the seller, by the provider's name of their account.

    `fee_cents` of it stay with whoever runs the service.
    """

    account: str
    fee_cents: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the buyer pays, until when, and the names by which the provider knows the order.

    `references` are what its events will name: a session's id, its order's id. Our own order id is
    among them only where the provider's signature covers it. `customer_id` is the provider's own
    name of the buyer, where it keeps customers.
    """

    url: str
    expires_at: datetime
    references: tuple[str, ...]
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """A payment that has been made, for a refund or to be asked about.

    Of one that `is_split` a seller gets most of the money, and gives it back; `account_index` is
    the blind index of their account, while they have one. One that cannot be paid any more is not
    captured.
    """

    order_id: UUID
    payment_id: str | None
    amount_cents: int
    currency: str
    references: tuple[str, ...]
    refunded_cents: int = 0
    created_at: datetime | None = None
    is_split: bool = False
    can_be_paid: bool = True
    account_index: bytes | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came in at `POST /webhooks/{provider}`; names of headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    query: str = ""


class DeliveryRefusal(StrEnum):
    """Why a delivery is not believed."""

    FORGED = "FORGED"
    STALE = "STALE"
    UNREADABLE = "UNREADABLE"


class DeliveryRefused(Exception):
    """A delivery whose signature, age or text is not what the provider sends.

    `detail` is for the operator, in our own words: nothing of the delivery is in it.
    """

    def __init__(self, refusal: DeliveryRefusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail


class PaymentProvider(Protocol):
    """A payment provider.

    `name` is its part of the webhook's path. One that `verifies_at_once` needs no network to tell a
    real delivery, so that a forged one is answered 401; of another each is taken in, and a job
    verifies it. One that `sells_itself` may tell of purchases that began there.
    """

    @property
    def name(self) -> str: ...
    @property
    def verifies_at_once(self) -> bool: ...
    @property
    def sells_itself(self) -> bool: ...

    async def create_checkout(self, checkout: NewCheckout) -> Checkout:
        """Makes a page on which the buyer pays; asked again for an order, it may be the same.

        No transaction is open meanwhile. `provider_failed()` when it cannot be made now,
        `provider_refused()` when never.
        """
        ...

    async def verify(self, delivery: Delivery) -> None:
        """Raises `DeliveryRefused` unless the provider sent this, unaltered and lately.

        A provider that cannot be asked now raises what `provider_failed()` gives.
        """
        ...

    def parse(self, delivery: Delivery) -> Notice:
        """What a verified delivery says; `DeliveryRefused` with UNREADABLE for what says nothing.

        Pure: the same delivery always says the same.
        """
        ...

    async def refund(
        self, order: PaidOrder, amount_cents: int, key: str
    ) -> tuple[ProviderEvent, ...]:
        """Gives money back, once for each `key`; what came of it, where that is known at once."""
        ...

    async def fetch(self, order: PaidOrder) -> tuple[ProviderEvent, ...]:
        """What the provider says now of an order, in the same events as its deliveries."""
        ...


@runtime_checkable
class ScreensDeliveries(Protocol):
    """A provider that has to be asked, and of which some forgeries are plain without asking."""

    def screen(self, delivery: Delivery) -> None:
        """Raises `DeliveryRefused` for what cannot be the provider's."""
        ...


@runtime_checkable
class KeepsCustomers(Protocol):
    """A provider that knows its buyers, and has a page for each: receipts, cards, subscriptions."""

    async def create_portal(self, customer_id: str, return_url: str | None) -> str:
        """The address of a customer's page, for the customer alone; it leads back to a URL."""
        ...

    async def forget_customer(self, customer_id: str) -> None:
        """Keeps nothing of a customer but the books; PROVIDER_REFUSED for one that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """What a page is to be made for, on which an organization or a user subscribes.

    `subscription_id` is ours, and with the `key` that under which the same page may be asked for
    again.
    """

    subscription_id: UUID
    key: str
    organization_id: UUID | None
    customer_id: str
    plan_id: str
    price_id: str
    seats: int
    success_url: str | None
    cancel_url: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What a subscription is to be: the provider's price, and how many seats.

    `moment` is what what is left of the period is counted from; it makes a change cost what its
    preview said.
    """

    provider_subscription_id: str
    price_id: str
    seats: int
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change would cost now, and from when on the next period is paid.

    `proration_cents` is what of it is for the rest of the current period: below zero, it is kept as
    a balance for later invoices.
    """

    due_cents: int
    proration_cents: int
    currency: str
    next_payment_at: datetime | None
    moment: datetime


@dataclass(frozen=True, slots=True)
class OrganizationPrice:
    """What an organization's plan costs at a provider, each MONTH or YEAR."""

    plan_id: str
    interval: str
    amount_cents: int
    currency: str


class SubscriptionSeller(Protocol):
    """What a provider does that bills subscriptions by itself; every call is made once for a key.

    What it tells of a subscription is as of `asked_at`.
    """

    def organization_price(self, plan_id: str, interval: str) -> str | None:
        """The provider's name of the price of an organization's plan."""
        ...

    async def ask_prices(self) -> tuple[OrganizationPrice, ...]:
        """What organizations' plans cost, as far as the settings name their prices."""
        ...

    async def create_customer(
        self, *, organization_id: UUID | None, user_id: UUID, name: str | None, email: str | None
    ) -> str:
        """The provider's name of who is billed: an organization, or the user."""
        ...

    async def open_checkout(self, wanted: NewSubscription) -> Checkout:
        """A page on which it is subscribed to."""
        ...

    async def close_checkout(self, checkout_id: str) -> bool:
        """Has a page take no payment any more; false when it took one."""
        ...

    async def preview(self, change: SubscriptionChange) -> ChangePreview:
        """What a change would cost."""
        ...

    async def change(
        self, change: SubscriptionChange, key: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """Changes a subscription, and has what it costs now paid; nothing changes unless it is."""
        ...

    async def cancel(
        self, provider_subscription_id: str, asked_at: datetime, *, immediately: bool
    ) -> tuple[ProviderEvent, ...]:
        """Has it end with its period, or now."""
        ...

    async def end(self, provider_subscription_id: str) -> None:
        """Has it end now, however often; PROVIDER_REFUSED for one that has ended."""
        ...

    async def resume(
        self, provider_subscription_id: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """Has it go on that was to end with its period."""
        ...

    async def ask_subscription(
        self, provider_subscription_id: str, asked_at: datetime
    ) -> tuple[ProviderEvent, ...]:
        """How it and its latest invoice stand."""
        ...

    async def ask_checkout(self, checkout_id: str, asked_at: datetime) -> tuple[ProviderEvent, ...]:
        """What became of a page."""
        ...


@runtime_checkable
class PaysSellers(Protocol):
    """A provider that keeps accounts for sellers, and gives each their part of what is paid."""

    async def create_account(
        self, store_id: UUID, *, email: str | None, business_name: str, attempt: str
    ) -> str:
        """The provider's name of a new account; the same for the same `attempt`."""
        ...

    async def account_page(
        self, account: str, return_url: str, refresh_url: str, *, attempt: str
    ) -> str | None:
        """Where its owner tells the provider about themselves; nothing for one that is gone."""
        ...

    async def ask_account(self, account: str, *, attempt: str) -> tuple[ProviderEvent, ...]:
        """How an account stands now, of the `attempt` that made it."""
        ...

    async def reverse_transfer(self, payment_id: str, amount_cents: int, key: str) -> None:
        """Takes back what a seller got of a payment, once for each key."""
        ...

    async def return_transfer(self, payment_id: str, key: str) -> None:
        """Gives what was taken back under that key to the seller again, once."""
        ...


@runtime_checkable
class BillsSubscriptions(Protocol):
    """A provider that has subscriptions of its own, which it renews."""

    @property
    def subscriptions(self) -> SubscriptionSeller: ...


@runtime_checkable
class AsksBack(Protocol):
    """A provider whose deliveries say that something changed, and which is then asked what."""

    def needs_asking(self, notice: Notice) -> bool:
        """Whether a notice says so little that the provider has to be asked."""
        ...

    async def complete(self, delivery: Delivery, notice: Notice) -> Notice:
        """A notice with what the provider says now; `provider_failed()` where it says nothing."""
        ...


@runtime_checkable
class CapturesOrders(Protocol):
    """A provider that takes the money of an order only when it is told to."""

    async def capture(self, order: PaidOrder, reference: str) -> tuple[ProviderEvent, ...]:
        """Takes the money of an order that the provider calls so, and says what came of it.

        Nothing is taken, and a person is told, where the provider has another order by that name.
        """
        ...


@runtime_checkable
class WantsAcknowledgement(Protocol):
    """A provider that is told of what was given."""

    async def acknowledge(self, purchase: str) -> None:
        """Tells it, however often; `provider_failed()` where it does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class ProvenPurchase:
    """What a proof of a purchase says; what is a test counts nowhere but in a demo."""

    events: tuple[ProviderEvent, ...]
    is_test: bool


@runtime_checkable
class SellsInApps(Protocol):
    """A provider whose purchases are made in an app, which then sends a proof of each."""

    async def read_purchase(self, proof: str, buyer: UUID) -> ProvenPurchase:
        """What is proven; it is the buyer's where the purchase itself names nobody.

        `purchase_invalid()` for what proves nothing; `provider_failed()` where the provider has to
        be asked and does not answer.
        """
        ...


def purchase_invalid(provider: str, reason: str) -> DomainError:
    """A proof that proves nothing; the reason is for the log alone."""
    log.info("payments.purchase_invalid", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.PURCHASE_INVALID,
        "This is no proof of a purchase in this app. Send what the store gave, unaltered.",
    )


def provider_failed(provider: str, reason: str) -> DomainError:
    """A provider that is away, or says what makes no sense; the reason is for the log alone."""
    log.warning("payments.provider_failed", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.PROVIDER_FAILED,
        "The payment provider does not answer as it should. Try again later with the same "
        "idempotency key.",
    )


def provider_refused(provider: str, reason: str) -> DomainError:
    """A provider that says no; the reason is for the log alone."""
    log.warning("payments.provider_refused", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.PROVIDER_REFUSED, "The payment provider refused this. Nothing was charged."
    )
