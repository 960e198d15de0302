"""Generations, and the cache of finished results."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, Json, Moment, OptionalMoment, UuidKey
from db.catalog.tables import Tool
from db.rls import Access, Internal, Owned, Watch
from db.uploads.tables import Upload


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
