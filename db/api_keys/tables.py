"""API keys of users and organizations, for their servers and bots."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AnyOf, Member, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete
from db.core.expiry import Expiry
from db.core.lifecycles import State, set_once
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound
from db.organizations.tables import MANAGERS


class ApiKeyStatus(State):
    """Whether a key's secrets are good, until they expire."""

    ACTIVE = "ACTIVE", "It may be used."
    REVOKED = "REVOKED", "It was ended: its secrets are dead."


class ApiKey(Base):
    """A secret that acts as its user, within its scopes. Only the SHA-256 of it is kept.

    An organization's key acts as a robot: a user whom nobody signs in as, made with the key and a
    member of that organization alone, in the key's `role`. It goes with the key. So does a bot's
    key, which the admin `maker_id` made.

    `prefix` is the part of the secret that finds the row and that people tell keys apart by. The
    secret before the last rotation works until `previous_expires_at`. The first 16 bytes of a hash
    name the secret in `deleted_sessions`, where every process learns that it has ended.
    """

    __tablename__ = "api_keys"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    maker_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    role: Mapped[str | None]
    name: Mapped[str]
    prefix: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    previous_prefix: Mapped[str | None]
    previous_secret_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_expires_at: Mapped[OptionalTimestamp]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    requests_per_minute: Mapped[int | None]
    created_at: Mapped[Timestamp]
    rotated_at: Mapped[OptionalTimestamp]
    last_used_at: Mapped[OptionalTimestamp]
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), index=True)
    revoked_at: Mapped[OptionalTimestamp] = mapped_column(index=True)

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint(
            "scopes <@ array['READ', 'WRITE', 'BOT'] and scopes <> '{}'"
            " and ('BOT' <> all (scopes) or organization_id is null)",
            name="scopes",
        ),
        CheckConstraint("requests_per_minute > 0", name="requests_per_minute"),
        CheckConstraint(
            "(organization_id is null) = (role is null)"
            " and coalesce(role in ('ADMIN', 'MEMBER', 'VIEWER'), true)",
            name="role",
        ),
        Index("uq_api_keys_prefix", "prefix", unique=True),
        Index("uq_api_keys_previous_prefix", "previous_prefix", unique=True),
        Index("ix_api_keys_user_id", "user_id", "created_at", "id"),
        Index("ix_api_keys_organization_id", "organization_id", "created_at", "id"),
        Index("ix_api_keys_maker_id_created_at_id", "maker_id", "created_at", "id"),
    )
    access = Access(
        read=AnyOf(Owner(), Owner("maker_id"), Member("organization_id", MANAGERS)),
        hidden=("secret_hash", "previous_secret_hash"),
        service=("SELECT", "UPDATE", "DELETE"),
    )
    on_erase = (Delete(), Anonymise("maker_id"))
    # A guest has none.
    on_merge = KeepTheMembers()
    lifecycle = set_once("revoked_at", ApiKeyStatus)
    triggers = (
        "record_ended_secrets after update or delete on api_keys"
        " for each row execute function app.record_ended_secrets()",
        "remove_robot after delete on api_keys for each row"
        " when (old.organization_id is not null or 'BOT' = any (old.scopes))"
        " execute function app.remove_robot()",
    )
    quota = Bound(
        "A user or an organization has at most 50 that work, and 200 with those that ended lately."
    )
    # Longer than anybody wonders what a revoked or an expired key was.
    expiries = (
        Expiry(
            "API keys revoked a week ago", "revoked_at < now() - interval '7 days'", "revoked_at"
        ),
        Expiry(
            "API keys expired 30 days ago",
            "expires_at < now() - interval '30 days'",
            "expires_at",
        ),
    )
