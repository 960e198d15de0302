"""Changes of servers at Discord: what bots tell, what users claim and configure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from auth.discord_servers import administers
from db.core.commands import call_as_actor
from db.core.errors import ErrorCode, Problems, not_found
from db.core.retries import retried
from db.discord import operations
from db.discord.operations import BotSecrets, Guild, SavedPermission, SavedProduct
from graph.discord import DiscordServer
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome, Payload, Ref
from graph.shared.context import Context
from graph.shared.inputs import given
from graph.shared.mutations import MutationPayload
from graph.shared.relay import (
    noted_uuid,
    slug_from_global_id,
    split_global_id,
    uuid_from_global_id,
)

_GUILD = "The server's id at Discord, 17 to 20 digits."
_SERVER = "The server's global id."
_PRODUCT = "The product's global id."
_KEPT = "Left out, it stays as it is; null empties it."


@strawberry.input(description="What Discord says of a server that the bot is in.")
class RegisteredGuildInput:
    guild_id: str = strawberry.field(description=_GUILD)
    name: str = strawberry.field(description="1 to 100 characters.")
    icon: str | None = strawberry.field(
        default=None,
        description="The hash by which Discord names its icon. Null: it has none.",
    )
    owner_discord_id: str = strawberry.field(description="Who owns it there, 17 to 20 digits.")
    member_count: int = strawberry.field(description="How many members it has.")


@strawberry.input(description="Servers that the bot is in.")
class RegisterDiscordServersInput:
    servers: list[RegisteredGuildInput] = strawberry.field(description="1 to 100, each once.")


@strawberry.input(description="Servers that the bot is in no more.")
class LeaveDiscordServersInput:
    guild_ids: list[str] = strawberry.field(description="Their ids at Discord, 1 to 100.")


@strawberry.input(description="A server that the caller owns or administers at Discord.")
class ClaimDiscordServerInput:
    guild_id: str = strawberry.field(description=_GUILD)


@strawberry.input(description="A code that an administrator of a server has entered to the bot.")
class LinkDiscordServerInput:
    guild_id: str = strawberry.field(description=_GUILD)
    code: str = strawberry.field(
        description="Three groups of four characters, in any case, with or without dashes."
    )


@strawberry.input(description="A server at Discord that the caller has claimed.")
class ReleaseDiscordServerInput:
    id: strawberry.ID = strawberry.field(description=_SERVER)


@strawberry.input(description="A product of a server's: a new one, or changes of one.")
class BotProductInput:
    id: strawberry.ID | None = strawberry.field(
        default=None, description=f"{_PRODUCT} Null is as good as leaving it out: a new product."
    )
    name: str = strawberry.field(description="1 to 100 characters.")
    role_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The role that who redeems a key gets, 17 to 20 digits. {_KEPT}",
    )
    redemption_message: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"What the bot says to them, 1 to 2,000 characters. {_KEPT}",
    )
    roblox_group_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The group at Roblox that they are let into, in digits. {_KEPT}",
    )
    licensed_product_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The global id of a product that the server's owner sells, of a store's or of "
        f"a developer's: its licences are the keys then. {_KEPT}",
    )
    payhip_key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The product's key at Payhip, 1 to 500 characters; it is sealed. {_KEPT}",
    )
    roblox_key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"A key of Roblox's API, 1 to 500 characters; it is sealed. {_KEPT}",
    )


@strawberry.input(description="Who may use a command.")
class BotCommandPermissionInput:
    command_name: str = strawberry.field(
        description="1 to 32 lower-case letters, digits, dashes or underscores."
    )
    allowed_role_ids: list[str] = strawberry.field(
        default_factory=list, description="Roles whose members may, at most 100."
    )
    require_admin: bool = strawberry.field(
        default=True, description="Whether administrators alone may."
    )
    enabled: bool = strawberry.field(default=True, description="Whether anybody may.")


@strawberry.input(description="What to save of a server; what is not named stays as it is.")
class ConfigureDiscordServerInput:
    server_id: strawberry.ID = strawberry.field(description=_SERVER)
    products: list[BotProductInput] = strawberry.field(
        default_factory=list, description="At most 100. Those without an id are new."
    )
    permissions: list[BotCommandPermissionInput] = strawberry.field(
        default_factory=list, description="At most 100, each command once."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: saved once. 1 to 255 characters, kept 30 days."
    )


@strawberry.input(description="A product to remove from its server.")
class RemoveBotProductInput:
    id: strawberry.ID = strawberry.field(description=_PRODUCT)


@strawberry.input(description="A permission to remove from its server.")
class RemoveBotCommandPermissionInput:
    id: strawberry.ID = strawberry.field(description="The permission's global id.")


@strawberry.type(description="A server that is registered.")
class RegisteredServer:
    guild_id: str = strawberry.field(description="Its id at Discord.")
    id: strawberry.ID = strawberry.field(description="Its global id.")


@strawberry.type(description="Result of `registerDiscordServers`.")
class RegisterDiscordServersPayload(MutationPayload):
    servers: list[RegisteredServer] | None = strawberry.field(
        description="Them, in the order of their guilds' ids; null on errors."
    )


@strawberry.type(description="Result of `leaveDiscordServers`.")
class LeaveDiscordServersPayload(MutationPayload):
    left_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of those that the bot took care of; null on errors."
    )


@strawberry.type(description="Result of mutations of a server at Discord.")
class DiscordServerPayload(MutationPayload):
    server: DiscordServer | None = strawberry.field(
        description="The server as it is now; null on errors."
    )


@strawberry.type(description="Result of `linkDiscordServer` and `releaseDiscordServer`.")
class DiscordServerIdPayload(MutationPayload):
    server_id: strawberry.ID | None = strawberry.field(
        description="The server's global id; null on errors."
    )


@strawberry.type(description="Result of `createDiscordLinkCode`.")
class CreateDiscordLinkCodePayload(MutationPayload):
    code: str | None = strawberry.field(
        description="Enter it to the bot in the server. It is shown this once; null on errors."
    )
    expires_at: datetime | None = strawberry.field(description="Until when it is good.")


@strawberry.type(description="Result of `removeBotProduct` and `removeBotCommandPermission`.")
class RemovedFromServerPayload(MutationPayload):
    removed_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null on errors."
    )


async def register_discord_servers(context: Context, input: RegisterDiscordServersInput) -> Payload:
    """Registers the servers that a bot is in."""
    actor = context.signed_in()
    guilds = [
        Guild(one.guild_id, one.name, one.icon, one.owner_discord_id, one.member_count)
        for one in input.servers
    ]
    command = operations.register_servers(guilds)
    ids = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    named = zip(sorted(one.guild_id for one in guilds), ids, strict=True)
    return Payload(
        {"servers": [{"guild_id": guild, "id": f"discordServer_{id}"} for guild, id in named]}
    )


async def leave_discord_servers(context: Context, input: LeaveDiscordServersInput) -> Payload:
    """Notes that a bot left servers."""
    actor = context.signed_in()
    command = operations.leave_servers(input.guild_ids)
    ids = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    return Payload({"left_ids": [f"discordServer_{one}" for one in ids]})


async def claim_discord_server(context: Context, input: ClaimDiscordServerInput) -> Payload:
    """Gives a server to the caller, who owns or administers it at Discord."""
    actor, services = context.signed_in(), context.services
    assert actor.user_id is not None
    operations.check_guild_id(input.guild_id)
    known = await operations.discord_ids(services.database, actor.user_id)
    if not known:
        raise operations.no_identity()
    for discord_id in known:
        if await administers(services.settings, input.guild_id, discord_id):
            server_id = await operations.claim_server(
                services.database, actor.user_id, input.guild_id, discord_id
            )
            services.wake()
            return Payload({"server": Ref(server_id)})
    # Whether it is there, who may not claim it does not learn.
    raise not_found("Discord server", ("input", "guildId"))


async def create_discord_link_code(context: Context) -> Payload:
    """Makes a code by which an administrator gives a server to the caller."""
    actor, code = context.signed_in(), operations.new_link_code()
    command = operations.create_link_code(context.services.of(BotSecrets.of).link_hash(code))
    until = await retried(lambda: call_as_actor(context.services.database, actor, command))
    return Payload({"code": code, "expires_at": until})


async def link_discord_server(context: Context, input: LinkDiscordServerInput) -> Payload:
    """Gives a server to whose code an administrator has entered."""
    actor = context.signed_in()
    code_hash = context.services.of(BotSecrets.of).link_hash(input.code)
    command = operations.link_server(input.guild_id, code_hash)
    server_id = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    return Payload({"server_id": f"discordServer_{server_id}"})


async def release_discord_server(context: Context, input: ReleaseDiscordServerInput) -> Outcome:
    """Gives up a server of the caller's."""
    context.signed_in()
    server_id = uuid_from_global_id(input.id, "discordServer", "input", "id")
    return Outcome(operations.release_server(server_id), fields={"server_id": input.id})


async def configure_discord_server(context: Context, input: ConfigureDiscordServerInput) -> Outcome:
    """Saves products and permissions of a server; deletes nothing."""
    context.signed_in()
    problems = Problems()
    server_id = noted_uuid(problems, input.server_id, "discordServer", "input", "serverId")
    products = [_product(problems, n, one) for n, one in enumerate(input.products)]
    permissions = [
        SavedPermission(one.command_name, one.allowed_role_ids, one.require_admin, one.enabled)
        for one in input.permissions
    ]
    command = operations.configure_server(
        problems,
        context.services.of(BotSecrets.of),
        server_id,
        products,
        permissions,
        input.idempotency_key,
    )
    return Outcome(command, {"server": RESULT})


def _product(problems: Problems, n: int, saved: BotProductInput) -> SavedProduct:
    path = ("input", "products", str(n))
    values: dict[str, Any] = {
        name: value for name, value in given(saved).items() if name not in {"id", "name"}
    }
    if "licensed_product_id" in values:
        # One of the two columns, or neither.
        licensed = values.pop("licensed_product_id")
        values |= {"product_id": None, "developer_product_id": None}
        if licensed is not None and split_global_id(licensed)[0] == "developerProduct":
            at = (*path, "licensedProductId")
            found = noted_uuid(problems, licensed, "developerProduct", *at)
            values["developer_product_id"] = str(found)
        elif licensed is not None:
            values["product_id"] = slug_from_global_id(licensed, "product")
    product_id = None
    if saved.id is not None:
        product_id = noted_uuid(problems, saved.id, "botProduct", *path, "id")
    return SavedProduct(product_id, saved.name, values)


async def remove_bot_product(context: Context, input: RemoveBotProductInput) -> Outcome:
    """Removes a product from its server."""
    context.signed_in()
    product_id = uuid_from_global_id(input.id, "botProduct", "input", "id")
    return Outcome(operations.remove_product(product_id), fields={"removed_id": input.id})


async def remove_bot_command_permission(
    context: Context, input: RemoveBotCommandPermissionInput
) -> Outcome:
    """Removes a permission from its server."""
    context.signed_in()
    permission_id = uuid_from_global_id(input.id, "botCommandPermission", "input", "id")
    return Outcome(operations.remove_permission(permission_id), fields={"removed_id": input.id})


_SAVING = (ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE)


@strawberry.type
class DiscordEditingMutation:
    """Mutations on servers at Discord."""

    register_discord_servers: RegisterDiscordServersPayload | None = mutation(
        register_discord_servers,
        RegisterDiscordServersInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        for_bots=True,
        description="Register the servers that a bot is in, or change what Discord says of them. "
        "A server whose owner has linked their Discord account is theirs at once. Needs the key of "
        "a bot; of a server one bot takes care, another once that one's key has ended.",
    )
    leave_discord_servers: LeaveDiscordServersPayload | None = mutation(
        leave_discord_servers,
        LeaveDiscordServersInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_bots=True,
        description="Tell that a bot left servers. What is kept of them stays, for when it is "
        "back. Needs the key of a bot.",
    )
    claim_discord_server: DiscordServerPayload | None = mutation(
        claim_discord_server,
        ClaimDiscordServerInput,
        errors=(
            *_SAVING,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_FAILED,
        ),
        description="Claim a server that the caller owns or administers at Discord with an account "
        "that they have linked. Discord is asked whether they do.",
    )
    create_discord_link_code: CreateDiscordLinkCodePayload | None = mutation(
        create_discord_link_code,
        errors=(),
        description="Make a code that gives the caller the server in which an administrator enters "
        "it to the bot: once, within ten minutes. It takes the place of the one before. Guests "
        "sign up first.",
    )
    link_discord_server: DiscordServerIdPayload | None = mutation(
        link_discord_server,
        LinkDiscordServerInput,
        errors=(*_SAVING, ErrorCode.CODE_INVALID),
        for_bots=True,
        description="Give a server to the user whose code an administrator has entered there. "
        "Needs the key of its bot, which has made sure that they are one.",
    )
    release_discord_server: DiscordServerIdPayload | None = mutation(
        release_discord_server,
        ReleaseDiscordServerInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        description="Give up a server that the caller has claimed and that has no products.",
    )
    configure_discord_server: DiscordServerPayload | None = mutation(
        configure_discord_server,
        ConfigureDiscordServerInput,
        errors=(*_SAVING, ErrorCode.IDEMPOTENCY_CONFLICT, ErrorCode.LIMIT_EXCEEDED),
        for_api_keys=True,
        for_bots=True,
        description="Save products and command permissions of a server. Nothing is deleted: what "
        "is not named stays as it is.",
    )
    remove_bot_product: RemovedFromServerPayload | None = mutation(
        remove_bot_product,
        RemoveBotProductInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        for_bots=True,
        description="Remove a product from its server, with everybody who has it.",
    )
    remove_bot_command_permission: RemovedFromServerPayload | None = mutation(
        remove_bot_command_permission,
        RemoveBotCommandPermissionInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        for_bots=True,
        description="Remove who may use a command: administrators alone, then.",
    )
