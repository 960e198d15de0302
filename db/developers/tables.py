"""Tiers of developers, their keys, what they obfuscated, and what they asked for."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Owner, Public
from db.core.base import Base, OptionalTimestamp, RandomBigKey, Slug, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import State, set_once
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound

UNLIMITED = -1
NAME_LIMIT_CHARACTERS = 100
ENDPOINT_LIMIT_CHARACTERS = 100


class DeveloperTier(Base):
    """What a plan allows developers; `id` is the plan's, and -1 stands for no limit.

    Who has no plan, or one without a tier, has the first by `sort_order`. `obfuscations` is how
    many of an `obfuscation_period` cost no credit.
    """

    __tablename__ = "developer_tiers"

    id: Mapped[Slug] = mapped_column(ForeignKey("plans.id", ondelete="CASCADE"))
    requests_per_minute: Mapped[int]
    whitelist_entries: Mapped[int]
    obfuscations: Mapped[int]
    obfuscation_period: Mapped[str]
    sort_order: Mapped[int]

    __table_args__ = (
        CheckConstraint("requests_per_minute > 0", name="requests_per_minute"),
        CheckConstraint("whitelist_entries >= -1 and obfuscations >= -1", name="limits"),
        CheckConstraint("obfuscation_period in ('DAY', 'WEEK')", name="obfuscation_period"),
    )
    access = Access(read=Public(), service=("SELECT",))


class DeveloperKeyStatus(State):
    """Whether a developer's key is good."""

    ACTIVE = "ACTIVE", "It may be used."
    REVOKED = "REVOKED", "It was ended."


class DeveloperKey(Base):
    """A secret with which a developer's programs speak to the API under /v1/.

    Only its hash is kept. `preview` is what it begins with, by which people tell keys apart. The
    first 16 bytes of the hash name the secret in `deleted_sessions`, where every process learns
    that it has ended.
    """

    __tablename__ = "developer_keys"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    preview: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[OptionalTimestamp]
    revoked_at: Mapped[OptionalTimestamp] = mapped_column(index=True)

    __table_args__ = (
        CheckConstraint(f"length(name) between 1 and {NAME_LIMIT_CHARACTERS}", name="name"),
        Index("uq_developer_keys_secret_hash", "secret_hash", unique=True),
        Index("ix_developer_keys_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "uq_developer_keys_name",
            "user_id",
            "name",
            unique=True,
            postgresql_where=text("revoked_at is null"),
        ),
    )
    access = Access(read=Owner(), hidden=("secret_hash",), service=("SELECT", "UPDATE", "DELETE"))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    lifecycle = set_once("revoked_at", DeveloperKeyStatus)
    triggers = (
        "record_ended_developer_key after update or delete on developer_keys"
        " for each row execute function app.record_ended_developer_key()",
    )
    quota = Bound("A user has at most 5 that work, and 50 with those that ended lately.")
    expiries = (
        Expiry(
            "developers' keys revoked a week ago",
            "revoked_at < now() - interval '7 days'",
            "revoked_at",
        ),
    )


class ObfuscationSource(State):
    """What paid for an obfuscation."""

    ALLOWANCE = "ALLOWANCE", "The tier's allowance of the period."
    CREDIT = "CREDIT", "A credit of the wallet."


class ObfuscationUse(Base):
    """Code of a developer's that was obfuscated once, and what paid for it."""

    __tablename__ = "obfuscation_uses"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    source: Mapped[str]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("source in ('ALLOWANCE', 'CREDIT')", name="source"),
        Index("ix_obfuscation_uses_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_obfuscation_uses_created_at", "created_at"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT", "DELETE"))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    quota = Bound("By rate: each is a request of a developer's; they go after 400 days.")
    expiries = (
        Expiry(
            "obfuscations of 400 days ago",
            "created_at < now() - interval '400 days'",
            "created_at",
        ),
    )


class ApiRequest(Base):
    """A request that a developer's key made; what it carried is not kept."""

    __tablename__ = "api_request_logs"

    id: Mapped[RandomBigKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("developer_keys.id", ondelete="SET NULL"), index=True
    )
    request_id: Mapped[str]
    method: Mapped[str]
    endpoint: Mapped[str]
    status_code: Mapped[int]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            f"length(request_id) <= 40 and length(method) <= 10"
            f" and length(endpoint) <= {ENDPOINT_LIMIT_CHARACTERS}",
            name="texts",
        ),
        CheckConstraint("status_code between 100 and 599", name="status_code"),
        Index("ix_api_request_logs_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_api_request_logs_created_at", "created_at"),
    )
    access = Access(read=Owner(), service=("SELECT", "INSERT", "DELETE"))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    export = NotExported("What programs asked for, for 30 days; the keys are exported.")
    quota = Bound("By rate: what a tier allows in a minute; they go after 30 days.")
    expiries = (
        Expiry(
            "requests of developers' keys",
            "created_at < now() - interval '30 days'",
            "created_at",
        ),
    )
