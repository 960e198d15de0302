"""E-mails that are to be sent, and how their sending ended."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Bound


class EmailStatus(State):
    """How far an e-mail is. What a server may have taken is never handed over again."""

    QUEUED = "QUEUED", "Not handed to a server yet; a worker tries."
    SENDING = "SENDING", "A worker hands it over, or died while it did."
    SENT = "SENT", "The server took it."
    FAILED = "FAILED", "It was refused for good, or no server took it in time."
    UNCERTAIN = "UNCERTAIN", "It was handed over and nobody knows whether it was taken."


class Email(Base):
    """An e-mail to one address, made of a template when it is sent.

    `parameters` hold no secret: codes and tokens are derived of the ids in them. They go with
    `recipient` when the sending has ended. `user_id` is the account that the mail is about; what
    waits goes with it. `attempts` counts the tries and fences them: an earlier one can hand over
    nothing once a later has begun. `error` is what the server said, never with an address.
    """

    __tablename__ = "emails"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    template: Mapped[str]
    recipient: Mapped[str | None]
    locale: Mapped[str | None]
    parameters: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(server_default=EmailStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    created_at: Mapped[Timestamp]
    claimed_at: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("recipient !~ '[[:cntrl:]]'", name="recipient"),
        CheckConstraint(
            "(ended_at is null) = (status in ('QUEUED', 'SENDING'))"
            " and (ended_at is null) = (recipient is not null)",
            name="ended_at",
        ),
        CheckConstraint("ended_at is null or parameters = '{}'", name="parameters"),
        Index("ix_emails_created_at", "created_at"),
    )
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    # The last one, about an account that is gone, is nobody's; once sent it has no address.
    on_erase = Delete()
    export = NotExported("What was sent to the user.")
    on_merge = Move()
    lifecycle = Lifecycle(
        "status",
        EmailStatus,
        initial=(EmailStatus.QUEUED,),
        transitions={
            EmailStatus.QUEUED: (EmailStatus.SENDING, EmailStatus.FAILED),
            EmailStatus.SENDING: (
                EmailStatus.SENT,
                EmailStatus.FAILED,
                EmailStatus.UNCERTAIN,
                EmailStatus.QUEUED,
            ),
        },
        monotonic=("attempts",),
    )
    quota = Bound("What causes one has a budget of its own; they are kept for 30 days.")
    expiries = (
        Expiry(
            "e-mails older than 30 days", "created_at < now() - interval '30 days'", "created_at"
        ),
    )
