"""Products of developers with their whitelists, and whitelists that bots share with this server."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound, Limit, TableQuota
from db.core.sealed import BlindIndex, Sealed

METADATA_LIMIT_BYTES = 4_096
DESCRIPTION_LIMIT_CHARACTERS = 2_000
PRODUCTS_LIMIT = 100
SYSTEMS_LIMIT = 100
DISCORD_ID = "discord_id ~ '^[0-9]{17,20}$'"


class DeveloperProduct(Base):
    """What a developer sells in a Roblox group, and asks this server who may use.

    Whoever can write the `proof_phrase` into the group's description owns it; `proven_at` is when
    they did. A group is one developer's at a time.
    """

    __tablename__ = "developer_products"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    roblox_group_id: Mapped[int] = mapped_column(BigInteger)
    description: Mapped[str | None]
    proof_phrase: Mapped[str]
    proven_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("user_id", "roblox_group_id"),
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint("roblox_group_id > 0", name="roblox_group_id"),
        CheckConstraint(
            f"length(description) <= {DESCRIPTION_LIMIT_CHARACTERS}", name="description"
        ),
        Index("ix_developer_products_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "uq_developer_products_proven",
            "roblox_group_id",
            unique=True,
            postgresql_where=text("proven_at is not null"),
        ),
    )
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    watch = Watch("developer_product.changed", deletes=True)
    quota = Bound(f"A developer has at most {PRODUCTS_LIMIT}.")


class WhitelistEntry(Base):
    """That somebody on Roblox may use a developer's product, until a time."""

    __tablename__ = "whitelist_entries"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    product_id: Mapped[UUID] = mapped_column(
        ForeignKey("developer_products.id", ondelete="CASCADE")
    )
    roblox_id: Mapped[int] = mapped_column(BigInteger)
    discord_id: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    stored_bytes: Mapped[int] = mapped_column(Computed("96", persisted=True))

    __table_args__ = (
        UniqueConstraint("product_id", "roblox_id"),
        CheckConstraint("roblox_id > 0", name="roblox_id"),
        CheckConstraint(DISCORD_ID, name="discord_id"),
        CheckConstraint("isfinite(expires_at)", name="expires_at"),
        Index("ix_whitelist_entries_product_id_created_at_id", "product_id", "created_at", "id"),
        Index("ix_whitelist_entries_product_id_discord_id", "product_id", "discord_id"),
        Index("ix_whitelist_entries_product_id_expires_at", "product_id", "expires_at"),
        Index("ix_whitelist_entries_user_id", "user_id"),
        Index("ix_whitelist_entries_discord_id", "discord_id"),
        Index("ix_whitelist_entries_roblox_id", "roblox_id"),
        Index("ix_whitelist_entries_expires_at", "expires_at"),
    )
    access = Access(read=Owner(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    # Whoever keeps answers in memory forgets those about the product.
    watch = Watch("whitelist_entry.changed", entity="product_id", deletes=True)
    quota = TableQuota(
        guests=Limit(0, 0),
        members=Limit(1_000_000, 1_000_000_000),
        delete_with="removeWhitelistEntries",
        counts="Entries of developers' products; the tier bounds those of each.",
    )
    expiries = (
        Expiry(
            "entries of whitelists that ended 30 days ago",
            "expires_at < now() - interval '30 days'",
            "expires_at",
        ),
    )


class WhitelistSystem(Base):
    """A whitelist that a bot and this server keep together.

    Each change of one of its users takes the next `position` while it holds the lock on this row,
    so that a position says what a side has seen. Removals up to `forgotten` are no longer known.
    """

    __tablename__ = "whitelist_systems"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    developer_product_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("developer_products.id", ondelete="SET NULL"), index=True
    )
    name: Mapped[str]
    description: Mapped[str | None]
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    forgotten: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint(
            f"length(description) <= {DESCRIPTION_LIMIT_CHARACTERS}", name="description"
        ),
        Index("ix_whitelist_systems_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=Owner(), hidden=("position", "forgotten"), service=("SELECT",))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    quota = Bound(f"A user has at most {SYSTEMS_LIMIT}.")


class WhitelistUserStatus(State):
    """Whether somebody may use what a whitelist guards."""

    ACTIVE = "ACTIVE", "They may, until `expiresAt`."
    EXPIRED = "EXPIRED", "Their time is over."
    BANNED = "BANNED", "They may not."
    REMOVED = "REMOVED", "They are on it no more; the other side is told for 90 days."


_ANY = tuple(WhitelistUserStatus)


class WhitelistUser(Base):
    """Somebody on a whitelist, as a bot or its owner keeps them.

    `external_id` is the name that the bot gave the row, unique in its system. `key_sealed` is the
    licence key that they redeemed, which `key_hash` finds, `changed_by` which side wrote it last.
    """

    __tablename__ = "whitelist_users"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    system_id: Mapped[UUID] = mapped_column(ForeignKey("whitelist_systems.id", ondelete="CASCADE"))
    external_id: Mapped[str]
    username: Mapped[str | None]
    discord_id: Mapped[str | None]
    roblox_id: Mapped[int | None] = mapped_column(BigInteger)
    key_sealed: Mapped[bytes | None] = mapped_column(Sealed(row="external_id"))
    key_hash: Mapped[bytes | None] = mapped_column(BlindIndex("key_sealed"))
    status: Mapped[str] = mapped_column(server_default=WhitelistUserStatus.ACTIVE)
    expires_at: Mapped[OptionalTimestamp]
    banned_at: Mapped[OptionalTimestamp]
    ban_reason: Mapped[str | None]
    details: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    changed_by: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Timestamp]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    stored_bytes: Mapped[int] = mapped_column(
        Computed("160 + octet_length(details::text)", persisted=True)
    )

    __table_args__ = (
        UniqueConstraint("system_id", "external_id"),
        CheckConstraint("length(external_id) between 1 and 64", name="external_id"),
        CheckConstraint("length(username) between 1 and 100", name="username"),
        CheckConstraint(DISCORD_ID, name="discord_id"),
        CheckConstraint("roblox_id > 0", name="roblox_id"),
        CheckConstraint("length(ban_reason) <= 500", name="ban_reason"),
        CheckConstraint("length(changed_by) between 1 and 64", name="changed_by"),
        CheckConstraint("(status = 'BANNED') = (banned_at is not null)", name="banned_at"),
        CheckConstraint("isfinite(expires_at)", name="expires_at"),
        CheckConstraint(f"octet_length(details::text) <= {METADATA_LIMIT_BYTES}", name="details"),
        Index("uq_whitelist_users_key_hash", "system_id", "key_hash", unique=True),
        Index("ix_whitelist_users_system_id_position", "system_id", "position"),
        Index("ix_whitelist_users_system_id_created_at_id", "system_id", "created_at", "id"),
        Index("ix_whitelist_users_user_id", "user_id"),
        Index("ix_whitelist_users_discord_id", "discord_id"),
        Index("ix_whitelist_users_roblox_id", "roblox_id"),
        Index("ix_whitelist_users_key_hash", "key_hash"),
        Index(
            "ix_whitelist_users_removed",
            "updated_at",
            postgresql_where=text("status = 'REMOVED'"),
        ),
    )
    large: ClassVar = {"details": METADATA_LIMIT_BYTES}
    access = Access(
        read=Owner(), hidden=("key_sealed", "key_hash", "position"), service=("SELECT", "DELETE")
    )
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    watch = Watch("whitelist.changed", entity="system_id")
    lifecycle = Lifecycle(
        "status",
        WhitelistUserStatus,
        initial=_ANY,
        transitions={one: tuple(other for other in _ANY if other != one) for one in _ANY},
    )
    triggers = (
        "note_forgotten_whitelist after delete on whitelist_users referencing old table as old_rows"
        " for each statement execute function app.note_forgotten_whitelist()",
    )
    quota = TableQuota(
        guests=Limit(0, 0),
        members=Limit(1_000_000, 1_000_000_000),
        delete_with="syncWhitelist",
        counts="Users of whitelists, removed ones too until 90 days are over.",
    )
    expiries = (
        Expiry(
            "users whom whitelists removed 90 days ago",
            "status = 'REMOVED' and updated_at < now() - interval '90 days'",
            "updated_at",
        ),
    )
