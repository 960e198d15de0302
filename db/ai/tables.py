"""Runs of language models, what each plan allows of them, and what providers did for them."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, Nobody
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Call, Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State, is_one_of
from db.core.merge_rules import Move
from db.core.quotas import Bound

FEATURES = "feature in ('CHAT', 'ANALYSIS')"


class AiRunStatus(State):
    """Where a run of a language model stands."""

    QUEUED = "QUEUED", "Waiting for a worker; credits held."
    RUNNING = "RUNNING", "A worker is at it."
    SUCCEEDED = "SUCCEEDED", "Done; what it took is paid for."
    FAILED = "FAILED", "It failed; the credits are back."
    CANCELLED = "CANCELLED", "Called off; what was written by then is paid for."


UNFINISHED = is_one_of("status", AiRunStatus.QUEUED, AiRunStatus.RUNNING)


class AiBudget(Base):
    """What a feature may take, for the users of a plan or, without one, for everybody else.

    `model` is the operator's setting where it is null. `credits` are held for a run; with
    `tokens_per_credit` a run is charged by what it took, else all of them.
    """

    __tablename__ = "ai_budgets"

    id: Mapped[UuidKey]
    feature: Mapped[str]
    plan_id: Mapped[str | None] = mapped_column(
        ForeignKey("plans.id", ondelete="CASCADE"), index=True
    )
    model: Mapped[str | None]
    max_output_tokens: Mapped[int]
    context_tokens: Mapped[int]
    daily_tokens: Mapped[int]
    credits: Mapped[int]
    tokens_per_credit: Mapped[int | None]

    __table_args__ = (
        CheckConstraint(FEATURES, name="feature"),
        CheckConstraint("model ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'", name="model"),
        CheckConstraint("max_output_tokens between 16 and 32000", name="max_output_tokens"),
        CheckConstraint("context_tokens between 256 and 200000", name="context_tokens"),
        CheckConstraint("daily_tokens >= 0", name="daily_tokens"),
        CheckConstraint("credits between 0 and 1000", name="credits"),
        CheckConstraint("tokens_per_credit > 0", name="tokens_per_credit"),
        Index(
            "uq_ai_budgets_feature_plan_id",
            "feature",
            "plan_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    quota = Bound("One for each feature and plan.")


class AiRun(Base):
    """One run for a chat's reply or an analysis, whose id it has.

    What the budget allowed is kept as it was when the run was asked for. `attempts` counts the
    workers that began it: a worker may only end the attempt it began. `tokens` is what the
    provider counted in all.
    """

    __tablename__ = "ai_runs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    feature: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=AiRunStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    model: Mapped[str | None]
    max_output_tokens: Mapped[int]
    context_tokens: Mapped[int]
    tokens_per_credit: Mapped[int | None]
    tokens: Mapped[int] = mapped_column(server_default=text("0"))
    credits_charged: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    started_at: Mapped[OptionalTimestamp]
    finished_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint(FEATURES, name="feature"),
        CheckConstraint("attempts >= 0", name="attempts"),
        CheckConstraint("tokens >= 0 and credits_charged >= 0", name="figures"),
        Index("ix_ai_runs_user_id_feature_created_at", "user_id", "feature", "created_at"),
        Index("ix_ai_runs_unfinished", "created_at", postgresql_where=text(UNFINISHED)),
        Index("ix_ai_runs_finished_at", "finished_at"),
    )
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    lifecycle = Lifecycle(
        "status",
        AiRunStatus,
        initial=(AiRunStatus.QUEUED,),
        transitions={
            AiRunStatus.QUEUED: (
                AiRunStatus.RUNNING.when("new.attempts > old.attempts", "an attempt begins"),
                AiRunStatus.FAILED,
                AiRunStatus.CANCELLED,
            ),
            AiRunStatus.RUNNING: (
                AiRunStatus.SUCCEEDED,
                AiRunStatus.FAILED,
                AiRunStatus.CANCELLED,
            ),
        },
        monotonic=("attempts",),
    )
    on_erase = (Call("end_ai_runs"), Delete())
    export = NotExported("What is behind the messages and analyses that are in the archive.")
    on_merge = Move()
    quota = Bound("One for each reply and analysis, three of which are under way; kept 90 days.")
    expiries = (
        Expiry(
            "runs of language models that ended 90 days ago",
            "finished_at < now() - interval '90 days'",
            "finished_at",
        ),
    )


class AiRequestLog(Base):
    """One attempt at a run: which provider, how long, what it used and cost, how it ended.

    `outcome` is as in `ai_generation_logs`. `first_milliseconds` is when the first words came;
    `cost_micro_usd` is in millionths of a US dollar.
    """

    __tablename__ = "ai_request_logs"

    id: Mapped[UuidKey]
    run_id: Mapped[UUID]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    feature: Mapped[str]
    attempt: Mapped[int]
    provider: Mapped[str]
    outcome: Mapped[str]
    latency_milliseconds: Mapped[int]
    first_milliseconds: Mapped[int | None]
    usage: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    cost_micro_usd: Mapped[int] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(FEATURES, name="feature"),
        CheckConstraint(
            "outcome in ('SUCCEEDED', 'REFUSED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'DISCARDED',"
            " 'ABANDONED')",
            name="outcome",
        ),
        CheckConstraint("latency_milliseconds >= 0 and cost_micro_usd >= 0", name="figures"),
        Index("uq_ai_request_logs_attempt", "run_id", "attempt", unique=True),
        Index("ix_ai_request_logs_user_id", "user_id", "created_at"),
        Index("ix_ai_request_logs_created_at_id", "created_at", "id"),
    )
    large: ClassVar = {"usage": 4_096}
    access = Access(read=Admin(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    export = NotExported("The operator's: what providers took.")
    on_merge = Move()
    quota = Bound("One for each attempt at a run, kept for a year.")
    expiries = (
        Expiry(
            "logs of language models older than a year",
            "created_at < now() - interval '1 year'",
            "created_at, id",
        ),
    )
