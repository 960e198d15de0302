"""Coaching sessions about a profile (from Aura)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from db.core.access import Access, Owner, PerCommand, Watch
from db.core.base import Base, Json, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota

JSON_LIMIT_BYTES = 65_536
TEXT_LIMIT_CHARACTERS = 8_000
MOST_UPLOADS = 10
STORED_BYTES = (
    "64 + coalesce(octet_length(match_analysis::text), 0) + octet_length(suggested_responses::text)"
    " + coalesce(octet_length(actual_response), 0) + coalesce(octet_length(score_explanation), 0)"
)


class CoachingSession(Base):
    """What was suggested to answer in a conversation, what the user answered, and how good it was.

    `client_id` is the id that a device gave it, unique per user; `upload_ids` are pictures of the
    conversation. Source: `coaching_sessions` of Aura's server.
    """

    __tablename__ = "coaching_sessions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    client_id: Mapped[str | None]
    upload_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    match_analysis: Mapped[Json | None]
    suggested_responses: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    actual_response: Mapped[str | None]
    response_score: Mapped[int | None]
    score_explanation: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp] = mapped_column(onupdate=text("now()"))
    stored_bytes: Mapped[int] = mapped_column(Computed(STORED_BYTES, persisted=True))

    __table_args__ = (
        UniqueConstraint("user_id", "client_id"),
        CheckConstraint("length(client_id) between 1 and 64", name="client_id"),
        CheckConstraint(f"cardinality(upload_ids) <= {MOST_UPLOADS}", name="uploads"),
        CheckConstraint("response_score between 1 and 10", name="response_score"),
        CheckConstraint(
            f"length(actual_response) <= {TEXT_LIMIT_CHARACTERS}"
            f" and length(score_explanation) <= {TEXT_LIMIT_CHARACTERS}",
            name="texts",
        ),
        CheckConstraint("isfinite(created_at)", name="created_at"),
        Index("ix_coaching_sessions_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_coaching_sessions_profile_id_created_at_id", "profile_id", "created_at", "id"),
    )
    large: ClassVar = {
        "match_analysis": JSON_LIMIT_BYTES,
        "suggested_responses": JSON_LIMIT_BYTES,
    }
    access = Access(
        read=Owner(),
        write=PerCommand(update=Owner(), delete=Owner()),
        update=(
            "match_analysis",
            "suggested_responses",
            "actual_response",
            "response_score",
            "score_explanation",
            "updated_at",
        ),
        delete=True,
        service=("SELECT",),
    )
    on_erase = Delete()
    on_merge = Move(clear=("client_id",))
    watch = Watch(
        "coaching_sessions.changed",
        deletes=True,
        deferred=("match_analysis", "suggested_responses"),
    )
    quota = TableQuota(
        guests=Limit(200, 5_000_000),
        members=Limit(20_000, 100_000_000),
        delete_with="deleteCoachingSession",
    )
