"""Servers at Discord in the schema: claimed by users, taken care of by bots, watched by both."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import ColumnElement, FromClause, Text, case, cast, literal_column

from db.discord import tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    live,
    lookup,
    opened,
    reference,
    state_enum,
    value_lookup,
)
from graph.engine.extending import extend
from graph.shared.changes import ChangeKind
from graph.shared.relay import Connection, Cursor, Node

state_enum(tables.BotWhitelistStatus)


def _digits(name: str, description: str) -> Any:
    """Ids at Roblox are larger than an Int; as text, no client rounds them."""

    def as_text(row: FromClause) -> ColumnElement[str]:
        return cast(row.c[name], Text())

    return expression(as_text, description=description)


def _licensed_product_id(row: FromClause) -> ColumnElement[str]:
    developers = literal_column("'developerProduct_'", Text()).concat(
        cast(row.c.developer_product_id, Text())
    )
    stores = literal_column("'product_'", Text()).concat(row.c.product_id)
    return case((row.c.developer_product_id.is_not(None), developers), else_=stores)


def payhip_preview(key: str) -> str:
    """What is shown of a shop's key: enough to tell it from another."""
    return f"{key[:10]}…{key[-4:]}" if len(key) > 20 else f"{key[:3]}…"


@backed_by(tables.BotWhitelistedUser, prefix="botWhitelistedUser")
class BotWhitelistedUser(Node):
    """Somebody at Discord who has what a bot hands out."""

    id: strawberry.ID = global_id()
    product_id: strawberry.ID = reference(
        "product_id", "botProduct", description="The product's global id."
    )
    discord_id: str = column(description="Their id at Discord.")
    discord_username: str | None = column(description="What they are called there.")
    roblox_id: str | None = _digits("roblox_id", "Their number at Roblox.")
    roblox_username: str | None = column(description="What they are called there.")
    status: tables.BotWhitelistStatus = column(description="Whether they have it.")
    changed_by: str = column(description="`BOT` or `PLATFORM`: who wrote them last.")
    redeemed_at: datetime | None = column(
        description="When they redeemed a key; null for who was put on the whitelist."
    )
    created_at: datetime = column(description="When they were first written.")
    updated_at: datetime = column(description="When they last changed, by the writer's clock.")


@backed_by(tables.BotProduct, prefix="botProduct")
class BotProduct(Node):
    """What a bot hands out in a server for a key."""

    id: strawberry.ID = global_id()
    server_id: strawberry.ID = reference(
        "server_id", "discordServer", description="The server's global id."
    )
    name: str = column(description="Its name, another for each of the server's.")
    role_id: str | None = column(description="The role at Discord that who redeems a key gets.")
    redemption_message: str | None = column(description="What the bot says to them.")
    roblox_group_id: str | None = _digits(
        "roblox_group_id", "The group at Roblox that they are let into."
    )
    licensed_product_id: strawberry.ID | None = expression(
        _licensed_product_id,
        description="The product of a store's or a developer's whose licences are the keys; null "
        "where another shop sells them.",
    )
    payhip_key: str | None = opened(
        tables.BotProduct.payhip_key_sealed,
        description="The key with which the bot asks Payhip about the keys that it sold.",
    )
    payhip_key_preview: str | None = opened(
        tables.BotProduct.payhip_key_sealed,
        payhip_preview,
        description="How that key begins and ends, to be shown.",
    )
    roblox_key: str | None = opened(
        tables.BotProduct.roblox_key_sealed,
        description="The key with which the bot lets people into the group at Roblox.",
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")
    whitelist: Connection[BotWhitelistedUser] = connection(
        BotWhitelistedUser,
        NEWEST_FIRST,
        key="product_id",
        description="Who has it, and who had it, newest first.",
    )


@backed_by(tables.BotCommandPermission, prefix="botCommandPermission")
class BotCommandPermission(Node):
    """Who may use a command of a bot in a server; of a command without one, administrators."""

    id: strawberry.ID = global_id()
    server_id: strawberry.ID = reference(
        "server_id", "discordServer", description="The server's global id."
    )
    command_name: str = column(description="The command's name, such as `redeem`.")
    allowed_role_ids: list[str] = column(
        description="Roles at Discord whose members may use it, beside administrators."
    )
    require_admin: bool = column(description="Whether administrators alone may.")
    enabled: bool = column(description="Whether anybody may.")
    created_at: datetime = column(description="When it was first saved.")
    updated_at: datetime = column(description="When it last changed.")


@backed_by(tables.DiscordServer, prefix="discordServer")
class DiscordServer(Node):
    """A server at Discord that a bot is in."""

    id: strawberry.ID = global_id()
    guild_id: str = column(description="Its id at Discord.")
    name: str = column(description="Its name.")
    icon: str | None = column(description="The hash by which Discord names its icon.")
    owner_discord_id: str = column(description="Who owns it at Discord.")
    member_count: int = column(description="How many members it has; 0 once the bot has left.")
    is_configured: bool = column(description="Whether somebody has claimed it and set it up.")
    claimed_at: datetime | None = column(
        description="When a user claimed it; null while nobody but the bot sees it."
    )
    left_at: datetime | None = column(description="When the bot left it; null while it is there.")
    created_at: datetime = column(description="When a bot registered it.")
    updated_at: datetime = column(description="When it last changed.")
    products: Connection[BotProduct] = connection(
        BotProduct, NEWEST_FIRST, key="server_id", description="Its products, newest first."
    )
    permissions: Connection[BotCommandPermission] = connection(
        BotCommandPermission,
        NEWEST_FIRST,
        key="server_id",
        description="Who may use which command, newest first.",
    )


extend(
    User,
    discord_servers=connection(
        DiscordServer,
        NEWEST_FIRST,
        key="user_id",
        description="Servers at Discord that the user has claimed, newest first.",
    ),
    bot_servers=connection(
        DiscordServer,
        NEWEST_FIRST,
        key="bot_id",
        description="Servers at Discord that the user, who is a bot, takes care of, newest first.",
    ),
)


def _guild_argument(
    self: Any,  # noqa: ARG001
    guild_id: Annotated[str, strawberry.argument(description="Its id at Discord.")],  # noqa: ARG001
) -> Any:
    """The argument of `guild`; the engine itself answers."""
    raise AssertionError("the engine answers lookups")  # pragma: no cover


@strawberry.type
class DiscordQuery:
    """Queries on servers at Discord."""

    discord_server: DiscordServer | None = lookup(
        description="A server that the caller claimed or is the bot of; null for any other."
    )
    guild: DiscordServer | None = value_lookup(
        "guild_id",
        _guild_argument,
        description="The same by its id at Discord.",
    )


_KIND = "What has happened; null in the first item, which only gives the cursor."
_REMOVED = "The global id of what is gone; null otherwise."
_CURSOR = "Pass it as `after` to continue from here."
_BEHIND = "each change once and in order, behind one null item. For whom it is: who claimed the "
_WHO = _BEHIND + "server, and its bot."


@strawberry.type(description="A server at Discord after it changed.")
class DiscordServersChanged:
    cursor: Cursor = strawberry.field(description=_CURSOR)
    kind: ChangeKind | None = strawberry.field(description=_KIND)
    server: DiscordServer | None = strawberry.field(description="It, right after the change.")
    removed_id: strawberry.ID | None = strawberry.field(description=_REMOVED)


@strawberry.type(description="A product of a bot's after it changed.")
class BotProductsChanged:
    cursor: Cursor = strawberry.field(description=_CURSOR)
    kind: ChangeKind | None = strawberry.field(description=_KIND)
    product: BotProduct | None = strawberry.field(description="It, right after the change.")
    removed_id: strawberry.ID | None = strawberry.field(description=_REMOVED)


@strawberry.type(description="Who has a product of a bot's after that changed.")
class BotWhitelistChanged:
    cursor: Cursor = strawberry.field(description=_CURSOR)
    kind: ChangeKind | None = strawberry.field(description=_KIND)
    user: BotWhitelistedUser | None = strawberry.field(description="Who, right after the change.")
    removed_id: strawberry.ID | None = strawberry.field(description=_REMOVED)


@strawberry.type(description="Who may use a command after that changed.")
class BotCommandPermissionsChanged:
    cursor: Cursor = strawberry.field(description=_CURSOR)
    kind: ChangeKind | None = strawberry.field(description=_KIND)
    permission: BotCommandPermission | None = strawberry.field(
        description="It, right after the change."
    )
    removed_id: strawberry.ID | None = strawberry.field(description=_REMOVED)


@strawberry.type
class DiscordSubscription:
    """Subscriptions on servers at Discord."""

    discord_servers_changed: DiscordServersChanged = live(
        "discord_server.changed",
        "server",
        starts_empty=True,
        gone="removedId",
        kind="kind",
        description=f"Servers at Discord as they are registered, claimed and left, {_WHO}",
    )
    bot_products_changed: BotProductsChanged = live(
        "bot_product.changed",
        "product",
        starts_empty=True,
        gone="removedId",
        kind="kind",
        description=f"Products of bots as they are saved and removed, {_WHO}",
    )
    bot_whitelist_changed: BotWhitelistChanged = live(
        "bot_whitelist.changed",
        "user",
        starts_empty=True,
        gone="removedId",
        kind="kind",
        description=f"Who has products of bots, as keys are redeemed and users put on and taken "
        f"off, {_WHO}",
    )
    bot_command_permissions_changed: BotCommandPermissionsChanged = live(
        "bot_command_permission.changed",
        "permission",
        starts_empty=True,
        gone="removedId",
        kind="kind",
        description=f"Who may use which command, as that is saved and removed, {_WHO}",
    )
