"""Accounts that are to be deleted, and the archives that users asked for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound


class AccountDeletion(Base):
    """An account that is to be deleted at `deletes_at`; it goes with the account.

    From `began_at` on it is being erased, piece by piece, and there is no way back.
    """

    __tablename__ = "account_deletions"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    scheduled_at: Mapped[Timestamp]
    deletes_at: Mapped[datetime] = mapped_column(index=True)
    began_at: Mapped[OptionalTimestamp]

    access = Access(read=Nobody())
    on_erase = GoesWith("user_id")
    on_merge = KeepTheMembers()
    export = NotExported("Who has it cannot ask for an archive.")
    quota = Bound("One for each user.")


class ExportStatus(State):
    """Where an archive stands."""

    QUEUED = "QUEUED", "It waits to be made."
    RUNNING = "RUNNING", "It is being made."
    READY = "READY", "It can be fetched."
    FAILED = "FAILED", "It could not be made; ask for another one."
    EXPIRED = "EXPIRED", "Its time was over, or a newer one took its place: its file is gone."


class DataExport(Base):
    """An archive of all that a user has, as a ZIP file at `path` while it is READY.

    `attempts` counts the workers that began it, and fences them: each stores its own file, and only
    the last one's counts.
    """

    __tablename__ = "data_exports"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=ExportStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    path: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Timestamp]
    finished_at: Mapped[OptionalTimestamp]
    expires_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("(status = 'READY') = (path is not null)", name="path"),
        Index("ix_data_exports_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_data_exports_created_at", "created_at"),
        Index(
            "ix_data_exports_expires_at", "expires_at", postgresql_where=text("status = 'READY'")
        ),
    )
    access = Access(read=Owner(), hidden=("attempts",))
    lifecycle = Lifecycle(
        "status",
        ExportStatus,
        initial=(ExportStatus.QUEUED,),
        transitions={
            ExportStatus.QUEUED: (
                ExportStatus.RUNNING.when("new.attempts > old.attempts", "an attempt begins"),
                ExportStatus.FAILED,
            ),
            ExportStatus.RUNNING: (ExportStatus.READY, ExportStatus.FAILED),
            ExportStatus.READY: (ExportStatus.EXPIRED,),
        },
        monotonic=("attempts",),
    )
    on_erase = Delete()
    on_merge = KeepTheMembers()
    export = NotExported("The archives themselves.")
    quota = Bound("Two a day, one at a time; the last 90 days'.")
    expiries = (
        Expiry(
            "archives of 90 days ago",
            "created_at < now() - interval '90 days' and status <> 'READY'",
            "created_at",
        ),
    )
