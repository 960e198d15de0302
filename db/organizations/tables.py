"""Organizations, their members with roles, and invitations by e-mail."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Group, Member, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete, Keep
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import MergedBy, Move
from db.core.quotas import Bound


class InvitationStatus(State):
    """Where an invitation stands; one that nobody answers within 7 days is as good as none."""

    PENDING = "PENDING", "Nobody has answered it."
    ACCEPTED = "ACCEPTED", "The invited person is a member."
    REVOKED = "REVOKED", "It was taken back."


MANAGERS = ("OWNER", "ADMIN")


class Organization(Base):
    """People who have rows in common. `updated_at` also tells that its members changed.

    `plan_id` is the plan that counts now, `seats` how many of its seats are subscribed. The month
    of calls begins on the `usage_reset_day`: the day it was made, or the 28th. At `deletes_at` it
    goes with all that it has; until then nothing new begins in it.
    """

    __tablename__ = "organizations"

    id: Mapped[UuidKey]
    name: Mapped[str]
    plan_id: Mapped[str] = mapped_column(
        ForeignKey("organization_plans.id"), server_default="free", index=True
    )
    seats: Mapped[int] = mapped_column(server_default=text("1"))
    usage_reset_day: Mapped[int] = mapped_column(server_default=text("1"))
    deletes_at: Mapped[OptionalTimestamp] = mapped_column(index=True)
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint("seats >= 1", name="seats"),
        # A day that every month has.
        CheckConstraint("usage_reset_day between 1 and 28", name="usage_reset_day"),
    )
    access = Access(
        read=AnyOf(Member("id"), Admin()),
        write=Member("id", MANAGERS),
        update=("name", "updated_at"),
        service=("SELECT",),
    )
    watch = Watch("organization.changed", inserts=False)
    on_erase = Keep("Its members'; it goes with the last of them.", ())
    export = Export(
        rows="t.id in (select m.organization_id from organization_members m where m.user_id = $1)"
    )
    quota = Bound("A user may own 20; making somebody an owner counts them.")


class OrganizationMember(Base):
    """A user's membership. `email` and `display_name` are the user's, kept the same by triggers.

    They stand here because members see them of one another, and nothing else of an account.
    A robot is whom an API key of the organization acts as; it takes no seat.
    """

    __tablename__ = "organization_members"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[str]
    email: Mapped[str | None]
    display_name: Mapped[str | None]
    joined_at: Mapped[Timestamp]
    is_robot: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        CheckConstraint("role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')", name="role"),
        CheckConstraint("not is_robot or role <> 'OWNER'", name="is_robot"),
        Index("uq_organization_members_user_id", "user_id", "organization_id", unique=True),
        Index("ix_organization_members_organization_id", "organization_id", "joined_at", "id"),
        Index("ix_organization_members_user_id_joined_at_id", "user_id", "joined_at", "id"),
    )
    access = Access(read=AnyOf(Owner(), Member("organization_id"), Admin()), service=("SELECT",))
    group = Group("organization", key="organization_id", role="role")
    on_erase = Delete()
    on_merge = MergedBy("merge_memberships")
    triggers = (
        "name_member before insert on organization_members for each row"
        " execute function app.name_member()",
        "end_membership after delete on organization_members for each row"
        " execute function app.end_membership()",
    )
    quota = Bound("An organization has at most 1,000; accepting counts them.")


class OrganizationInvitation(Base):
    """An invitation of an e-mail address; its token is made of its id and never stored.

    PENDING after `expires_at` is as good as none. The account that accepts has the same address, by
    `email_key` (`db/accounts/emails.py`).
    """

    __tablename__ = "organization_invitations"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    email: Mapped[str]
    email_key: Mapped[str]
    role: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="PENDING")
    invited_by: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    accepted_by: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')", name="role"),
        Index(
            "uq_organization_invitations_pending",
            "organization_id",
            "email_key",
            unique=True,
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("ix_organization_invitations_organization_id", "organization_id", "created_at", "id"),
        Index("ix_organization_invitations_expires_at", "expires_at"),
        Index("ix_organization_invitations_email_key_created_at", "email_key", "created_at"),
    )
    access = Access(
        read=AnyOf(Member("organization_id", MANAGERS), Admin()),
        hidden=("email_key",),
        service=("SELECT", "DELETE"),
    )
    # With those that were sent to the address of who leaves.
    on_erase = (
        Anonymise("invited_by"),
        Anonymise("accepted_by"),
        Delete("email_key", by="email_key"),
    )
    export = NotExported("The organization's.")
    expiries = (
        Expiry(
            "invitations that ended 90 days ago",
            "expires_at < now() - interval '90 days'",
            "expires_at",
        ),
    )
    lifecycle = Lifecycle(
        "status",
        InvitationStatus,
        initial=(InvitationStatus.PENDING,),
        transitions={
            InvitationStatus.PENDING: (InvitationStatus.ACCEPTED, InvitationStatus.REVOKED)
        },
    )
    on_merge = Move()
    quota = Bound("200 of an organization may be pending; they go 90 days after their time.")
