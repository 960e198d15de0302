"""Uploads: places for photos, and what is known of the photos there."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKey, Index, Interval, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.exporting import Export
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota

# What counts toward the quota: what is announced counts at once, what is deleted no more.
STORED_BYTES = (
    "case status when 'DELETED' then 0 when 'READY' then size_bytes else declared_size_bytes end"
)


class UploadStatus(State):
    """Where an upload stands."""

    AWAITING = "AWAITING", "No photo was taken in yet."
    READY = "READY", "The photo is there."
    REJECTED = "REJECTED", "What came was refused; better bytes are taken until it expires."
    DELETED = "DELETED", "Its owner deleted the photo."


class Upload(Base):
    """A place for one photo. `path` is where its cleaned bytes lie once `status` is READY.

    `original_sha256` is of the bytes as they came; the stored ones are decoded and re-encoded.
    `declared_size_bytes` counts toward the quota until `size_bytes` is known: `stored_bytes` is
    what counts. `used_at` is when a
    generation first took the photo: without one, the row is swept a day after `created_at`.
    `folder_id` names the folder of the storage that its files lie in, where that is not its
    user's own: the guest's who was merged into them.
    """

    __tablename__ = "uploads"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=UploadStatus.AWAITING)
    content_type: Mapped[str]
    declared_size_bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(server_default="")
    stored_content_type: Mapped[str | None]
    original_sha256: Mapped[str | None]
    width_pixels: Mapped[int | None]
    height_pixels: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    rejected_code: Mapped[str | None]
    rejected_message: Mapped[str | None]
    folder_id: Mapped[UUID | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[Timestamp]
    received_at: Mapped[OptionalTimestamp]
    used_at: Mapped[OptionalTimestamp]
    stored_bytes: Mapped[int] = mapped_column(BigInteger, Computed(STORED_BYTES, persisted=True))

    __table_args__ = (
        CheckConstraint(
            "status <> 'READY' or (original_sha256 is not null and stored_content_type is not null"
            " and width_pixels > 0 and height_pixels > 0 and size_bytes > 0)",
            name="ready",
        ),
        CheckConstraint("status <> 'REJECTED' or rejected_code is not null", name="rejected"),
        Index("ix_uploads_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_uploads_unused", "created_at", postgresql_where=text("used_at is null")),
        Index(
            "ix_uploads_waiting",
            "user_id",
            "created_at",
            postgresql_where=text("received_at is null"),
        ),
    )
    access = Access(read=Owner())
    lifecycle = Lifecycle(
        "status",
        UploadStatus,
        initial=(UploadStatus.AWAITING,),
        transitions={
            UploadStatus.AWAITING: (
                UploadStatus.READY,
                UploadStatus.REJECTED,
                UploadStatus.DELETED,
            ),
            UploadStatus.REJECTED: (UploadStatus.READY, UploadStatus.DELETED),
            UploadStatus.READY: (UploadStatus.DELETED,),
        },
    )
    watch = Watch("upload.updated", inserts=False)
    on_erase = Delete()
    export = Export(files={"path": "stored_content_type"})
    on_merge = Move(changes={"folder_id": "coalesce(t.folder_id, t.user_id)"})
    # Refused by `app.create_upload` and `app.reserve_upload_bytes`: what waits counts for a while.
    quota = TableQuota(
        guests=Limit(500, 100_000_000),
        members=Limit(10_000, 500_000_000),
        excess="COUNT",
        delete_with="deleteUpload",
        counts="Photos and masks, announced ones too.",
    )


class UploadTerms(Base):
    """How uploads are announced in this deployment; one row, written from the settings.

    `waiting` is how long what was announced is counted: its bytes, and the uploads themselves, of
    which no more than `waiting_limit` may be without their photo.
    """

    __tablename__ = "upload_terms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    url_lasts: Mapped[timedelta] = mapped_column(Interval)
    waiting: Mapped[timedelta] = mapped_column(Interval)
    waiting_limit: Mapped[int]

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint("waiting_limit > 0 and url_lasts > '0' and waiting > '0'", name="terms"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
