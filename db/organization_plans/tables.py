"""Plans of organizations with their limits, and what each organization uses of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member, Public
from db.core.base import Base, Slug
from db.core.erasing import Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.quotas import Bound

UNLIMITED = -1
KINDS = ("WORKFLOWS", "CALLS", "CAMPAIGNS")


class OrganizationPlan(Base):
    """What an organization may have; each number is a limit, and -1 is none.

    `seats` is how many members one subscribed seat brings. Prices are what people are shown: what
    is charged is the price at the provider. Without them a plan is sold by agreement, or is free.
    """

    __tablename__ = "organization_plans"

    id: Mapped[Slug]
    name: Mapped[str]
    workflows: Mapped[int]
    calls_per_month: Mapped[int]
    campaigns: Mapped[int]
    seats: Mapped[int] = mapped_column(server_default=text("-1"))
    month_cents: Mapped[int | None]
    year_cents: Mapped[int | None]
    currency: Mapped[str] = mapped_column(server_default="USD")
    sort_order: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))

    __table_args__ = (
        CheckConstraint(
            "workflows >= -1 and calls_per_month >= -1 and campaigns >= -1 and seats >= -1",
            name="limits",
        ),
        CheckConstraint(
            "month_cents >= 0 and year_cents >= 0 and currency ~ '^[A-Z]{3}$'", name="prices"
        ),
    )
    access = Access(read=Public(), service=("SELECT",))


class PlanUsage(Base):
    """How much an organization uses of one kind; counted by what creates and removes it.

    `period_start` is when the month of calls began; what no month renews is counted from 1970 on.
    The row is the lock: whoever creates something waits for who creates at the same time.
    """

    __tablename__ = "organization_usage"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[datetime] = mapped_column(primary_key=True)
    used: Mapped[int]

    __table_args__ = (
        CheckConstraint("kind in ('WORKFLOWS', 'CALLS', 'CAMPAIGNS')", name="kind"),
        CheckConstraint("used >= 0", name="used"),
    )
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT", "DELETE"))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("One for each kind, and one for each month of calls; months go after 400 days.")
    expiries = (
        Expiry(
            "usage of months that began 400 days ago",
            "kind = 'CALLS' and period_start < now() - interval '400 days'",
            "organization_id, kind, period_start",
        ),
    )
