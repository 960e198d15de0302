"""Reminders of users."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Computed, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota


class Reminder(Base):
    """Words that a user wants to be reminded of."""

    __tablename__ = "reminders"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    words: Mapped[str]
    created_at: Mapped[Timestamp]
    sent_at: Mapped[OptionalTimestamp]
    stored_bytes: Mapped[int] = mapped_column(Computed("octet_length(words)", persisted=True))

    __table_args__ = (
        Index("ix_reminders_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_reminders_sent_at", "sent_at"),
    )
    access = Access(read=Owner(), service=("SELECT", "UPDATE", "DELETE"))
    watch = Watch("reminders.changed", deletes=True)
    on_merge = Move()
    on_erase = Delete()
    quota = TableQuota(guests=Limit(10, 10_000), members=Limit(100, 100_000), excess="FORGET")
    expiries = (Expiry("sent reminders", "sent_at < now() - interval '1 day'", "sent_at"),)
