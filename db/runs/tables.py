"""Runs of workflows, the lines an organization has, and what the simulator dialled."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member, Nobody, Watch
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Keep
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State, is_one_of
from db.core.quotas import Bound

TRANSCRIPT_LIMIT_BYTES = 262_144
VARIABLES_LIMIT_BYTES = 16_384


class RunStatus(State):
    """Where a call stands."""

    QUEUED = "QUEUED", "Waiting for a free line."
    DIALLING = "DIALLING", "The provider was asked to call."
    RINGING = "RINGING", "It rings."
    IN_PROGRESS = "IN_PROGRESS", "Somebody, or something, has answered."
    COMPLETED = "COMPLETED", "There was a conversation."
    VOICEMAIL = "VOICEMAIL", "A machine answered."
    BUSY = "BUSY", "The line was busy."
    NO_ANSWER = "NO_ANSWER", "Nobody answered."
    FAILED = "FAILED", "It could not be made."
    CANCELLED = "CANCELLED", "It was called off."


ENDS = (
    RunStatus.COMPLETED,
    RunStatus.VOICEMAIL,
    RunStatus.BUSY,
    RunStatus.NO_ANSWER,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
)
LIVE = (RunStatus.QUEUED, RunStatus.DIALLING, RunStatus.RINGING, RunStatus.IN_PROGRESS)
_ANSWERED_ENDS = (
    RunStatus.COMPLETED,
    RunStatus.VOICEMAIL,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
)


class WorkflowRun(Base):
    """One call to one number, by the version that was current when it was asked for.

    It is the workflow's organization's, and so is what it uses. `enqueued_at` is when it was given
    a line, `dialled_at` when the provider was asked, after which nobody asks again without looking
    whether the call is there. `collected_at` is when cost, transcript and recording were noted,
    once. `checked_at` is when the provider last told something of it. `cost_micro_usd` is in
    millionths of a US dollar.
    """

    __tablename__ = "workflow_runs"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("workflow_versions.id", ondelete="CASCADE"), index=True
    )
    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    contact_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("campaign_contacts.id", ondelete="CASCADE")
    )
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    retry_reason: Mapped[str | None]
    phone_number: Mapped[str]
    variables: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(server_default=RunStatus.QUEUED)
    provider: Mapped[str | None]
    provider_call_id: Mapped[str | None]
    error: Mapped[str | None]
    duration_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    cost_micro_usd: Mapped[int | None] = mapped_column(BigInteger)
    usage: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    transcript: Mapped[str | None]
    recording_path: Mapped[str | None]
    created_at: Mapped[Timestamp]
    enqueued_at: Mapped[OptionalTimestamp]
    dialled_at: Mapped[OptionalTimestamp]
    answered_at: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]
    collected_at: Mapped[OptionalTimestamp]
    checked_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("phone_number ~ '^\\+[1-9][0-9]{6,14}$'", name="phone_number"),
        CheckConstraint("duration_seconds >= 0 and cost_micro_usd >= 0", name="figures"),
        CheckConstraint(
            f"({is_one_of('status', *ENDS)}) = (ended_at is not null)", name="ended_at"
        ),
        Index("ix_workflow_runs_workflow_id", "workflow_id", "created_at", "id"),
        Index("ix_workflow_runs_workflow_id_status", "workflow_id", "status", "created_at", "id"),
        Index("ix_workflow_runs_organization_id", "organization_id", "created_at", "id"),
        Index(
            "ix_workflow_runs_organization_id_status",
            "organization_id",
            "status",
            "created_at",
            "id",
        ),
        Index(
            "ix_workflow_runs_live",
            "organization_id",
            "created_at",
            "id",
            postgresql_where=text(is_one_of("status", *LIVE)),
        ),
        Index("ix_workflow_runs_campaign_id", "campaign_id", "created_at", "id"),
        Index("ix_workflow_runs_campaign_id_status", "campaign_id", "status", "created_at", "id"),
        # A contact is called for the first, second, third time once each.
        Index("uq_workflow_runs_contact_id", "contact_id", "attempt", unique=True),
        Index("ix_workflow_runs_provider_call_id", "provider_call_id"),
        Index(
            "ix_workflow_runs_recording_path",
            "recording_path",
            postgresql_where=text("recording_path is not null"),
        ),
    )
    large: ClassVar = {
        "transcript": TRANSCRIPT_LIMIT_BYTES,
        "variables": VARIABLES_LIMIT_BYTES,
        "usage": 4_096,
    }
    access = Access(
        read=AnyOf(Member("organization_id"), Admin()),
        hidden=("enqueued_at", "collected_at", "checked_at"),
        service=("SELECT",),
    )
    lifecycle = Lifecycle(
        "status",
        RunStatus,
        initial=(RunStatus.QUEUED,),
        transitions={
            RunStatus.QUEUED: (RunStatus.DIALLING, RunStatus.FAILED, RunStatus.CANCELLED),
            RunStatus.DIALLING: (RunStatus.RINGING, RunStatus.IN_PROGRESS, *ENDS),
            RunStatus.RINGING: (RunStatus.IN_PROGRESS, *ENDS),
            RunStatus.IN_PROGRESS: _ANSWERED_ENDS,
        },
    )
    watch = Watch("run.updated", deferred=("transcript", "variables"))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("What the plan allows in a month; 1,000 of an organization wait at most.")


class CallLines(Base):
    """How many calls an organization makes at once; its lock gives those that wait their order."""

    __tablename__ = "call_lines"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    at_once: Mapped[int] = mapped_column(server_default=text("20"))

    __table_args__ = (CheckConstraint("at_once between 1 and 1000", name="at_once"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("One for each organization.")


class SimulatedCall(Base):
    """A call in the simulator's telephone network, which outlives the worker that made it.

    `dials` counts how often it was asked for: once, whatever happened to workers.
    """

    __tablename__ = "simulated_calls"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("workflow_runs.id", ondelete="CASCADE"), primary_key=True
    )
    dials: Mapped[int] = mapped_column(server_default=text("1"))
    plan: Mapped[Json]
    placed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("One for each simulated run.")
