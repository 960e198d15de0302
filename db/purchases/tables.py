"""What stores tell of subscriptions, payment by payment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.billing.tables import CURRENCY
from db.core.access import Access, Admin, AnyOf, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Bound


class SubscriptionTransactionStatus(State):
    """Where the time stands that a payment of a subscription paid for."""

    ACTIVE = "ACTIVE", "It runs, and the store renews it."
    CANCELLED = "CANCELLED", "It runs, and the store does not renew it."
    EXPIRED = "EXPIRED", "It is over."
    REFUNDED = "REFUNDED", "The money went back, and the time with it."


class SubscriptionTransaction(Base):
    """One payment of a subscription that a store renews, as the store told of it.

    `purchase_id` is the store's name of the subscription, the same for all its payments: it is one
    user's. `grace_ends_at` is until when the store lets it run while a renewal fails. `told_at` is
    when the store said so: what it said before counts no more.
    """

    __tablename__ = "subscription_transactions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    provider: Mapped[str]
    transaction_id: Mapped[str]
    purchase_id: Mapped[str]
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    amount_cents: Mapped[int]
    currency: Mapped[str]
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    auto_renews: Mapped[bool]
    grace_ends_at: Mapped[OptionalTimestamp]
    status: Mapped[str]
    told_at: Mapped[datetime]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(CURRENCY, name="currency"),
        CheckConstraint("length(purchase_id) between 1 and 255", name="purchase_id"),
        Index(
            "uq_subscription_transactions_transaction_id", "provider", "transaction_id", unique=True
        ),
        Index(
            "ix_subscription_transactions_due",
            "expires_at",
            postgresql_where=text("status in ('ACTIVE', 'CANCELLED')"),
        ),
        Index("ix_subscription_transactions_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(
        read=AnyOf(Owner(), Admin()), hidden=("purchase_id", "told_at"), service=("SELECT",)
    )
    on_erase = Anonymise("user_id")
    on_merge = Move()
    quota = Bound("The store's: one for each payment of a subscription.")
    lifecycle = Lifecycle(
        "status",
        SubscriptionTransactionStatus,
        initial=(
            SubscriptionTransactionStatus.ACTIVE,
            SubscriptionTransactionStatus.CANCELLED,
            SubscriptionTransactionStatus.EXPIRED,
        ),
        transitions={
            SubscriptionTransactionStatus.ACTIVE: (
                SubscriptionTransactionStatus.CANCELLED,
                SubscriptionTransactionStatus.EXPIRED,
                SubscriptionTransactionStatus.REFUNDED,
            ),
            SubscriptionTransactionStatus.CANCELLED: (
                SubscriptionTransactionStatus.ACTIVE,
                SubscriptionTransactionStatus.EXPIRED,
                SubscriptionTransactionStatus.REFUNDED,
            ),
            SubscriptionTransactionStatus.EXPIRED: (
                SubscriptionTransactionStatus.ACTIVE,
                SubscriptionTransactionStatus.CANCELLED,
                SubscriptionTransactionStatus.REFUNDED,
            ),
        },
    )
