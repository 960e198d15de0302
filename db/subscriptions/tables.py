"""Subscriptions of organizations and users that a payment provider renews, and their invoices."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.exporting import Export
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move
from db.core.quotas import Bound
from db.organizations.tables import MANAGERS

# Who sees what is billed: the user, or who manages the organization.
BILLED = AnyOf(Owner(), Member("organization_id", MANAGERS), Admin())
ONE_OWNER = "num_nonnulls(user_id, organization_id) = 1"


class ProviderSubscriptionStatus(State):
    """How a subscription stands at its provider."""

    PENDING = "PENDING", "Its checkout is open, and nobody has paid."
    INCOMPLETE = "INCOMPLETE", "The first payment has not succeeded yet."
    TRIALING = "TRIALING", "It is tried for nothing."
    ACTIVE = "ACTIVE", "The period is paid."
    PAST_DUE = "PAST_DUE", "A payment failed; the plan is kept until `graceEndsAt`."
    UNPAID = "UNPAID", "The provider tries no more; the plan is that of nobody who pays."
    PAUSED = "PAUSED", "The trial is over, and there is nothing to pay with."
    CANCELLED = "CANCELLED", "It has ended."
    EXPIRED = "EXPIRED", "It was never paid."


_S = ProviderSubscriptionStatus
ENDED = (_S.CANCELLED, _S.EXPIRED)


class ProviderSubscription(Base):
    """The subscription of an organization or a user: one, which may begin anew when it ended.

    `provider_subscription_id` is the provider's name of it, null until it is paid. `told_at` is
    when it was asked how it stands: what was asked for earlier changes nothing. `grace_ends_at` is
    until when the plan is kept while a payment fails. `checkout_id`, `checkout_url` and
    `checkout_ends_at` are of the page on which it is subscribed to.
    """

    __tablename__ = "provider_subscriptions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    provider: Mapped[str]
    provider_subscription_id: Mapped[str | None]
    plan_id: Mapped[str]
    billing_interval: Mapped[str]
    seats: Mapped[int] = mapped_column(server_default=text("1"))
    status: Mapped[str] = mapped_column(server_default=_S.PENDING)
    current_period_start: Mapped[OptionalTimestamp]
    current_period_end: Mapped[OptionalTimestamp]
    cancel_at_period_end: Mapped[bool] = mapped_column(server_default=text("false"))
    grace_ends_at: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]
    told_at: Mapped[OptionalTimestamp]
    checkout_id: Mapped[str | None]
    checkout_url: Mapped[str | None]
    checkout_ends_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(ONE_OWNER, name="owner"),
        CheckConstraint("billing_interval in ('MONTH', 'YEAR')", name="billing_interval"),
        CheckConstraint("seats between 1 and 100000", name="seats"),
        CheckConstraint("(status = 'PAST_DUE') = (grace_ends_at is not null)", name="grace"),
        Index("uq_provider_subscriptions_user_id", "user_id", unique=True),
        Index("uq_provider_subscriptions_organization_id", "organization_id", unique=True),
        Index(
            "uq_provider_subscriptions_provider",
            "provider",
            "provider_subscription_id",
            unique=True,
        ),
        Index("ix_provider_subscriptions_checkout_id", "provider", "checkout_id"),
        Index(
            "ix_provider_subscriptions_due",
            text("coalesce(grace_ends_at, current_period_end, checkout_ends_at)"),
            postgresql_where=text("status not in ('CANCELLED', 'EXPIRED')"),
        ),
    )
    access = Access(
        read=BILLED,
        hidden=("provider_subscription_id", "checkout_id", "checkout_url", "told_at"),
        service=("SELECT",),
    )
    on_erase = Delete()
    on_merge = KeepTheMembers()
    export = Export(owner="user_id")
    quota = Bound("One for each user and organization.")
    # The provider says how it stands, and what was between may never have been told.
    lifecycle = Lifecycle(
        "status",
        ProviderSubscriptionStatus,
        initial=(_S.PENDING, _S.INCOMPLETE, _S.TRIALING, _S.ACTIVE, _S.PAST_DUE, _S.UNPAID),
        transitions={
            before: tuple(
                after
                for after in _S
                if after != before and (after != _S.PENDING or before in ENDED)
            )
            for before in _S
        },
    )
    triggers = (
        "end_at_provider after delete on provider_subscriptions for each row"
        " execute function app.end_at_provider()",
    )


class InvoiceStatus(State):
    """How an invoice stands."""

    OPEN = "OPEN", "It is to be paid."
    PAID = "PAID", "It is paid."
    UNCOLLECTIBLE = "UNCOLLECTIBLE", "Nobody expects it to be paid any more."
    VOID = "VOID", "It is not to be paid."


class ProviderInvoice(Base):
    """An invoice of a provider's; the links lead to its page and its document there.

    `payment_id` is the provider's name of what paid it; the invoice's own where nothing had to.
    """

    __tablename__ = "provider_invoices"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    provider: Mapped[str]
    provider_invoice_id: Mapped[str]
    provider_subscription_id: Mapped[str]
    payment_id: Mapped[str]
    number: Mapped[str | None]
    status: Mapped[str]
    total_cents: Mapped[int]
    paid_cents: Mapped[int]
    currency: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    page_url: Mapped[str | None]
    document_url: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    paid_at: Mapped[OptionalTimestamp]
    told_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(ONE_OWNER, name="owner"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("uq_provider_invoices_provider", "provider", "provider_invoice_id", unique=True),
        Index("ix_provider_invoices_payment_id", "provider", "payment_id"),
        Index("ix_provider_invoices_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "ix_provider_invoices_organization_id_created_at_id",
            "organization_id",
            "created_at",
            "id",
        ),
    )
    access = Access(
        read=BILLED,
        hidden=("provider_invoice_id", "provider_subscription_id", "payment_id", "told_at"),
        service=("SELECT",),
    )
    on_erase = Delete()
    on_merge = Move()
    export = Export(owner="user_id")
    quota = Bound("The provider's: one for each period and change.")
    lifecycle = Lifecycle(
        "status",
        InvoiceStatus,
        initial=tuple(InvoiceStatus),
        transitions={
            before: tuple(after for after in InvoiceStatus if after != before)
            for before in InvoiceStatus
        },
    )
