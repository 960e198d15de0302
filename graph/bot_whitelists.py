"""What bots hand out, in the schema: keys redeemed once, whitelists kept the same on both sides."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.commands import call_as_actor
from db.core.errors import ErrorCode, Problems
from db.core.retries import retried
from db.discord import operations
from db.discord.operations import BotSecrets
from db.discord.tables import BotWhitelistStatus
from db.vault.watching import VaultKeys
from graph.discord import BotWhitelistedUser
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, noted_uuid

_SERVER = "The server's global id."
_PRODUCT = "The product's global id."
_DISCORD_ID = "The user's id at Discord, 17 to 20 digits."
_ROBLOX_ID = "Their number at Roblox, in digits. Null is as good as leaving it out."
_NAME = "What they are called there, 1 to 100 characters. Null is as good as leaving it out."


@strawberry.input(description="A key that somebody at Discord redeems.")
class RedeemBotKeyInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    key: str = strawberry.field(
        description="8 to 100 letters, digits, dashes or underscores; only the vault opens it."
    )
    discord_id: str = strawberry.field(description=_DISCORD_ID)
    discord_username: str | None = strawberry.field(default=None, description=_NAME)
    roblox_id: str | None = strawberry.field(default=None, description=_ROBLOX_ID)
    roblox_username: str | None = strawberry.field(default=None, description=_NAME)


@strawberry.input(description="What one side wrote of somebody who has a product.")
class BotWhitelistChangeInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    discord_id: str = strawberry.field(description=_DISCORD_ID)
    changed_at: datetime = strawberry.field(
        description="When, by the writer's clock; of two changes the later holds."
    )
    status: BotWhitelistStatus = strawberry.field(
        default=BotWhitelistStatus.ACTIVE, description="Whether they have it."
    )
    key: str | None = strawberry.field(
        default=None,
        description="The key that they redeemed, 8 to 100 characters. Null leaves what there is.",
    )
    discord_username: str | None = strawberry.field(default=None, description=_NAME)
    roblox_id: str | None = strawberry.field(
        default=None, description="Their number at Roblox, in digits. Null empties it."
    )
    roblox_username: str | None = strawberry.field(
        default=None, description="What they are called there. Null empties it."
    )


@strawberry.input(description="What one side changed in a server, and what it has seen.")
class SyncBotWhitelistInput:
    server_id: strawberry.ID = strawberry.field(description=_SERVER)
    since: Cursor | None = strawberry.field(
        default=None,
        description="The `cursor` of the side's last sync. Without it, everybody is sent. Null is "
        "as good as leaving it out.",
    )
    changes: list[BotWhitelistChangeInput] = strawberry.field(
        default_factory=list,
        description="What the side changed since its last sync, at most 500. It sends them again, "
        "unchanged, until they are `accepted`.",
    )


@strawberry.type(description="Result of `redeemBotKey`.")
class RedeemBotKeyPayload(MutationPayload):
    user: BotWhitelistedUser | None = strawberry.field(
        description="Who has the product now; null on errors."
    )


@strawberry.type(description="Somebody who has a product, as a sync tells of them.")
class SyncedBotUser:
    id: strawberry.ID = strawberry.field(description="Global id.")
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    discord_id: str = strawberry.field(description="Their id at Discord.")
    discord_username: str | None = strawberry.field(description="What they are called there.")
    roblox_id: str | None = strawberry.field(description="Their number at Roblox.")
    roblox_username: str | None = strawberry.field(description="What they are called there.")
    status: BotWhitelistStatus = strawberry.field(description="Whether they have it.")
    changed_by: str = strawberry.field(description="`BOT` or `PLATFORM`.")
    redeemed_at: datetime | None = strawberry.field(description="When they redeemed a key.")
    updated_at: datetime = strawberry.field(description="When, by the writer's clock.")


@strawberry.type(description="A change that need not be sent again.")
class AcceptedBotChange:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    discord_id: str = strawberry.field(description="Of whom it is.")
    outcome: str = strawberry.field(
        description="`APPLIED`; `KNOWN` when it was sent before; `LOST` when a later one holds; "
        "else why it is refused: `KEY_ALREADY_REDEEMED` by somebody else, `KEY_UNKNOWN`, "
        "`KEY_BANNED`, `KEY_EXPIRED`, `PRODUCT_GONE`, `LIMIT_EXCEEDED`."
    )


@strawberry.type(description="Result of `syncBotWhitelist`.")
class SyncBotWhitelistPayload(MutationPayload):
    accepted: list[AcceptedBotChange] | None = strawberry.field(
        description="What became of each change, in their order; null on errors."
    )
    changes: list[SyncedBotUser] | None = strawberry.field(
        description="What the other side wrote since, in order, at most 500; null on errors."
    )
    cursor: Cursor | None = strawberry.field(description="Pass it as the next sync's `since`.")
    has_more: bool | None = strawberry.field(
        description="Whether more has changed: sync again with `cursor` at once."
    )


async def redeem_bot_key(context: Context, input: RedeemBotKeyInput) -> Outcome:
    """Redeems a key for somebody at Discord, once."""
    context.signed_in()
    await context.services.of(VaultKeys.of).refuse_missing()
    problems = Problems()
    product_id = noted_uuid(problems, input.product_id, "botProduct", "input", "productId")
    command = operations.redeem_key(
        problems,
        context.services.of(BotSecrets.of),
        product_id,
        key=input.key,
        discord_id=input.discord_id,
        discord_username=input.discord_username,
        roblox_id=input.roblox_id,
        roblox_username=input.roblox_username,
    )
    return Outcome(command, {"user": RESULT})


async def sync_bot_whitelist(context: Context, input: SyncBotWhitelistInput) -> Payload:
    """Takes what one side changed, and tells what the other did."""
    actor = context.signed_in()
    await context.services.of(VaultKeys.of).refuse_missing()
    problems = Problems()
    server_id = noted_uuid(problems, input.server_id, "discordServer", "input", "serverId")
    changes = []
    for n, one in enumerate(input.changes):
        path = ("input", "changes", str(n), "productId")
        changes.append(
            operations.BotWhitelistChange(
                product_id=noted_uuid(problems, one.product_id, "botProduct", *path),
                discord_id=one.discord_id,
                changed_at=one.changed_at,
                status=one.status,
                discord_username=one.discord_username,
                roblox_id=one.roblox_id,
                roblox_username=one.roblox_username,
                key=one.key,
            )
        )
    bot_secrets = context.services.of(BotSecrets.of)
    command = operations.sync_whitelist(problems, bot_secrets, server_id, input.since, changes)
    done = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    return Payload(operations.told(done))


@strawberry.type
class BotWhitelistsMutation:
    """Mutations on who has what bots hand out."""

    redeem_bot_key: RedeemBotKeyPayload | None = mutation(
        redeem_bot_key,
        RedeemBotKeyInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        for_api_keys=True,
        for_bots=True,
        description="Redeem a key of a product in a server for somebody at Discord, once: of any "
        "number that redeem it at once one does. It is stored when this answers. Sent again for "
        "the same user it changes nothing. Where the product names one whose licences are the "
        "keys, the licence is redeemed with it.",
    )
    sync_bot_whitelist: SyncBotWhitelistPayload | None = mutation(
        sync_bot_whitelist,
        SyncBotWhitelistInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.CURSOR_EXPIRED),
        for_api_keys=True,
        for_bots=True,
        description="Send what one side changed in a server, its bot or its owner, and get what "
        "the other did. A sync that was cut off is sent again as it was.",
    )
