"""Partners: requests to connect, who is connected with whom, what each shows the other, blocks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AnyOf, Group, Member, Nobody, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound


class PartnerRequestStatus(State):
    """Where a request to connect stands."""

    PENDING = "PENDING", "Nobody has answered it; that is possible for 5 minutes."
    ACCEPTED = "ACCEPTED", "The two are connected."
    DECLINED = "DECLINED", "Whoever was asked does not want to."
    CANCELLED = "CANCELLED", "Whoever asked took it back."
    EXPIRED = "EXPIRED", "Nobody answered in time."


class PartnerStatus(State):
    """What a partner is to a user."""

    CONNECTED = "CONNECTED", "The two see of each other what each of them shares."
    DISCONNECTED = "DISCONNECTED", "They see nothing of each other, and may connect again."


class SharingLevel(State):
    """What a user shows a partner."""

    ALL = "ALL", "All answers, scores and boundaries."
    OVERLAPPING = "OVERLAPPING", "Answers to what both are open to, and demographics."
    DEMOGRAPHICS = "DEMOGRAPHICS", "Demographics alone."


def shown_at(*levels: SharingLevel, whose: str = "user_id") -> Member:
    """The partners to whom the user in the column `whose` shows it, at one of the levels."""
    return Member(whose, levels, "sharing")


class PartnerRequest(Base):
    """Somebody asks an e-mail address to connect; whether it has an account, only its owner sees.

    `recipient_id` is the account that had the address when the request was delivered, null without
    one and for who has blocked the requester. `delivered_at` is set for every request, as its event
    must look the same to who asked. PENDING after `expires_at` is as good as EXPIRED.
    """

    __tablename__ = "partner_requests"

    id: Mapped[UuidKey]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    requester_name: Mapped[str | None]
    email: Mapped[str]
    email_key: Mapped[str]
    recipient_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=PartnerRequestStatus.PENDING)
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[OptionalTimestamp]
    delivered_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("recipient_id <> requester_id", name="recipient_id"),
        Index(
            "uq_partner_requests_pending",
            "requester_id",
            "email_key",
            unique=True,
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("ix_partner_requests_requester_id", "requester_id", "created_at", "id"),
        Index("ix_partner_requests_recipient_id", "recipient_id", "created_at", "id"),
        Index("ix_partner_requests_email_key_created_at", "email_key", "created_at"),
        Index("ix_partner_requests_due", "expires_at", postgresql_where=text("status = 'PENDING'")),
        Index("ix_partner_requests_created_at", "created_at"),
    )
    access = Access(
        read=AnyOf(Owner("requester_id"), Owner("recipient_id")),
        hidden=("email_key",),
        service=("SELECT", "DELETE"),
    )
    watch = Watch("partner_request.changed")
    lifecycle = Lifecycle(
        "status",
        PartnerRequestStatus,
        initial=(PartnerRequestStatus.PENDING,),
        transitions={
            PartnerRequestStatus.PENDING: (
                PartnerRequestStatus.ACCEPTED,
                PartnerRequestStatus.DECLINED,
                PartnerRequestStatus.CANCELLED,
                PartnerRequestStatus.EXPIRED,
            )
        },
    )
    on_erase = (
        Delete("requester_id"),
        Delete("recipient_id"),
        Delete("email_key", by="email_key"),
    )
    on_merge = KeepTheMembers()
    quota = Bound("One person asks 20 times in an hour; requests go after a day.")
    expiries = (
        Expiry(
            "partner requests of a day ago", "created_at < now() - interval '1 day'", "created_at"
        ),
    )


class Partner(Base):
    """A user's partner; the two of a connection have a row each, which change together.

    `sharing` is what the user shows the partner, `shared` what the partner shows the user: it names
    the rows of the partner's that the user may read. The ten that were connected last are kept.
    """

    __tablename__ = "partners"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    display_name: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=PartnerStatus.CONNECTED)
    sharing: Mapped[str] = mapped_column(server_default=SharingLevel.OVERLAPPING)
    shared: Mapped[str] = mapped_column(server_default=SharingLevel.OVERLAPPING)
    connected_at: Mapped[Timestamp]
    last_used_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "partner_id"),
        CheckConstraint("user_id <> partner_id", name="partner_id"),
        CheckConstraint("sharing in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="sharing"),
        CheckConstraint("shared in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="shared"),
        Index("ix_partners_user_id_last_used_at_id", "user_id", "last_used_at", "id"),
    )
    access = Access(read=Owner(), service=("SELECT",))
    watch = Watch("partners.changed", deletes=True)
    # A user shares with those who have a row that names them.
    group = Group(
        "sharing",
        key="partner_id",
        users=("user_id",),
        role="shared",
        counts={"status": (PartnerStatus.CONNECTED,)},
    )
    lifecycle = Lifecycle(
        "status",
        PartnerStatus,
        initial=(PartnerStatus.CONNECTED,),
        transitions={
            PartnerStatus.CONNECTED: (PartnerStatus.DISCONNECTED,),
            PartnerStatus.DISCONNECTED: (PartnerStatus.CONNECTED,),
        },
    )
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    quota = Bound("Ten of a user are kept; connecting drops the one used least recently.")


class PartnerBlock(Base):
    """A user does not want to be asked by another, who is not told."""

    __tablename__ = "partner_blocks"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    blocked_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "blocked_id"),
        CheckConstraint("user_id <> blocked_id", name="blocked_id"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = (Delete("user_id"), Delete("blocked_id"))
    export = NotExported("Whom they blocked is the other's to know as little as theirs to take.")
    on_merge = KeepTheMembers()
    quota = Bound("One for each partner and request of a user.")
