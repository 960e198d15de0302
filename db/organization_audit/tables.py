"""The audit log of organizations: who did what in them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member
from db.core.base import Base, BigKey, Timestamp
from db.core.erasing import Anonymise, Call
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.merge_rules import Stay
from db.core.quotas import Bound
from db.organizations.tables import MANAGERS


class OrganizationAuditEntry(Base):
    """What somebody did in an organization; a copy of their line in `audit_log` made by a trigger.

    It says nothing of where they were, which is theirs alone. `actor` is their e-mail address, or
    their key's name, as it was then. `subject` is the global id of whom or what it concerns, and
    `role` what they are from then on.
    """

    __tablename__ = "organization_audit_log"

    id: Mapped[BigKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    actor: Mapped[str | None]
    action: Mapped[str]
    subject: Mapped[str | None]
    role: Mapped[str | None]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        Index("ix_organization_audit_log_organization_id", "organization_id", "created_at", "id"),
        Index("ix_organization_audit_log_user_id", "user_id"),
        Index("ix_organization_audit_log_created_at", "created_at"),
        # Entries about members, for when one of them leaves.
        Index(
            "ix_organization_audit_log_subject",
            "subject",
            postgresql_where=text("starts_with(subject, 'user_')"),
        ),
    )
    access = Access(
        read=AnyOf(Member("organization_id", MANAGERS), Admin()), service=("SELECT", "DELETE")
    )
    on_erase = (Call("forget_in_organization_audit"), Anonymise("user_id"))
    export = NotExported("The organization's; what somebody did is in their own audit log, too.")
    on_merge = Stay("What was noted is never rewritten.")
    quota = Bound("One for each change in an organization, as in the audit log; 400 days.")
    expiries = (
        Expiry(
            "audit logs of organizations after 400 days",
            "created_at < now() - interval '400 days'",
            "created_at",
        ),
    )
