"""Developers' products in the schema, their whitelists, and whitelists that a bot keeps as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import ColumnElement, FromClause, Integer, Text, cast

from db.whitelists import operations, tables
from graph.developers import Developer
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    live,
    live_within,
    lookup,
    reference,
    related_row,
    state_enum,
)
from graph.engine.extending import extend
from graph.shared.relay import (
    Connection,
    Cursor,
    Node,
    watch_entries_arguments,
    watch_whitelist_arguments,
)
from graph.shared.scalars import JSON

state_enum(tables.WhitelistUserStatus)

_ROBLOX_ID = "A number at Roblox, in digits."
_DISCORD_ID = "A user's id at Discord, 17 to 20 digits."


def _digits(name: str, description: str) -> Any:
    """Ids at Roblox are larger than an Int; as text, no client rounds them."""

    def as_text(row: FromClause) -> ColumnElement[str]:
        return cast(row.c[name], Text())

    return expression(as_text, description=description)


@backed_by(tables.WhitelistEntry, prefix="whitelistEntry")
class WhitelistEntry(Node):
    """That somebody on Roblox may use a developer's product."""

    id: strawberry.ID = global_id()
    product_id: strawberry.ID = reference(
        "product_id", "developerProduct", description="The product's global id."
    )
    roblox_id: str = _digits("roblox_id", "Their number at Roblox.")
    discord_id: str | None = column(description="Their id at Discord.")
    expires_at: datetime = column(description="Until when they may.")
    created_at: datetime = column(description="When they were first put on the whitelist.")
    updated_at: datetime = column(description="When the entry last changed.")


@backed_by(tables.DeveloperProduct, prefix="developerProduct")
class DeveloperProduct(Node):
    """What a developer sells in a Roblox group, and asks this server who may use."""

    id: strawberry.ID = global_id()
    name: str = column(description="Its name.")
    roblox_group_id: str = _digits("roblox_group_id", "The group's number at Roblox.")
    description: str | None = column(description="What it is.")
    proof_phrase: str = column(
        description="Written into the group's description, it proves whose group that is."
    )
    proven_at: datetime | None = column(
        description="When its developer proved that; null before, and once another has. Nobody is "
        "verified before."
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")
    entry_count: int = expression(
        lambda row: operations.ENTRY_COUNT.of(row.c.id, type_=Integer()),
        description="How many are on its whitelist whose time is not over.",
    )
    entries: Connection[WhitelistEntry] = connection(
        WhitelistEntry, NEWEST_FIRST, key="product_id", description="Its whitelist, newest first."
    )


@backed_by(tables.WhitelistUser, prefix="whitelistUser")
class WhitelistUser(Node):
    """Somebody on a whitelist that a bot and this server keep together."""

    id: strawberry.ID = global_id()
    system_id: strawberry.ID = reference(
        "system_id", "whitelistSystem", description="The whitelist's global id."
    )
    external_id: str = column(description="The name that the bot gave them.")
    username: str | None = column(description="What they are called.")
    discord_id: str | None = column(description="Their id at Discord.")
    roblox_id: str | None = _digits("roblox_id", "Their number at Roblox.")
    status: tables.WhitelistUserStatus = column(description="Whether they may.")
    expires_at: datetime | None = column(description="Until when; null without an end.")
    banned_at: datetime | None = column(description="When they were banned; null unless they are.")
    ban_reason: str | None = column(description="Why.")
    details: JSON = column(description="What the bot keeps of them, at most 4 KiB.")
    changed_by: str = column(description="Which side wrote them last.")
    created_at: datetime = column(description="When they were first written.")
    updated_at: datetime = column(description="When they last changed, by that side's clock.")


@backed_by(tables.WhitelistSystem, prefix="whitelistSystem")
class WhitelistSystem(Node):
    """A whitelist that a bot and this server keep together."""

    id: strawberry.ID = global_id()
    name: str = column(description="Its name, another for each of the user's.")
    description: str | None = column(description="What it is for.")
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When somebody on it last changed.")
    developer_product: DeveloperProduct | None = related_row(
        "developer_product_id", description="The product that it is about."
    )
    users: Connection[WhitelistUser] = connection(
        WhitelistUser, NEWEST_FIRST, key="system_id", description="Who is on it, newest first."
    )


extend(
    Developer,
    products=connection(DeveloperProduct, NEWEST_FIRST, description="The products, newest first."),
    whitelist_systems=connection(
        WhitelistSystem, NEWEST_FIRST, description="The whitelists shared with bots, newest first."
    ),
)


@strawberry.type
class WhitelistsQuery:
    """Queries on whitelists."""

    developer_product: DeveloperProduct | None = lookup(
        description="A product of the caller's; null when it is missing or not theirs."
    )
    whitelist_system: WhitelistSystem | None = lookup(
        description="A whitelist of the caller's; null when it is missing or not theirs."
    )


@strawberry.type(description="Somebody on a whitelist after they changed.")
class WhitelistChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    whitelist_user: WhitelistUser | None = strawberry.field(
        description="Who, right after the change; null in the first item, which only gives the "
        "cursor."
    )


@strawberry.type(description="A developer's product that was made, changed or deleted.")
class DeveloperProductsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    developer_product: DeveloperProduct | None = strawberry.field(
        description="The product right after the change; null when it was deleted, and in the "
        "first item, which only gives the cursor."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a product that was deleted; null otherwise."
    )


@strawberry.type(description="An entry of a whitelist that was made, changed or taken off.")
class WhitelistEntriesChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    entry: WhitelistEntry | None = strawberry.field(
        description="The entry right after the change; null when it was taken off, and in the "
        "first item, which only gives the cursor."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of an entry that was taken off; null otherwise."
    )


@strawberry.type
class WhitelistsSubscription:
    """Subscriptions on whitelists."""

    whitelist_changed: WhitelistChanged = live_within(
        "whitelist.changed",
        "whitelistUser",
        "whitelistSystem",
        watch=watch_whitelist_arguments,
        description="Who is on a whitelist of the caller's as they change, each change once and in "
        "order, behind one null item. Sync first, then watch.",
    )
    developer_products_changed: DeveloperProductsChanged = live(
        "developer_product.changed",
        "developerProduct",
        starts_empty=True,
        gone="deletedId",
        description="The caller's products as they are made, proven, changed and deleted, each "
        "change once and in order, behind one null item.",
    )
    whitelist_entries_changed: WhitelistEntriesChanged = live_within(
        "whitelist_entry.changed",
        "entry",
        "developerProduct",
        watch=watch_entries_arguments,
        gone="deletedId",
        description="The whitelist of a product of the caller's as it changes, each change once "
        "and in order, behind one null item.",
    )
