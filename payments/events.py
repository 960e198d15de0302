"""What payment providers tell of: typed events, and the notices that bring them.

`db/billing/*.sql` and `db/subscriptions/told.sql` say what follows from each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

# No amount of a real payment is beyond it, and the database keeps none that is.
MOST_CENTS = 2**31 - 1


def check_amounts(*amounts: int | None) -> None:
    """ValueError for an amount that no payment can have: an event with one cannot be read."""
    if any(cents is not None and not 0 <= cents <= MOST_CENTS for cents in amounts):
        raise ValueError("an amount is below zero, or too large")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """Something that happened to an order at a provider.

    `references` name the order; any of them that we know finds it, and the others are noted. Only
    what the provider's signature covers may be among them.
    """

    references: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A purchase that began at the provider, as in an app store: there is no order of ours yet.

    One is made for the user and for the product whose price the provider calls `price_id`.
    """

    user_id: UUID | None
    price_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPurchase(Purchase):
    """A purchase of whom the provider knows by several names; it waits until one is a user's."""

    user_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent(ProviderEvent):
    """What all that is said of a payment has; `payment_id` is the provider's own.

    Two events about one payment have the same id. `product` and `user_id`, where the provider says
    them, must be the order's: the product's id or the price's. `listed_cents` is what was asked
    before the provider's own discounts and taxes, where there may be some: that is the order's
    amount then, and `amount_cents` is what the buyer pays. Of a purchase that began at the provider
    it may not know what was paid: that is the product's price then.
    """

    payment_id: str
    amount_cents: int | None
    currency: str | None
    listed_cents: int | None = None
    product: str | None = None
    user_id: UUID | None = None

    def __post_init__(self) -> None:
        check_amounts(self.amount_cents, self.listed_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSucceeded(PaymentEvent):
    """The money is there.

    `paid_until` is when the time that it pays for ends, where the provider counts that itself. A
    payment that `renews` belongs to a subscription whose first order the references find: it
    becomes an order of its own. With it the time ends now that is left of the purchases that it
    `replaces`: their names at the provider, each of whose payments has time of its own. Where the
    new one is a part of the same purchase, `began_at` says which of these were before it. Money
    that came back `after_refund_of` another payment waits until that refund is told of.
    """

    paid_until: datetime | None = None
    renews: bool = False
    replaces: tuple[str, ...] = ()
    began_at: datetime | None = None
    after_refund_of: str | None = None
    is_one_of_several: bool = False
    purchase: Purchase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPending(PaymentEvent):
    """The buyer did what they can, and the money is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed(PaymentEvent):
    """This attempt came to nothing; another may succeed. `reason` is in the provider's words."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderApproved(ProviderEvent):
    """The buyer agreed, and the money is to be captured; it is told on as what came of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutEnded(ProviderEvent):
    """The checkout can be paid no more: its time is over, or the buyer `cancelled` it."""

    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded(ProviderEvent):
    """Money went back to the buyer.

    With a `refund_id` it is one refund of `amount_cents`, told any number of times. Without, it is
    all that has been refunded of the payment so far. Without a `payment_id` it is of the payment
    that paid the order: not every provider signs which. Without a currency it is the payment's.
    It waits for its payment, unless it counts only `if_known`.
    """

    payment_id: str | None
    amount_cents: int
    currency: str | None
    refund_id: str | None = None
    if_known: bool = False

    def __post_init__(self) -> None:
        check_amounts(self.amount_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeOpened(ProviderEvent):
    """The buyer's bank questions a payment, or a part of it."""

    payment_id: str
    dispute_id: str
    amount_cents: int
    currency: str

    def __post_init__(self) -> None:
        check_amounts(self.amount_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeClosed(ProviderEvent):
    """A dispute has ended: `won` by us, or the money is gone."""

    payment_id: str
    dispute_id: str
    amount_cents: int
    currency: str
    won: bool

    def __post_init__(self) -> None:
        check_amounts(self.amount_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEnded(ProviderEvent):
    """A subscription is over, now; one that is merely not renewed runs out by itself.

    With a `payment_id` it is what that payment gave, and waits for it.
    """

    payment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementsChanged(ProviderEvent):
    """What a user may use by a purchase, as the provider counts that; the latest `told_at` counts.

    `names` are the entitlements, `source` is the purchase or subscription that gives them; where
    the provider does not say, it is the one that gave them before. Without
    `expires_at` they last; with `grace_ends_at` a payment failed, and they last until then.
    """

    user_id: UUID | None
    user_names: tuple[str, ...]
    names: tuple[str, ...]
    source: str | None
    product: str
    store: str
    expires_at: datetime | None
    grace_ends_at: datetime | None
    will_renew: bool
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNamed(ProviderEvent):
    """What a provider calls one user: ids of ours, and names that it made before it knew them."""

    user_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasesMoved(ProviderEvent):
    """The purchases of one user are another's now."""

    user_names: tuple[str, ...]
    from_names: tuple[str, ...]
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState(ProviderEvent):
    """How a subscription stands that its provider renews, as told with its latest payment.

    The first of the `references` is the provider's name of the subscription, the same for all its
    payments. `expires_at` is when the time ends that the payment pays for; without it that is as
    known. While a renewal fails, the subscriber is served until `grace_until`. `has_ended` says
    that it is over for good. Of two that are told, what was `told_at` later counts. It waits for
    its payment, unless it counts only `if_known`.
    """

    payment_id: str
    started_at: datetime
    told_at: datetime
    expires_at: datetime | None = None
    auto_renews: bool = True
    grace_until: datetime | None = None
    has_ended: bool = False
    if_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionTold(ProviderEvent):
    """How a subscription stands that the provider bills to one of its customers by itself.

    The customer says whose it is. `plan_id` is an organization's plan, where the price is known;
    `price_id` is the provider's name of the price. `told_at` is from when on this was so: of two
    the later counts. While a payment fails, the plan is kept for `grace_days`.
    """

    subscription_id: str
    customer_id: str
    plan_id: str | None
    price_id: str
    interval: str
    seats: int
    status: str
    period_start: datetime
    period_end: datetime
    cancel_at_period_end: bool
    ended_at: datetime | None
    grace_days: int
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceTold(ProviderEvent):
    """How an invoice of such a subscription stands.

    `payment_id` is what paid it. It `pays_period` unless it only settles a change to less.
    `attempts` is how often its payment was tried.
    """

    invoice_id: str
    subscription_id: str
    customer_id: str
    price_id: str | None
    payment_id: str
    number: str | None
    status: str
    total_cents: int
    paid_cents: int
    currency: str
    period_start: datetime
    period_end: datetime
    pays_period: bool
    page_url: str | None
    document_url: str | None
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    paid_at: datetime | None
    told_at: datetime

    def __post_init__(self) -> None:
        # What is owed to the customer is an invoice of less than nothing.
        check_amounts(abs(self.total_cents), abs(self.paid_cents))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionCheckoutEnded(ProviderEvent):
    """Nobody subscribed on a page in time."""

    checkout_id: str


@dataclass(frozen=True, slots=True)
class AccountName:
    """A provider's name of a seller, sealed for the row of their account, in hexadecimal digits."""

    account_id: UUID
    sealed: str
    index: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SellerAccountTold(ProviderEvent):
    """How a seller's account stands, as of `told_at`; one that `is_gone` is charged no more.

    `account_indexes` are the blind indexes of its name, in hexadecimal digits, one for each master
    key. `named` is the name that the provider gave it, where it had none of its own before.
    """

    account_indexes: tuple[str, ...]
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    is_gone: bool
    told_at: datetime
    named: AccountName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutTold(ProviderEvent):
    """How a payout to a seller's bank stands."""

    account_indexes: tuple[str, ...]
    payout_id: str
    amount_cents: int
    currency: str
    status: str
    arrives_at: datetime | None
    told_at: datetime

    def __post_init__(self) -> None:
        # A payout that takes back what a seller owes is of less than nothing.
        check_amounts(abs(self.amount_cents))


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementDue(ProviderEvent):
    """The provider waits to hear that a purchase was given, or takes it back.

    `purchase` is what its `acknowledge()` takes. It may count only `if_known` is the payment.
    """

    payment_id: str
    purchase: str
    if_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsOperator(ProviderEvent):
    """What a person has to look at, such as purchases that move to another user."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What one delivery says.

    `event_id` is unique at the provider, `kind` is its own word for it. No events: it is none of
    our concern. What is `is_test` counts nowhere but in a demo.
    """

    event_id: str
    kind: str
    events: tuple[ProviderEvent, ...] = ()
    is_test: bool = False
    occurred_at: datetime | None = None
