"""Campaigns, the lists of contacts they read, and the contacts they call."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member, Nobody, Watch
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.quotas import Bound

LIST_LIMIT_BYTES = 10_485_760
VARIABLES_LIMIT_BYTES = 16_384


class ContactListStatus(State):
    """Whether a list of contacts has come."""

    AWAITING = "AWAITING", "Nothing was sent yet."
    READY = "READY", "It is there; its rows are read when a campaign begins."


class ContactList(Base):
    """A CSV file with a row for each contact, for the campaigns of an organization."""

    __tablename__ = "contact_lists"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    status: Mapped[str] = mapped_column(server_default=ContactListStatus.AWAITING)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str | None]
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now() + interval '15 minutes'")
    )
    received_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint(f"size_bytes between 1 and {LIST_LIMIT_BYTES}", name="size_bytes"),
        CheckConstraint("(status = 'READY') = (path is not null)", name="path"),
        Index("ix_contact_lists_organization_id", "organization_id", "created_at", "id"),
        Index("ix_contact_lists_created_at", "created_at"),
        Index("ix_contact_lists_path", "path", postgresql_where=text("path is not null")),
    )
    access = Access(
        read=AnyOf(Member("organization_id"), Admin()), service=("SELECT", "UPDATE", "DELETE")
    )
    lifecycle = Lifecycle(
        "status",
        ContactListStatus,
        initial=(ContactListStatus.AWAITING,),
        transitions={ContactListStatus.AWAITING: (ContactListStatus.READY,)},
    )
    expiries = (
        Expiry(
            "lists of contacts after 30 days",
            "created_at < now() - interval '30 days'",
            "created_at",
        ),
    )
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("An organization has at most 100; they go after 30 days.")


class CampaignStatus(State):
    """Where a campaign stands."""

    CREATED = "CREATED", "Not started yet."
    SYNCING = "SYNCING", "Its contacts are being read."
    RUNNING = "RUNNING", "It calls, within its hours."
    PAUSED = (
        "PAUSED",
        "No call begins whose turn is more than two seconds away; those under way go on.",
    )
    COMPLETED = "COMPLETED", "Everybody was called as often as they are to be."
    FAILED = "FAILED", "Its contacts could not be read."
    CANCELLED = "CANCELLED", "It was called off."


class Campaign(Base):
    """A workflow that calls everybody on a list.

    `windows` are the hours in which it calls, in `time_zone`; it always calls when there are none.
    The counts are what a campaign's members see: copied from `campaign_progress` at most four times
    a second. `pause_reason` is why the server paused it.
    """

    __tablename__ = "campaigns"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    workflow_id: Mapped[UUID] = mapped_column(
        ForeignKey("workflows.id", ondelete="CASCADE"), index=True
    )
    contact_list_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("contact_lists.id", ondelete="SET NULL"), index=True
    )
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=CampaignStatus.CREATED)
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    windows: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    starts_at: Mapped[OptionalTimestamp]
    calls_per_second: Mapped[float] = mapped_column(Double, server_default=text("1"))
    concurrency: Mapped[int] = mapped_column(server_default=text("20"))
    max_retries: Mapped[int] = mapped_column(server_default=text("2"))
    retry_delay_seconds: Mapped[int] = mapped_column(server_default=text("120"))
    retry_on_busy: Mapped[bool] = mapped_column(server_default=text("true"))
    retry_on_no_answer: Mapped[bool] = mapped_column(server_default=text("true"))
    retry_on_voicemail: Mapped[bool] = mapped_column(server_default=text("true"))
    contact_count: Mapped[int] = mapped_column(server_default=text("0"))
    refused_row_count: Mapped[int] = mapped_column(server_default=text("0"))
    call_count: Mapped[int] = mapped_column(server_default=text("0"))
    processed_count: Mapped[int] = mapped_column(server_default=text("0"))
    failed_count: Mapped[int] = mapped_column(server_default=text("0"))
    retry_count: Mapped[int] = mapped_column(server_default=text("0"))
    pause_reason: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    started_at: Mapped[OptionalTimestamp]
    synced_at: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 255", name="name"),
        CheckConstraint(
            "calls_per_second > 0 and calls_per_second <= 100", name="calls_per_second"
        ),
        CheckConstraint("concurrency between 1 and 1000", name="concurrency"),
        CheckConstraint("max_retries between 0 and 10", name="max_retries"),
        CheckConstraint("retry_delay_seconds between 0 and 604800", name="retry_delay_seconds"),
        Index("ix_campaigns_organization_id", "organization_id", "created_at", "id"),
        Index(
            "ix_campaigns_organization_id_status", "organization_id", "status", "created_at", "id"
        ),
        Index(
            "ix_campaigns_running", "organization_id", postgresql_where=text("status = 'RUNNING'")
        ),
    )
    large: ClassVar = {"windows": 8_192}
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT",))
    lifecycle = Lifecycle(
        "status",
        CampaignStatus,
        initial=(CampaignStatus.CREATED,),
        transitions={
            CampaignStatus.CREATED: (CampaignStatus.SYNCING, CampaignStatus.CANCELLED),
            CampaignStatus.SYNCING: (
                CampaignStatus.RUNNING,
                CampaignStatus.PAUSED,
                CampaignStatus.COMPLETED,
                CampaignStatus.FAILED,
                CampaignStatus.CANCELLED,
            ),
            CampaignStatus.RUNNING: (
                CampaignStatus.PAUSED,
                CampaignStatus.COMPLETED,
                CampaignStatus.CANCELLED,
            ),
            CampaignStatus.PAUSED: (
                CampaignStatus.RUNNING,
                CampaignStatus.SYNCING,
                CampaignStatus.FAILED,
                CampaignStatus.CANCELLED,
            ),
        },
    )
    watch = Watch("campaign.updated", inserts=False)
    triggers = (
        "release_campaign after update on campaigns for each row"
        " when (old.ended_at is null and new.ended_at is not null)"
        " execute function app.release_campaign()",
    )
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("An organization has at most 1,000, or what its plan allows.")


class CampaignProgress(Base):
    """How far a campaign has come, call by call; `campaigns` shows it a few times a second.

    Until `open_until` calls may be given lines: workers set it again and again within the hours of
    the campaign. `paced_until` is when the next call may be dialled.
    """

    __tablename__ = "campaign_progress"

    campaign_id: Mapped[UUID] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True
    )
    open_until: Mapped[OptionalTimestamp]
    paced_until: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )
    call_count: Mapped[int] = mapped_column(server_default=text("0"))
    processed_count: Mapped[int] = mapped_column(server_default=text("0"))
    failed_count: Mapped[int] = mapped_column(server_default=text("0"))
    retry_count: Mapped[int] = mapped_column(server_default=text("0"))
    shown_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )

    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("One for each campaign.")


class ContactStatus(State):
    """Where a contact of a campaign stands."""

    QUEUED = "QUEUED", "To be called, for the first time or again."
    CALLING = "CALLING", "A call is under way, or waits for its line."
    PROCESSED = "PROCESSED", "They were reached."
    FAILED = "FAILED", "They were not reached, and are not called again."
    CANCELLED = "CANCELLED", "The campaign was called off before they were reached."


class CampaignContact(Base):
    """Somebody on a campaign's list. `calls` is how often they were called."""

    __tablename__ = "campaign_contacts"

    id: Mapped[UuidKey]
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    row_number: Mapped[int]
    phone_number: Mapped[str]
    variables: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(server_default=ContactStatus.QUEUED)
    calls: Mapped[int] = mapped_column(server_default=text("0"))
    next_call_at: Mapped[OptionalTimestamp]
    last_outcome: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("calls >= 0", name="calls"),
        Index(
            "ix_campaign_contacts_organization_id",
            "organization_id",
            "status",
            "campaign_id",
            "row_number",
        ),
        Index("uq_campaign_contacts_row_number", "campaign_id", "row_number", unique=True),
        Index("uq_campaign_contacts_phone_number", "campaign_id", "phone_number", unique=True),
        Index(
            "ix_campaign_contacts_open",
            "campaign_id",
            postgresql_where=text("status in ('QUEUED', 'CALLING')"),
        ),
        Index(
            "ix_campaign_contacts_new",
            "campaign_id",
            "row_number",
            postgresql_where=text("status = 'QUEUED' and calls = 0"),
        ),
        Index(
            "ix_campaign_contacts_again",
            "campaign_id",
            "next_call_at",
            postgresql_where=text("status = 'QUEUED' and calls > 0"),
        ),
    )
    large: ClassVar = {"variables": VARIABLES_LIMIT_BYTES}
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT",))
    lifecycle = Lifecycle(
        "status",
        ContactStatus,
        initial=(ContactStatus.QUEUED,),
        transitions={
            ContactStatus.QUEUED: (ContactStatus.CALLING, ContactStatus.CANCELLED),
            ContactStatus.CALLING: (
                ContactStatus.QUEUED,
                ContactStatus.PROCESSED,
                ContactStatus.FAILED,
                ContactStatus.CANCELLED,
            ),
        },
        monotonic=("calls",),
    )
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("A list has at most 100,000 rows.")


class RefusedRow(Base):
    """A row of a list that nobody is called by, and why."""

    __tablename__ = "refused_rows"

    id: Mapped[UuidKey]
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    row_number: Mapped[int]
    field: Mapped[str | None]
    message: Mapped[str]

    __table_args__ = (
        Index("uq_refused_rows_row_number", "campaign_id", "row_number", unique=True),
    )
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT",))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("The first 1,000 of a campaign.")
