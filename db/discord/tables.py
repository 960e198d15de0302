"""Servers at Discord, what bots hand out in them and to whom, and who may use which command."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AnyOf, Nobody, Owner, Through, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move
from db.core.quotas import Bound
from db.core.sealed import BlindIndex, Sealed

SERVERS_LIMIT = 10_000
PRODUCTS_LIMIT = 100
PERMISSIONS_LIMIT = 100
USERS_LIMIT = 100_000
MESSAGE_LIMIT_CHARACTERS = 2_000
SNOWFLAKE = "'^[0-9]{17,20}$'"
_OF_SERVER = "exists (select from discord_servers s where s.id = t.server_id and s.user_id = $1)"
_OF_PRODUCT = (
    "exists (select from bot_products p join discord_servers s on s.id = p.server_id"
    " where p.id = t.product_id and s.user_id = $1)"
)


class DiscordServer(Base):
    """A server at Discord that a bot is in, or was until `left_at`.

    `bot_id` is the robot whose key registered it, `owner_discord_id` who owns it at Discord.
    `user_id` is the user who claimed it; until then it is nobody's to read but the bot's.
    """

    __tablename__ = "discord_servers"

    id: Mapped[UuidKey]
    guild_id: Mapped[str]
    name: Mapped[str]
    icon: Mapped[str | None]
    owner_discord_id: Mapped[str]
    member_count: Mapped[int] = mapped_column(server_default=text("0"))
    is_configured: Mapped[bool] = mapped_column(server_default=text("false"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    # A bot's key may go; what it was trusted with stays.
    bot_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    claimed_at: Mapped[OptionalTimestamp]
    left_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("guild_id"),
        CheckConstraint(f"guild_id ~ {SNOWFLAKE}", name="guild_id"),
        CheckConstraint(f"owner_discord_id ~ {SNOWFLAKE}", name="owner_discord_id"),
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint("length(icon) <= 64", name="icon"),
        CheckConstraint("member_count >= 0", name="member_count"),
        CheckConstraint("(user_id is null) = (claimed_at is null)", name="claimed_at"),
        Index("ix_discord_servers_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_discord_servers_bot_id_created_at_id", "bot_id", "created_at", "id"),
        Index("ix_discord_servers_owner_discord_id", "owner_discord_id"),
    )
    access = Access(read=AnyOf(Owner(), Owner("bot_id")), service=("SELECT",))
    watch = Watch("discord_server.changed", deletes=True)
    # What its owner kept there is theirs and goes with them; the bot registers the server anew.
    on_erase = (Delete(), Anonymise("bot_id"))
    on_merge = Move()
    quota = Bound(f"A bot, of whom admins make each, is in at most {SERVERS_LIMIT:,}.")


class BotProduct(Base):
    """What a bot hands out in a server for a key: a role, and a place in a group at Roblox.

    Where `product_id` or `developer_product_id` names a product, its licences are the keys. Without
    either the bot asks the shop that sold the key, with `payhip_key_sealed`.
    """

    __tablename__ = "bot_products"

    id: Mapped[UuidKey]
    server_id: Mapped[UUID] = mapped_column(ForeignKey("discord_servers.id", ondelete="CASCADE"))
    name: Mapped[str]
    role_id: Mapped[str | None]
    redemption_message: Mapped[str | None]
    roblox_group_id: Mapped[int | None] = mapped_column(BigInteger)
    product_id: Mapped[str | None] = mapped_column(
        ForeignKey("products.id", ondelete="SET NULL"), index=True
    )
    developer_product_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("developer_products.id", ondelete="SET NULL"), index=True
    )
    payhip_key_sealed: Mapped[bytes | None] = mapped_column(Sealed())
    roblox_key_sealed: Mapped[bytes | None] = mapped_column(Sealed())
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("server_id", "name"),
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint(f"role_id ~ {SNOWFLAKE}", name="role_id"),
        CheckConstraint(
            f"length(redemption_message) <= {MESSAGE_LIMIT_CHARACTERS}", name="redemption_message"
        ),
        CheckConstraint("roblox_group_id > 0", name="roblox_group_id"),
        CheckConstraint("num_nonnulls(product_id, developer_product_id) <= 1", name="licensed"),
        Index("ix_bot_products_server_id_created_at_id", "server_id", "created_at", "id"),
    )
    access = Access(read=Through("server_id"), service=("SELECT",))
    watch = Watch("bot_product.changed", deletes=True)
    on_erase = GoesWith("server_id")
    export = Export(rows=_OF_SERVER)
    quota = Bound(f"A server has at most {PRODUCTS_LIMIT}.")


class BotWhitelistStatus(State):
    """Whether somebody has what a bot hands out."""

    ACTIVE = "ACTIVE", "They redeemed a key, or were put on the whitelist."
    REMOVED = "REMOVED", "They were taken off it; the key that they redeemed stays used."


_ANY = tuple(BotWhitelistStatus)


class BotWhitelistedUser(Base):
    """Somebody at Discord who has a product of a bot's.

    `key_sealed` is the key that they redeemed, which `key_hash` finds: of a product, a key is one
    user's for good. `changed_by` is the side that wrote the row last, `position` its place among
    the changes of the server (`bot_whitelist_heads`).
    """

    __tablename__ = "bot_whitelisted_users"

    id: Mapped[UuidKey]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("bot_products.id", ondelete="CASCADE"))
    discord_id: Mapped[str]
    discord_username: Mapped[str | None]
    roblox_id: Mapped[int | None] = mapped_column(BigInteger)
    roblox_username: Mapped[str | None]
    key_sealed: Mapped[bytes | None] = mapped_column(Sealed(row="discord_id"))
    key_hash: Mapped[bytes | None] = mapped_column(BlindIndex("key_sealed"))
    status: Mapped[str] = mapped_column(server_default=BotWhitelistStatus.ACTIVE)
    changed_by: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    redeemed_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        UniqueConstraint("product_id", "discord_id"),
        CheckConstraint(f"discord_id ~ {SNOWFLAKE}", name="discord_id"),
        CheckConstraint("length(discord_username) between 1 and 100", name="discord_username"),
        CheckConstraint("roblox_id > 0", name="roblox_id"),
        CheckConstraint("length(roblox_username) between 1 and 100", name="roblox_username"),
        CheckConstraint("changed_by in ('BOT', 'PLATFORM')", name="changed_by"),
        CheckConstraint("(key_sealed is null) = (key_hash is null)", name="key"),
        Index("uq_bot_whitelisted_users_key_hash", "product_id", "key_hash", unique=True),
        Index("ix_bot_whitelisted_users_product_id_position", "product_id", "position"),
        Index("ix_bot_whitelisted_users_product_id", "product_id", "created_at", "id"),
        Index("ix_bot_whitelisted_users_discord_id", "discord_id"),
        Index("ix_bot_whitelisted_users_roblox_id", "roblox_id"),
    )
    access = Access(
        read=Through("product_id"),
        hidden=("key_sealed", "key_hash", "position"),
        service=("SELECT",),
    )
    watch = Watch("bot_whitelist.changed", deletes=True)
    lifecycle = Lifecycle(
        "status",
        BotWhitelistStatus,
        initial=_ANY,
        transitions={one: tuple(other for other in _ANY if other != one) for one in _ANY},
    )
    on_erase = GoesWith("product_id")
    export = Export(rows=_OF_PRODUCT)
    quota = Bound(f"A product has at most {USERS_LIMIT:,}.")


class BotWhitelistHead(Base):
    """How many changes of whitelisted users a server has seen.

    Each change takes the next `position` while it holds the lock on this row, so that a position
    says what a side has seen, and of those who redeem a key at once one is first.
    """

    __tablename__ = "bot_whitelist_heads"

    server_id: Mapped[UUID] = mapped_column(
        ForeignKey("discord_servers.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = GoesWith("server_id")
    export = NotExported("A number that orders what is exported.")
    quota = Bound("One for each server.")


class BotCommandPermission(Base):
    """Who may use a command of a bot in a server; of a command without a row, administrators.

    Nobody may use one that is not `enabled`; one that requires no administrator may be used by
    members with one of the roles as well.
    """

    __tablename__ = "bot_command_permissions"

    id: Mapped[UuidKey]
    server_id: Mapped[UUID] = mapped_column(ForeignKey("discord_servers.id", ondelete="CASCADE"))
    command_name: Mapped[str]
    allowed_role_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    require_admin: Mapped[bool] = mapped_column(server_default=text("true"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        UniqueConstraint("server_id", "command_name"),
        CheckConstraint("command_name ~ '^[a-z0-9_-]{1,32}$'", name="command_name"),
        CheckConstraint("cardinality(allowed_role_ids) <= 100", name="allowed_role_ids"),
        Index(
            "ix_bot_command_permissions_server_id_created_at_id", "server_id", "created_at", "id"
        ),
    )
    access = Access(read=Through("server_id"), service=("SELECT",))
    watch = Watch("bot_command_permission.changed", deletes=True)
    on_erase = GoesWith("server_id")
    export = Export(rows=_OF_SERVER)
    quota = Bound(f"A server has at most {PERMISSIONS_LIMIT}.")


class DiscordLinkCode(Base):
    """A code by which an administrator of a server gives it to a user, once and within 10 minutes.

    Only its keyed hash is kept. A user has one at a time.
    """

    __tablename__ = "discord_link_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)

    __table_args__ = (Index("uq_discord_link_codes_user_id", "user_id", unique=True),)
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    # A guest has none.
    on_merge = KeepTheMembers()
    export = NotExported("Good for ten minutes, and only as a hash.")
    quota = Bound("A user has one.")
    expiries = (Expiry("codes that link servers and expired", "expires_at < now()", "expires_at"),)
