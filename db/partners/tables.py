"""Partners: requests to connect, who is connected with whom, what each shows the other, blocks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AllOf, AnyOf, Group, Member, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Call, Delete
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound

# Of a user; `app.dropped_partners` takes off whoever is beyond.
PARTNERS_LIMIT = 10


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
    OVERLAPPING = (
        "OVERLAPPING",
        "Answers to what both are open to, how well the two fit and by what, hard limits that the "
        "partner's wishes meet, and demographics.",
    )
    DEMOGRAPHICS = "DEMOGRAPHICS", "Demographics, and the score of how well the two fit."


OFF_THE_LIST = text("partner_id is not null")


def shown_at(*levels: SharingLevel, whose: str = "user_id") -> Member:
    """The partners to whom the user in the column `whose` shows it, at one of the levels."""
    return Member(whose, levels, "sharing")


class PartnerRequest(Base):
    """Somebody asks an e-mail address to connect; whether it has an account, only its owner sees.

    `recipient_id` is the account that had the address when the request was delivered, null without
    one, for who has blocked the requester and for who has just declined. `delivered_at` is set for
    every request, as its event must look the same to who asked. PENDING after `expires_at` is as
    good as EXPIRED. `sharing` is what the requester will show, null for what they showed before.
    """

    __tablename__ = "partner_requests"

    id: Mapped[UuidKey]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    requester_name: Mapped[str | None]
    email: Mapped[str | None]
    email_key: Mapped[str]
    recipient_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=PartnerRequestStatus.PENDING)
    sharing: Mapped[str | None]
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[OptionalTimestamp]
    delivered_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("recipient_id <> requester_id", name="recipient_id"),
        CheckConstraint("sharing in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="sharing"),
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
        hidden=("email_key", "sharing"),
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
    # Who asked must not read there whether the address has an account, or has blocked them.
    export = Export(
        rows="$1 in (t.requester_id, t.recipient_id)", omit=("recipient_id", "delivered_at")
    )
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
    `compared_at` is when their compatibility was worked out, `shared_changed_at` when something
    that the partner shows has changed. A connection `is_paused` while one of the two has asked for
    the deletion of their account.
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
    compared_at: Mapped[OptionalTimestamp]
    shared_changed_at: Mapped[OptionalTimestamp]
    is_paused: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        UniqueConstraint("user_id", "partner_id"),
        CheckConstraint("user_id <> partner_id", name="partner_id"),
        CheckConstraint("sharing in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="sharing"),
        CheckConstraint("shared in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="shared"),
        CheckConstraint("not is_paused or status = 'DISCONNECTED'", name="is_paused"),
        Index("ix_partners_user_id_last_used_at_id", "user_id", "last_used_at", "id"),
    )
    access = Access(read=Owner(), hidden=("is_paused",), service=("SELECT",))
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
    # The events that this makes go to the partners, who are not to read the name there.
    on_erase = (Call("erase_partners"), Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    quota = Bound("Ten of a user are kept; connecting drops who is not connected, or used least.")


class SharingChoice(Base):
    """What a user shows somebody who is off their list, should the two connect again.

    Without a partner it is what new partners are shown. Without such a row that is OVERLAPPING.
    """

    __tablename__ = "sharing_choices"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    partner_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    level: Mapped[str]
    chosen_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "partner_id", postgresql_nulls_not_distinct=True),
        CheckConstraint("user_id <> partner_id", name="partner_id"),
        CheckConstraint("level in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name="level"),
        Index("ix_sharing_choices_chosen_at", "chosen_at", postgresql_where=OFF_THE_LIST),
    )
    access = Access(read=Owner(), service=("SELECT", "DELETE"))
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    quota = Bound("One for new partners, and the 100 made last for partners off the list.")
    expiries = (
        Expiry(
            "what was shared with partners who were removed two years ago",
            "partner_id is not null and chosen_at < now() - interval '2 years'",
            "chosen_at",
        ),
    )


COMPATIBILITY_WORDS = ("EXCEPTIONAL", "HIGH", "MODERATE", "LOWER", "CHALLENGING")
OVERLAPS = ("MUTUAL", "GROWTH", "TOPIC")
COMPARED = (*OVERLAPS, "COMPATIBLE", "OWN_ONLY", "PARTNER_ONLY")
# Whose these rows are, and of whom they tell: that partner's level says whether they are shown.
UserId = Annotated[UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)]
ComparisonId = Annotated[
    UUID,
    mapped_column(ForeignKey("compatibilities.connection_id", ondelete="CASCADE"), index=True),
]
SHOWN_TO_PARTNER = AllOf(
    Owner(), shown_at(SharingLevel.ALL, SharingLevel.OVERLAPPING, whose="partner_id")
)
OF_TWO = NotExported("It tells of the partner as much, who may show it no more.")
WITH_PARTNERS = Bound("Some for each partner of a user, of whom ten are kept.")


def _if_kind(kinds: tuple[str, ...], column: str) -> Computed:
    """A generated column with another's value in rows of these kinds, as Postgres writes it."""
    listed = ", ".join(f"'{kind}'::text" for kind in kinds)
    met = f"= ANY (ARRAY[{listed}])" if len(kinds) > 1 else f"= {listed}"
    return Computed(f"CASE WHEN kind {met} THEN {column} ELSE NULL::uuid END", persisted=True)


class Compatibility(Base):
    """How well a user and a partner fit, by their newest profiles; each of the two has such a row.

    `connection_id` is the user's row of the partner. `score` is in per cent.
    """

    __tablename__ = "compatibilities"

    connection_id: Mapped[UUID] = mapped_column(
        ForeignKey("partners.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UserId]
    partner_id: Mapped[UserId]
    own_profile_id: Mapped[UUID] = mapped_column(
        ForeignKey("survey_profiles.id", ondelete="CASCADE"), index=True
    )
    partner_profile_id: Mapped[UUID] = mapped_column(
        ForeignKey("survey_profiles.id", ondelete="CASCADE"), index=True
    )
    score: Mapped[int]
    word: Mapped[str]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("score between 0 and 100", name="score"),
        CheckConstraint(f"word in ({', '.join(map(repr, COMPATIBILITY_WORDS))})", name="word"),
    )
    access = Access(
        read=AllOf(Owner(), shown_at(*SharingLevel, whose="partner_id")), service=("SELECT",)
    )
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    export = OF_TWO
    quota = WITH_PARTNERS


class CompatibilityPart(Base):
    """What a compatibility is made of: totals with the `points` they add, domains, sections."""

    __tablename__ = "compatibility_parts"

    id: Mapped[UuidKey]
    connection_id: Mapped[ComparisonId]
    user_id: Mapped[UserId]
    partner_id: Mapped[UserId]
    kind: Mapped[str]
    name: Mapped[str]
    score: Mapped[float | None]
    points: Mapped[float | None]
    domain_of: Mapped[UUID | None] = mapped_column(
        _if_kind(("DOMAIN",), "connection_id"), index=True
    )
    sort_order: Mapped[int]

    __table_args__ = (
        CheckConstraint("kind in ('TOTAL', 'DOMAIN', 'SECTION')", name="kind"),
        CheckConstraint("score between 0 and 100", name="score"),
    )
    access = Access(read=SHOWN_TO_PARTNER, service=("SELECT",))
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    export = OF_TWO
    quota = WITH_PARTNERS


class CompatibilityItem(Base):
    """What the answers to an item say of the two; a partner shows what overlaps, or all of it."""

    __tablename__ = "compatibility_items"

    id: Mapped[UuidKey]
    connection_id: Mapped[ComparisonId]
    user_id: Mapped[UserId]
    partner_id: Mapped[UserId]
    kind: Mapped[str]
    item_id: Mapped[str]
    overlap_of: Mapped[UUID | None] = mapped_column(_if_kind(OVERLAPS, "connection_id"), index=True)
    overlaps_with: Mapped[UUID | None] = mapped_column(_if_kind(OVERLAPS, "partner_id"))

    __table_args__ = (CheckConstraint(f"kind in ({', '.join(map(repr, COMPARED))})", name="kind"),)
    access = Access(
        read=AnyOf(
            AllOf(Owner(), shown_at(SharingLevel.ALL, whose="partner_id")),
            AllOf(Owner(), shown_at(SharingLevel.OVERLAPPING, whose="overlaps_with")),
        ),
        service=("SELECT",),
    )
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    export = OF_TWO
    quota = WITH_PARTNERS


class CompatibilityConflict(Base):
    """A hard limit of one of the two under which the other is eager for something.

    `item_ids` are what the user is eager for under the partner's limit; of a limit of the user's
    own it is empty: what the partner is eager for, their answers say where they show them.
    """

    __tablename__ = "compatibility_conflicts"

    id: Mapped[UuidKey]
    connection_id: Mapped[ComparisonId]
    user_id: Mapped[UserId]
    partner_id: Mapped[UserId]
    limit_key: Mapped[str]
    is_own: Mapped[bool]
    item_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))

    access = Access(read=SHOWN_TO_PARTNER, service=("SELECT",))
    on_erase = (Delete("user_id"), Delete("partner_id"))
    on_merge = KeepTheMembers()
    export = OF_TWO
    quota = WITH_PARTNERS


class PartnerBlock(Base):
    """A user does not want to be asked by another, who is not told; by the name that they knew."""

    __tablename__ = "partner_blocks"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    blocked_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    display_name: Mapped[str | None]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "blocked_id"),
        CheckConstraint("user_id <> blocked_id", name="blocked_id"),
        Index("ix_partner_blocks_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=Owner(), hidden=("blocked_id",), service=("SELECT",))
    on_erase = (Delete("user_id"), Delete("blocked_id"))
    on_merge = KeepTheMembers()
    quota = Bound("One for each partner and request of a user.")
