"""Profiles a user keeps, as Aura's clients sync them."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, Json, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.exporting import Export
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota

# Aura's thumbnails are base64 in the row; its analyses and chats are a few kilobytes.
THUMBNAIL_LIMIT_BYTES = 512 * 1024
JSON_LIMIT_BYTES = 256 * 1024
WRITABLE = ("name", "thumbnail", "thumbnail_path", "analysis", "chat_history")
STORED_BYTES = (
    "coalesce(octet_length(name::text), 0) + coalesce(octet_length(thumbnail), 0)"
    " + octet_length(analysis::text) + octet_length(chat_history::text)"
    " + coalesce(\"substring\"(thumbnail_path, '-([0-9]+)[.]')::integer, 0)"
)


class Profile(Base):
    """A profile. `local_id` is the number the client's own database gave it, unique per user.

    `updated_at` is the time of the last change as the client knows it (last write wins);
    `synced_at` is the time this server stored it. `stored_bytes` is the length of its texts and
    JSON, uncompressed, and of its picture. The picture lies in storage at `thumbnail_path`; rows
    from before have it in `thumbnail`, as base64. Source: Aura's migration specification.

    What devices sync by: `position` counts the user's changes (`db/sync/tables.py`), and `versions`
    has for each field group the clock, device and position of the last write; and of each device
    its newest clock (`seen`) and its last write (`last`: the position that it had seen, its clock).
    `device_id` is the device whose sync changed the profile last; the one that made it calls it
    `origin_local_id`.
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
    device_id: Mapped[str | None]
    origin_device_id: Mapped[str | None]
    origin_local_id: Mapped[int | None]
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    versions: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    thumbnail_path: Mapped[str | None]
    stored_bytes: Mapped[int] = mapped_column(Computed(STORED_BYTES, persisted=True))

    __table_args__ = (
        UniqueConstraint("user_id", "local_id"),
        UniqueConstraint("user_id", "origin_device_id", "origin_local_id"),
        CheckConstraint("isfinite(created_at) and isfinite(updated_at)", name="times"),
        Index("ix_profiles_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_profiles_user_id_updated_at_id", "user_id", "updated_at", "id"),
        Index("ix_profiles_user_id_position", "user_id", "position"),
        Index(
            "ix_profiles_thumbnail_path",
            "thumbnail_path",
            postgresql_where=text("thumbnail_path is not null"),
        ),
    )
    access = Access(
        read=Owner(),
        write=Owner(),
        hidden=("origin_device_id", "origin_local_id", "position", "versions"),
        insert=("user_id", "local_id", "created_at", "updated_at", *WRITABLE),
        update=("updated_at", "synced_at", *WRITABLE),
        delete=True,
    )
    on_erase = Delete()
    export = Export(files={"thumbnail_path": "thumbnail_path"})
    client_key = "local_id"
    # Each device counts from 1: another profile may have the number.
    on_merge = Move(clear=("local_id", "origin_local_id"))
    large: ClassVar = {
        "thumbnail": THUMBNAIL_LIMIT_BYTES,
        "analysis": JSON_LIMIT_BYTES,
        "chat_history": JSON_LIMIT_BYTES,
    }
    watch = Watch(
        "profiles.changed",
        deletes=True,
        deferred=("thumbnail", "analysis", "chat_history"),
        in_bulk=True,
    )
    quota = TableQuota(
        guests=Limit(200, 25_000_000),
        members=Limit(20_000, 250_000_000),
        delete_with="deleteProfile",
        in_bulk=True,
    )
    # A sync sets positions and versions itself.
    triggers = (
        "note_insert before insert on profiles for each row when (new.position = 0)"
        " execute function app.note_profile_change()",
        "note_update before update on profiles for each row"
        " when (new.position = old.position and new.versions = old.versions)"
        " execute function app.note_profile_change()",
        "note_delete after delete on profiles referencing old table as old_rows"
        " for each statement execute function app.bury_profiles()",
    )
