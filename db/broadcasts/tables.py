"""Broadcasts: what is sent to which users, and how far that is."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Owner, Watch
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Bound

NOBODY_YET = "'00000000-0000-0000-0000-000000000000'"


class BroadcastStatus(State):
    """How far a broadcast is."""

    QUEUED = "QUEUED", "No worker has begun it."
    RUNNING = "RUNNING", "Workers notify its users, some at a time."
    FINISHED = "FINISHED", "All its users were notified, but for those who do not want to be."
    CANCELLED = "CANCELLED", "An admin stopped it; who was notified before stays so."
    FAILED = "FAILED", "It could not be gone on with after many tries; some users may be left out."


ENDED = (BroadcastStatus.FINISHED, BroadcastStatus.CANCELLED, BroadcastStatus.FAILED)


class Broadcast(Base):
    """A notification to the users of a segment, as they were when it was made.

    The segment are those who meet all of `audience` and of the columns from `plan_ids` to
    `inactive_since` that are not null. They are notified in the order of their ids, and `position`
    is the last one who has been looked at: it moves in the transaction that notifies, so that
    nobody is notified twice and nobody is left out, whenever a worker dies. `failures` counts the
    tries in a row that brought it no further.
    """

    __tablename__ = "broadcasts"

    id: Mapped[UuidKey]
    sent_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    type: Mapped[str]
    title_key: Mapped[str]
    message_key: Mapped[str]
    data: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    audience: Mapped[str] = mapped_column(server_default="EVERYBODY")
    plan_ids: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    locales: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    active_since: Mapped[OptionalTimestamp]
    inactive_since: Mapped[OptionalTimestamp]
    status: Mapped[str] = mapped_column(server_default=BroadcastStatus.QUEUED)
    user_count: Mapped[int | None]
    sent_count: Mapped[int] = mapped_column(server_default=text("0"))
    unwanted_count: Mapped[int] = mapped_column(server_default=text("0"))
    position: Mapped[UUID] = mapped_column(server_default=text(NOBODY_YET))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    started_at: Mapped[OptionalTimestamp]
    finished_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("type in ('OFFER', 'FEATURE', 'GENERAL')", name="type"),
        CheckConstraint("audience in ('EVERYBODY', 'GUESTS', 'MEMBERS')", name="audience"),
        Index("ix_broadcasts_created_at_id", "created_at", "id"),
        Index("ix_broadcasts_sent_by", "sent_by"),
        Index(
            "ix_broadcasts_unfinished",
            "created_at",
            postgresql_where=text("status in ('QUEUED', 'RUNNING')"),
        ),
    )
    large: ClassVar = {"data": 4_096}
    # Admins are no audience of events: the one who sent it watches.
    access = Access(
        read=AnyOf(Owner("sent_by"), Admin()),
        hidden=("position", "failures"),
        service=("SELECT",),
    )
    watch = Watch("broadcast.changed", inserts=False)
    lifecycle = Lifecycle(
        "status",
        BroadcastStatus,
        initial=(BroadcastStatus.QUEUED,),
        transitions={
            BroadcastStatus.QUEUED: (
                BroadcastStatus.RUNNING,
                BroadcastStatus.CANCELLED,
                BroadcastStatus.FAILED,
            ),
            BroadcastStatus.RUNNING: ENDED,
        },
        monotonic=("sent_count", "unwanted_count"),
    )
    on_erase = Anonymise("sent_by")
    on_merge = Move()
    quota = Bound("Admins alone make them, and at most 20 wait or run at a time.")
