"""Uploads, the generations made from them, and the cache of finished results."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, Json, Moment, OptionalMoment, UuidKey
from db.catalog.tables import Tool
from db.rls import Access, Internal, Owned, Watch


class Upload(Base):
    """A place for one photo. `path` is where its cleaned bytes lie once `status` is READY.

    `original_sha256` is of the bytes as they came; the stored ones are decoded and re-encoded.
    """

    __tablename__ = "uploads"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(server_default="AWAITING")
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
    expires_at: Mapped[datetime]
    created_at: Mapped[Moment]
    received_at: Mapped[OptionalMoment]

    __table_args__ = (
        CheckConstraint("status in ('AWAITING', 'READY', 'REJECTED')", name="status"),
        CheckConstraint(
            "status <> 'READY' or (original_sha256 is not null and stored_content_type is not null"
            " and width_pixels > 0 and height_pixels > 0 and size_bytes > 0)",
            name="ready",
        ),
        CheckConstraint("status <> 'REJECTED' or rejected_code is not null", name="rejected"),
    )
    access = Access(
        Owned(), insert=("user_id", "content_type", "declared_size_bytes", "expires_at")
    )
    watch = Watch("upload.updated", inserts=False)


class Generation(Base):
    """One run of a tool on one upload, from QUEUED to SUCCEEDED, FAILED or CANCELLED."""

    __tablename__ = "generations"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    tool_id: Mapped[str] = mapped_column(ForeignKey("tools.id"), index=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("uploads.id"), index=True)
    status: Mapped[str] = mapped_column(server_default="QUEUED")
    parameters: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    cache_key: Mapped[str]
    result: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    result_path: Mapped[str | None]
    result_content_type: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    credits_charged: Mapped[int] = mapped_column(server_default=text("0"))
    from_cache: Mapped[bool] = mapped_column(server_default=text("false"))
    made_offline: Mapped[bool] = mapped_column(server_default=text("false"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    created_at: Mapped[Moment]
    started_at: Mapped[OptionalMoment]
    finished_at: Mapped[OptionalMoment]

    tool: Mapped[Tool] = relationship(lazy="raise")
    upload: Mapped[Upload] = relationship(lazy="raise")

    __table_args__ = (
        CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')", name="status"
        ),
        CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="error"),
        CheckConstraint("credits_charged >= 0", name="credits_charged"),
        Index("ix_generations_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_generations_user_id_status", "user_id", "status", "created_at", "id"),
    )
    access = Access(Owned(), hidden=("cache_key",), service=("SELECT", "UPDATE"))
    watch = Watch("generation.updated")


class CachedResult(Base):
    """A finished result under the SHA-256 of user, tool, photo and parameters (from Sparky)."""

    __tablename__ = "result_cache"

    cache_key: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    result: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    result_path: Mapped[str | None]
    result_content_type: Mapped[str | None]
    made_offline: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Moment]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    access = Access(Internal())
