"""Push tokens of devices, and each notification's delivery to each of them."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound
from db.core.sealed import Sealed


class DevicePlatform(StrEnum):
    """What a device is."""

    IOS = "IOS"
    ANDROID = "ANDROID"
    WEB = "WEB"


class PushProvider(StrEnum):
    """Who delivers to a device: what made its token."""

    FCM = "FCM"
    APNS = "APNS"


class PushToken(Base):
    """Where one signed-in device is reached.

    The token is a secret: who has it and the deployment's keys reaches the device. It is sealed,
    and found by its SHA-256. It is the session's that registered it, and ends with that.
    Registered by another account it becomes that one's, under another id. `registered_at` is when
    the device last said that it has this token.
    """

    __tablename__ = "push_tokens"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    platform: Mapped[str]
    provider: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    sealed_token: Mapped[bytes] = mapped_column(Sealed(row="token_hash"))
    created_at: Mapped[Timestamp]
    registered_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("platform in ('IOS', 'ANDROID', 'WEB')", name="platform"),
        CheckConstraint("provider in ('FCM', 'APNS')", name="provider"),
        Index("ix_push_tokens_user_id", "user_id", "created_at", "id"),
    )
    access = Access(read=Owner(), hidden=("token_hash", "sealed_token", "provider"))
    on_erase = Delete()
    export = Export()
    # The guest's sessions end, and with them what they registered: the device does it again.
    on_merge = KeepTheMembers()
    quota = Bound("20 of a user, one of each platform for a session; the oldest goes.")


class PushStatus(State):
    """How far a delivery is. What a provider may have taken is never handed over again."""

    QUEUED = "QUEUED", "Not handed to the provider yet; a worker tries."
    SENDING = "SENDING", "A worker hands it over, or died while it did."
    SENT = "SENT", "The provider took it."
    FAILED = "FAILED", "It was refused for good, or not taken in time."
    UNCERTAIN = "UNCERTAIN", "It was handed over and nobody knows whether it was taken."
    SKIPPED = "SKIPPED", "It was not wanted any more: read, switched off, or the device signed out."


class PushDelivery(Base):
    """One notification for one token: handed over at most once.

    `token_id` names a token that may be gone since. `attempts` counts the tries and fences them: an
    earlier one can hand over nothing once a later has begun. `error` is what the provider said,
    never with a token. There is no attempt before `not_before`.
    """

    __tablename__ = "push_deliveries"

    id: Mapped[UuidKey]
    notification_id: Mapped[UUID] = mapped_column(
        ForeignKey("notifications.id", ondelete="CASCADE")
    )
    token_id: Mapped[UUID]
    provider: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=PushStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    created_at: Mapped[Timestamp]
    not_before: Mapped[Timestamp]
    claimed_at: Mapped[OptionalTimestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("(ended_at is null) = (status in ('QUEUED', 'SENDING'))", name="ended_at"),
        Index(
            "uq_push_deliveries_notification_id_token_id",
            "notification_id",
            "token_id",
            unique=True,
        ),
        Index("ix_push_deliveries_created_at", "created_at"),
    )
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    on_erase = GoesWith("notification_id")
    export = NotExported("How the user's notifications were sent, which are in the archive.")
    lifecycle = Lifecycle(
        "status",
        PushStatus,
        initial=(PushStatus.QUEUED,),
        transitions={
            PushStatus.QUEUED: (PushStatus.SENDING, PushStatus.FAILED, PushStatus.SKIPPED),
            PushStatus.SENDING: (
                PushStatus.SENT,
                PushStatus.FAILED,
                PushStatus.UNCERTAIN,
                PushStatus.QUEUED,
            ),
        },
        monotonic=("attempts",),
    )
    quota = Bound("As many as a user's notifications and tokens; they are kept for seven days.")
    # Longer than a notification is worth delivering, so none is handed over a second time.
    expiries = (
        Expiry(
            "push deliveries older than 7 days",
            "created_at < now() - interval '7 days'",
            "created_at",
        ),
    )
