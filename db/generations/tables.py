"""Generations, what providers did for them, and the cache of finished results."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.catalog.tables import Tool
from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Watch
from db.core.base import Base, Json, OptionalTimestamp, Slug, Timestamp, UuidKey
from db.core.erasing import Call, Delete
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State, is_one_of
from db.core.merge_rules import MergedBy, Move
from db.core.quotas import Bound, Limit, TableQuota
from db.uploads.tables import Upload


class GenerationStatus(State):
    """Where a generation stands."""

    QUEUED = "QUEUED", "Waiting for its turn; credits held."
    RUNNING = "RUNNING", "A worker is at it."
    SUCCEEDED = "SUCCEEDED", "Done; the credits are spent."
    FAILED = "FAILED", "It failed; the credits are back."
    CANCELLED = "CANCELLED", "Called off; the credits are back."


UNFINISHED = is_one_of("status", GenerationStatus.QUEUED, GenerationStatus.RUNNING)
STORED_BYTES = (
    "octet_length(parameters::text) + coalesce(octet_length(result::text), 0)"
    " + case status when 'FAILED' then 0 when 'CANCELLED' then 0 else result_bytes end"
)


class Generation(Base):
    """One run of a tool on one upload, from QUEUED to SUCCEEDED, FAILED or CANCELLED.

    `enqueued_at` is when its turn came and its job was made; until then it waits behind the user's
    others. `attempts` counts the workers that began it: a worker may only end the attempt it
    began. `follows_id` names the identical generation whose result it waits for. `mask_upload_id`
    is a picture that is white where the tool works; the tool finds the place itself without one.
    `result_bytes` is what the picture takes, shared or not; before, as much as the photo. The
    picture is kept as it was made; one that `has_watermark` is shown with a watermark on it.
    """

    __tablename__ = "generations"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    tool_id: Mapped[str] = mapped_column(ForeignKey("tools.id"), index=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("uploads.id"), index=True)
    mask_upload_id: Mapped[UUID | None] = mapped_column(ForeignKey("uploads.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=GenerationStatus.QUEUED)
    parameters: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    cache_key: Mapped[str]
    result: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    result_path: Mapped[str | None]
    result_content_type: Mapped[str | None]
    result_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    has_watermark: Mapped[bool] = mapped_column(server_default=text("false"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    credits_charged: Mapped[int] = mapped_column(server_default=text("0"))
    from_cache: Mapped[bool] = mapped_column(server_default=text("false"))
    made_offline: Mapped[bool] = mapped_column(server_default=text("false"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    enqueued_at: Mapped[OptionalTimestamp]
    follows_id: Mapped[UUID | None] = mapped_column(ForeignKey("generations.id"), index=True)
    created_at: Mapped[Timestamp]
    started_at: Mapped[OptionalTimestamp]
    finished_at: Mapped[OptionalTimestamp]
    stored_bytes: Mapped[int] = mapped_column(Computed(STORED_BYTES, persisted=True))

    tool: Mapped[Tool] = relationship(lazy="raise")
    upload: Mapped[Upload] = relationship(lazy="raise", foreign_keys=upload_id)

    __table_args__ = (
        CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="error"),
        CheckConstraint("credits_charged >= 0", name="credits_charged"),
        CheckConstraint("attempts >= 0", name="attempts"),
        # They are copied into every event of the generation; what is large is an upload.
        CheckConstraint("octet_length(parameters::text) <= 8192", name="parameters"),
        Index("ix_generations_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_generations_user_id_status", "user_id", "status", "created_at", "id"),
        Index(
            "ix_generations_unfinished",
            "user_id",
            "created_at",
            "id",
            postgresql_where=text(UNFINISHED),
        ),
        # Single flight, kept by the database: of identical generations one runs, the rest follow.
        Index(
            "uq_generations_cache_key_in_flight",
            "cache_key",
            unique=True,
            postgresql_where=text(f"{UNFINISHED} and follows_id is null"),
        ),
    )
    large: ClassVar = {"parameters": 16_384, "result": 65_536}
    access = Access(
        read=AnyOf(Owner(), Admin()),
        hidden=("cache_key", "attempts", "enqueued_at", "follows_id"),
        service=("SELECT",),
    )
    lifecycle = Lifecycle(
        "status",
        GenerationStatus,
        initial=(
            GenerationStatus.QUEUED,
            GenerationStatus.SUCCEEDED.when("new.from_cache", "the cache has its result"),
        ),
        transitions={
            GenerationStatus.QUEUED: (
                GenerationStatus.RUNNING.when("new.attempts > old.attempts", "an attempt begins"),
                GenerationStatus.SUCCEEDED.when("new.from_cache", "the one it follows does"),
                GenerationStatus.FAILED,
                GenerationStatus.CANCELLED,
            ),
            GenerationStatus.RUNNING: (
                GenerationStatus.SUCCEEDED,
                GenerationStatus.FAILED,
                GenerationStatus.CANCELLED,
            ),
            GenerationStatus.FAILED: (GenerationStatus.QUEUED,),
        },
        monotonic=("attempts",),
    )
    watch = Watch("generation.updated", deletes=True)
    on_erase = (Call("end_generations"), Delete())
    export = Export(files={"result_path": "result_content_type"})
    on_merge = Move(remade={"cache_key": "moved_cache_key"})
    quota = TableQuota(
        guests=Limit(500, 100_000_000),
        members=Limit(20_000, 2_000_000_000),
        delete_with="deleteGeneration",
    )


class CachedResult(Base):
    """A finished result under the SHA-256 of user, tool, photo and parameters (from Sparky)."""

    __tablename__ = "result_cache"

    cache_key: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    result: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    result_path: Mapped[str | None]
    result_content_type: Mapped[str | None]
    result_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    made_offline: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    access = Access(read=Nobody())
    on_erase = Delete()
    export = NotExported("Copies of the user's generations.")
    on_merge = MergedBy("merge_results")
    quota = Bound("One for each finished generation that was paid for, until it expires.")
    expiries = (Expiry("expired results", "expires_at <= now()", "expires_at"),)


class GenerationLog(Base):
    """One attempt at a generation: which provider, how long, what it used and cost, how it ended.

    `outcome` is SUCCEEDED, REFUSED (the provider will never make it), FAILED or TIMED_OUT (it
    could not now), CANCELLED, DISCARDED (made, but the generation had ended or another worker had
    taken over), ABANDONED (its worker died) or STORAGE_FAILED. `latency_milliseconds` is the
    provider's own time; `cost_micro_usd` is in millionths of a US dollar.
    """

    __tablename__ = "ai_generation_logs"

    id: Mapped[UuidKey]
    generation_id: Mapped[UUID] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    tool_id: Mapped[str] = mapped_column(ForeignKey("tools.id"), index=True)
    attempt: Mapped[int]
    provider: Mapped[str]
    outcome: Mapped[str]
    latency_milliseconds: Mapped[int]
    usage: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    cost_micro_usd: Mapped[int] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            "outcome in ('SUCCEEDED', 'REFUSED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'DISCARDED',"
            " 'ABANDONED', 'STORAGE_FAILED')",
            name="outcome",
        ),
        CheckConstraint("latency_milliseconds >= 0 and cost_micro_usd >= 0", name="figures"),
        Index("uq_ai_generation_logs_attempt", "generation_id", "attempt", unique=True),
        Index("ix_ai_generation_logs_user_id", "user_id", "created_at"),
        Index("ix_ai_generation_logs_created_at_id", "created_at", "id"),
        Index("ix_ai_generation_logs_outcome", "outcome", "created_at", "id"),
    )
    large: ClassVar = {"usage": 4_096}
    access = Access(read=Admin(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    export = NotExported("The operator's: what providers took.")
    on_merge = Move()
    quota = Bound("At most three for each generation, kept for a year.")
    expiries = (
        Expiry(
            "generation logs older than a year",
            "created_at < now() - interval '1 year'",
            "created_at, id",
        ),
    )


class CircuitState(State):
    """Whether a provider is asked."""

    CLOSED = "CLOSED", "It is asked."
    OPEN = "OPEN", "It rests after 5 failures in a row."
    HALF_OPEN = "HALF_OPEN", "One generation tries it again."


class ProviderCircuit(Base):
    """Whether a provider is asked at all: after too many failures in a row it gets a rest.

    It lasts until `retry_at`; then one generation tries.
    """

    __tablename__ = "provider_circuits"

    provider: Mapped[Slug]
    state: Mapped[str] = mapped_column(server_default=CircuitState.CLOSED)
    consecutive_failures: Mapped[int] = mapped_column(server_default=text("0"))
    retry_at: Mapped[OptionalTimestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("(state = 'CLOSED') = (retry_at is null)", name="retry_at"),
        CheckConstraint("consecutive_failures >= 0", name="consecutive_failures"),
    )
    access = Access(read=Admin(), service=("SELECT",))
    lifecycle = Lifecycle(
        "state",
        CircuitState,
        initial=(CircuitState.CLOSED,),
        transitions={
            CircuitState.CLOSED: (CircuitState.OPEN,),
            CircuitState.OPEN: (CircuitState.HALF_OPEN, CircuitState.CLOSED),
            CircuitState.HALF_OPEN: (CircuitState.OPEN, CircuitState.CLOSED),
        },
    )
    quota = Bound("One for each provider.")
