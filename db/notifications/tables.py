"""Notifications, their texts as i18n keys."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Owner, Watch
from db.core.base import Base, Json, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.merge_rules import Join
from db.core.quotas import Limit, TableQuota


class Notification(Base):
    """A message to one user; `data` fills the placeholders of the translated texts.

    `app.notify()` makes them. A user has at most one of each broadcast.
    """

    __tablename__ = "notifications"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    type: Mapped[str]
    title_key: Mapped[str]
    message_key: Mapped[str]
    data: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    read: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Timestamp]
    broadcast_id: Mapped[UUID | None] = mapped_column(ForeignKey("broadcasts.id"))
    stored_bytes: Mapped[int] = mapped_column(Computed("octet_length(data::text)", persisted=True))

    __table_args__ = (
        CheckConstraint("type in ('OFFER', 'FEATURE', 'GENERAL')", name="type"),
        Index("ix_notifications_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_notifications_user_id_read", "user_id", "read", "created_at", "id"),
        Index(
            "uq_notifications_broadcast_id",
            "broadcast_id",
            "user_id",
            unique=True,
            postgresql_where=text("broadcast_id is not null"),
        ),
    )
    large: ClassVar = {"data": 4_096}
    access = Access(
        read=AnyOf(Owner(), Admin()),
        write=Owner(),
        hidden=("broadcast_id",),
        update=("read",),
        delete=True,
    )
    # Named after what it carried first: the events of the last days and other servers say so.
    watch = Watch("notification.added", deletes=True)
    triggers = (
        "queue_pushes after insert on notifications referencing new table as added"
        " for each statement execute function app.queue_pushes()",
    )
    on_erase = Delete()
    on_merge = Join(("broadcast_id",))
    quota = TableQuota(
        guests=Limit(1_000, 1_000_000), members=Limit(1_000, 1_000_000), excess="FORGET"
    )
