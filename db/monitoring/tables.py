"""What the processes have answered, minute by minute, and the alerts that are made of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, DateTime, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin
from db.core.base import Base, OptionalTimestamp, Slug, Timestamp
from db.core.expiry import Expiry
from db.core.lifecycles import Lifecycle, State
from db.core.quotas import Bound


class AlertStatus(State):
    """Whether something is wrong that somebody should look at."""

    OK = "OK", "What is measured is within its limit, or there is nothing to measure."
    FIRING = "FIRING", "What is measured is beyond its limit."


class OperationCount(Base):
    """How many of an operation were answered in a minute, by all processes together.

    An operation is known by its kind and its first root field. `failed` are those that ended in a
    fault of the server or of a provider, not in one of the client. `buckets` counts them by how
    long they took: no longer than each bound of `graph.shared.traffic`, and longer than all.
    """

    __tablename__ = "operation_counts"

    minute: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    answered: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    buckets: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{}'"))

    __table_args__ = (
        CheckConstraint("failed between 0 and answered", name="failed"),
        Index("ix_operation_counts_field_minute", "field", "minute"),
    )
    access = Access(read=Admin(), service=("SELECT", "DELETE"))
    quota = Bound("One for each root field of the schema and minute, for seven days.")
    expiries = (
        Expiry(
            "counts of operations of a week ago", "minute < now() - interval '7 days'", "minute"
        ),
    )


class Alert(Base):
    """One thing that is watched: what was measured last, its limit, and since when it is so.

    `measured` is null when there was too little to measure. A share is between 0 and 1.
    `beyond_at` is when it was last measured beyond its limit.
    """

    __tablename__ = "alerts"

    id: Mapped[Slug]
    status: Mapped[str] = mapped_column(server_default=AlertStatus.OK)
    measured: Mapped[float | None]
    threshold: Mapped[float]
    changed_at: Mapped[OptionalTimestamp]
    checked_at: Mapped[Timestamp]
    beyond_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("id ~ '^[a-z]+(-[a-z]+)*$'", name="id"),
        CheckConstraint("threshold >= 0", name="threshold"),
    )
    access = Access(read=Admin(), hidden=("beyond_at",), service=("SELECT",))
    lifecycle = Lifecycle(
        "status",
        AlertStatus,
        initial=(AlertStatus.OK, AlertStatus.FIRING),
        transitions={
            AlertStatus.OK: (AlertStatus.FIRING,),
            AlertStatus.FIRING: (AlertStatus.OK,),
        },
    )
    quota = Bound("One for each thing that is watched.")
