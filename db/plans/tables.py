"""A user's subscription to a plan, the periods that were paid, and the credits that they gave."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete, GoesWith
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import MergedBy
from db.core.quotas import Bound


class PlanSubscriptionStatus(State):
    """Where a subscription to a plan stands."""

    ACTIVE = "ACTIVE", "The period is paid."
    CANCELLING = "CANCELLING", "The period is paid, and the plan ends with it."
    PAST_DUE = "PAST_DUE", "The period is over; the plan ends unless it is paid within the grace."
    ENDED = "ENDED", "It is over; the user has the plan that new users have."


class PlanPeriodKind(State):
    """What a period of a plan was to its user."""

    START = "START", "The plan began."
    RENEWAL = "RENEWAL", "The plan went on."
    UPGRADE = "UPGRADE", "The rest of a period on a plan of a higher price."
    DOWNGRADE = "DOWNGRADE", "Paid ahead, on a plan of a lower price."
    GIVEN = "GIVEN", "An admin or the operator gave it."


_OPEN = "status <> 'ENDED'"


class PlanSubscription(Base):
    """A user's subscription to a plan; one for each user, who may subscribe again once it ended.

    The current period ends when what is paid ends, however many payments that took; null when it
    was given without an end. `scheduled_plan_id` is the plan from then on, where it is another one.
    `grace_ends_at` is set while it is PAST_DUE. `reminded_of` is the end that its user was told of.
    """

    __tablename__ = "plan_subscriptions"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=PlanSubscriptionStatus.ACTIVE)
    started_at: Mapped[Timestamp]
    current_period_start: Mapped[Timestamp]
    current_period_end: Mapped[OptionalTimestamp]
    scheduled_plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    grace_ends_at: Mapped[OptionalTimestamp]
    reminded_of: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("(status = 'ENDED') = (ended_at is not null)", name="ended"),
        CheckConstraint("(status = 'PAST_DUE') = (grace_ends_at is not null)", name="grace"),
        CheckConstraint(
            "current_period_end > current_period_start or status = 'ENDED'", name="period"
        ),
        CheckConstraint("scheduled_plan_id <> plan_id", name="scheduled"),
        Index(
            "ix_plan_subscriptions_due",
            text("coalesce(grace_ends_at, current_period_end)"),
            postgresql_where=text(_OPEN),
        ),
    )
    access = Access(read=AnyOf(Owner(), Admin()), hidden=("reminded_of",), service=("SELECT",))
    watch = Watch("plan.changed", entity="user_id")
    on_erase = Delete()
    on_merge = MergedBy("merge_plans")
    lifecycle = Lifecycle(
        "status",
        PlanSubscriptionStatus,
        initial=(PlanSubscriptionStatus.ACTIVE,),
        transitions={
            PlanSubscriptionStatus.ACTIVE: (
                PlanSubscriptionStatus.CANCELLING,
                PlanSubscriptionStatus.PAST_DUE,
                PlanSubscriptionStatus.ENDED,
            ),
            PlanSubscriptionStatus.CANCELLING: (
                PlanSubscriptionStatus.ACTIVE,
                PlanSubscriptionStatus.ENDED,
            ),
            PlanSubscriptionStatus.PAST_DUE: (
                PlanSubscriptionStatus.ACTIVE,
                PlanSubscriptionStatus.ENDED,
            ),
            PlanSubscriptionStatus.ENDED: (PlanSubscriptionStatus.ACTIVE,),
        },
    )
    quota = Bound("One for each user.")


class PlanPeriod(Base):
    """Time on a plan that was paid or given; kept as history.

    `reference` names what gave it, such as an order, and gives it once. Of periods that overlap,
    the plan of the highest price counts. One that is revoked counts no more: its payment was
    refunded or lost in a dispute. Without `ends_at` it has no end.
    """

    __tablename__ = "plan_periods"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    kind: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[OptionalTimestamp]
    reference: Mapped[str] = mapped_column(unique=True)
    revoked_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            f"kind in ({', '.join(f"'{kind}'" for kind in PlanPeriodKind)})", name="kind"
        ),
        CheckConstraint("ends_at >= starts_at", name="period"),
        CheckConstraint("length(reference) between 1 and 255", name="reference"),
        Index("ix_plan_periods_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), hidden=("reference",), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_plan_periods")
    quota = Bound("One for each payment.")


class PlanCredits(Base):
    """That a period gave the credits of one of its months: at most once."""

    __tablename__ = "plan_credits"

    period_id: Mapped[UUID] = mapped_column(
        ForeignKey("plan_periods.id", ondelete="CASCADE"), primary_key=True
    )
    month_starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    amount: Mapped[int]
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), index=True)

    __table_args__ = (CheckConstraint("amount > 0", name="amount"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = GoesWith("period_id")
    export = NotExported("The movements that it names are exported.")
    quota = Bound("One for each month of a period.")
