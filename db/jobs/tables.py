"""Jobs that were given up, and when each scheduled work ran and will run."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, Nobody
from db.core.base import Base, OptionalTimestamp, Slug, Timestamp, UuidKey
from db.core.erasing import GoesWith
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import State, set_once
from db.core.quotas import Bound


class DeadJobStatus(State):
    """Whether a job that was given up was tried again."""

    DEAD = "DEAD", "No attempt could finish it; an admin may retry it."
    RETRIED = "RETRIED", "An admin put it in line once more."


class DeadJob(Base):
    """A job that no attempt could finish, kept for an admin, who may retry it once.

    `error` is for admins: what stopped the last attempt. A job of a generation carries its id.
    """

    __tablename__ = "dead_jobs"

    id: Mapped[UuidKey]
    entrypoint: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    generation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("generations.id", ondelete="CASCADE"), index=True
    )
    attempts: Mapped[int]
    error: Mapped[str]
    died_at: Mapped[Timestamp]
    retried_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("attempts >= 0", name="attempts"),
        Index("ix_dead_jobs_died_at_id", "died_at", "id"),
    )
    lifecycle = set_once("retried_at", DeadJobStatus)
    access = Access(read=Admin(), hidden=("payload",), service=("SELECT", "DELETE"))
    on_erase = GoesWith("generation_id")
    export = NotExported("The operator's.")
    quota = Bound("One for each job that was given up; kept for 90 days.")
    expiries = (
        Expiry(
            "dead jobs older than 90 days", "died_at < now() - interval '90 days'", "died_at, id"
        ),
    )


class ScheduledRun(Base):
    """When a scheduled work is due next, and how its last run went.

    `times` is a cron expression in UTC. `next_run_at` moves on when a worker has taken the tick;
    `last_finished_at` and what stands beside it are of the last run that ended.
    """

    __tablename__ = "scheduled_runs"

    name: Mapped[Slug]
    times: Mapped[str]
    next_run_at: Mapped[datetime]
    last_started_at: Mapped[OptionalTimestamp]
    last_finished_at: Mapped[OptionalTimestamp]
    last_milliseconds: Mapped[int | None]
    last_result: Mapped[str | None]
    last_error: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("last_result in ('SUCCEEDED', 'FAILED')", name="last_result"),
        CheckConstraint("(last_result = 'FAILED') = (last_error is not null)", name="last_error"),
    )
    access = Access(read=Nobody(), service=("SELECT", "INSERT", "UPDATE"))
    quota = Bound("One for each scheduled work.")
