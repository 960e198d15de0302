"""Analyses of profiles, each one that somebody asked for."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Limit, TableQuota

RESULT_LIMIT_BYTES = 131_072


class AnalysisStatus(State):
    """Where the analysis of a profile stands."""

    QUEUED = "QUEUED", "Waiting for a worker; credits held."
    RUNNING = "RUNNING", "A worker is at it."
    SUCCEEDED = "SUCCEEDED", "Done, and the profile has it; the credits are spent."
    FAILED = "FAILED", "It failed; the credits are back."
    CANCELLED = "CANCELLED", "Called off; the credits are back."


class ProfileAnalysis(Base):
    """One analysis of a profile; its parts replace the same ones of the profile's `analysis`."""

    __tablename__ = "profile_analyses"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=AnalysisStatus.QUEUED)
    result: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    credits_charged: Mapped[int] = mapped_column(server_default=text("0"))
    made_offline: Mapped[bool] = mapped_column(server_default=text("false"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[Timestamp]
    finished_at: Mapped[OptionalTimestamp]
    stored_bytes: Mapped[int] = mapped_column(
        Computed("64 + coalesce(octet_length(result::text), 0)", persisted=True)
    )

    __table_args__ = (
        CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="error"),
        CheckConstraint("(status = 'SUCCEEDED') = (result is not null)", name="result"),
        CheckConstraint("credits_charged >= 0", name="credits_charged"),
        CheckConstraint(f"octet_length(result::text) <= {RESULT_LIMIT_BYTES}", name="result_size"),
        Index("ix_profile_analyses_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_profile_analyses_profile_id_created_at_id", "profile_id", "created_at", "id"),
    )
    large: ClassVar = {"result": RESULT_LIMIT_BYTES}
    access = Access(read=Owner(), service=("SELECT",))
    triggers = (
        "note_end after update on profile_analyses for each row"
        " when (new.status <> old.status and new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED'))"
        " execute function app.note_analysis_end()",
    )
    watch = Watch("profile_analysis.updated", inserts=False, deferred=("result",))
    lifecycle = Lifecycle(
        "status",
        AnalysisStatus,
        initial=(AnalysisStatus.QUEUED,),
        transitions={
            AnalysisStatus.QUEUED: (
                AnalysisStatus.RUNNING,
                AnalysisStatus.FAILED,
                AnalysisStatus.CANCELLED,
            ),
            AnalysisStatus.RUNNING: (
                AnalysisStatus.SUCCEEDED,
                AnalysisStatus.FAILED,
                AnalysisStatus.CANCELLED,
            ),
        },
    )
    on_erase = Delete()
    on_merge = Move()
    quota = TableQuota(
        guests=Limit(500, 25_000_000),
        members=Limit(20_000, 500_000_000),
        delete_with="deleteProfile",
    )
