"""Profiles a user keeps, as Aura's clients sync them."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, Json, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota

# Aura's thumbnails are base64 in the row; its analyses and chats are a few kilobytes.
THUMBNAIL_LIMIT_BYTES = 512 * 1024
JSON_LIMIT_BYTES = 256 * 1024
WRITABLE = ("name", "thumbnail", "analysis", "chat_history")
STORED_BYTES = (
    "coalesce(octet_length(name::text), 0) + coalesce(octet_length(thumbnail), 0)"
    " + octet_length(analysis::text) + octet_length(chat_history::text)"
)


class Profile(Base):
    """A profile. `local_id` is the number the client's own database gave it, unique per user.

    `updated_at` is the time of the last change as the client knows it (last write wins);
    `synced_at` is the time this server stored it. `stored_bytes` is the length of its texts and
    JSON, uncompressed. Source: Aura's migration specification.
    """

    __tablename__ = "profiles"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    local_id: Mapped[int | None]
    name: Mapped[str | None] = mapped_column(String(255))
    thumbnail: Mapped[str | None]
    analysis: Mapped[Json]
    chat_history: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp] = mapped_column(onupdate=text("now()"))
    synced_at: Mapped[Timestamp] = mapped_column(onupdate=text("now()"))
    stored_bytes: Mapped[int] = mapped_column(Computed(STORED_BYTES, persisted=True))

    __table_args__ = (
        UniqueConstraint("user_id", "local_id"),
        CheckConstraint("isfinite(created_at) and isfinite(updated_at)", name="times"),
        Index("ix_profiles_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_profiles_user_id_updated_at_id", "user_id", "updated_at", "id"),
    )
    access = Access(
        read=Owner(),
        write=Owner(),
        insert=("user_id", "local_id", "created_at", "updated_at", *WRITABLE),
        update=("updated_at", "synced_at", *WRITABLE),
        delete=True,
    )
    on_erase = Delete()
    client_key = "local_id"
    # Each device counts from 1: another profile may have the number.
    on_merge = Move(clear=("local_id",))
    large: ClassVar = {
        "thumbnail": THUMBNAIL_LIMIT_BYTES,
        "analysis": JSON_LIMIT_BYTES,
        "chat_history": JSON_LIMIT_BYTES,
    }
    watch = Watch(
        "profiles.changed", deletes=True, deferred=("thumbnail", "analysis", "chat_history")
    )
    quota = TableQuota(
        guests=Limit(200, 25_000_000),
        members=Limit(5_000, 250_000_000),
        delete_with="deleteProfile",
    )
