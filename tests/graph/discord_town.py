"""Servers at Discord with a bot and their owners, of a running server; and what they send it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
from pydantic import SecretStr

from auth.api_keys import NewSecret
from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser
from tests.fakes.discord import TOKEN, FakeDiscord, fake_discord

from .developing import Developer, DeveloperNode, developer_node

ERRORS = "errors { code message path }"
REGISTER = f"""mutation($i: RegisterDiscordServersInput!) {{ a: registerDiscordServers(input: $i) {{
  servers {{ guildId id }} {ERRORS} }} }}"""
LEAVE = f"""mutation($i: LeaveDiscordServersInput!) {{ a: leaveDiscordServers(input: $i) {{
  leftIds {ERRORS} }} }}"""
CLAIM = f"""mutation($i: ClaimDiscordServerInput!) {{ a: claimDiscordServer(input: $i) {{
  server {{ id isConfigured }} {ERRORS} }} }}"""
CODE = f"mutation {{ a: createDiscordLinkCode {{ code expiresAt {ERRORS} }} }}"
LINK = f"""mutation($i: LinkDiscordServerInput!) {{ a: linkDiscordServer(input: $i) {{
  serverId {ERRORS} }} }}"""
RELEASE = f"""mutation($i: ReleaseDiscordServerInput!) {{ a: releaseDiscordServer(input: $i) {{
  serverId {ERRORS} }} }}"""
CONFIGURE = f"""mutation($i: ConfigureDiscordServerInput!) {{ a: configureDiscordServer(input: $i) {{
  server {{ id products {{ nodes {{ id name roleId payhipKey payhipKeyPreview robloxKey licensedProductId }} }}
    permissions {{ nodes {{ id commandName allowedRoleIds requireAdmin enabled }} }} }} {ERRORS} }} }}"""
REMOVE = f"mutation($i: RemoveBotProductInput!) {{ a: removeBotProduct(input: $i) {{ removedId {ERRORS} }} }}"
REMOVE_PERMISSION = f"""mutation($i: RemoveBotCommandPermissionInput!) {{
  a: removeBotCommandPermission(input: $i) {{ removedId {ERRORS} }} }}"""
REDEEM = f"""mutation($i: RedeemBotKeyInput!) {{ a: redeemBotKey(input: $i) {{
  user {{ id productId discordId robloxId status changedBy redeemedAt }} {ERRORS} }} }}"""
SYNC = f"""mutation($i: SyncBotWhitelistInput!) {{ a: syncBotWhitelist(input: $i) {{
  accepted {{ discordId outcome }} cursor hasMore
  changes {{ productId discordId status robloxUsername changedBy }} {ERRORS} }} }}"""
GUILD = "query($g: String!) { guild(guildId: $g) { id name claimedAt memberCount leftAt } }"
OWN = "{ viewer { discordServers { nodes { guildId } } botServers { nodes { guildId } } } }"
_ids = count(300_000_000_000_000_000)


def snowflake() -> str:
    return str(next(_ids))


@dataclass
class Town:
    """A server with a bot, and a Discord that it asks."""

    node: DeveloperNode
    discord: FakeDiscord
    bot: Developer

    async def person(self, discord_id: str | None = None) -> Developer:
        """Somebody with a session, who has linked their account at Discord, if they have one."""
        actor = await self.node.make_user(0)
        if discord_id is not None:
            await self.node.owner.execute(
                "insert into user_identities (user_id, provider, subject) values ($1, 'discord', $2)",
                actor.user_id,
                discord_id,
            )
        return Developer(actor, self.node.token(actor), self.node)

    async def new_bot(self) -> Developer:
        """A robot with a key, as an admin makes it."""
        return await new_bot(self.node)

    async def registered(self, owner_id: str | None = None, guild: str | None = None) -> str:
        """A server that the bot is in; gives its id at Discord."""
        guild = guild or snowflake()
        told = {
            "guildId": guild,
            "name": "A server",
            "ownerDiscordId": owner_id or snowflake(),
            "memberCount": 7,
        }
        assert await do(self.bot, REGISTER, servers=[told])
        return guild

    async def owned(self) -> tuple[Developer, str, str]:
        """Somebody, and the server that they have claimed, by both of its ids."""
        discord_id = snowflake()
        owner = await self.person(discord_id)
        guild = await self.registered(discord_id)
        found = await owner.ask(GUILD, g=guild)
        return owner, guild, found["guild"]["id"]

    async def product(self, **given: Any) -> tuple[Developer, str, str]:
        """The same with a product: the owner, the server's and the product's global ids."""
        owner, _, server = await self.owned()
        made = await do(
            owner,
            CONFIGURE,
            serverId=server,
            idempotencyKey=uuid4().hex,
            products=[{"name": "VIP", **given}],
        )
        return owner, server, made["server"]["products"]["nodes"][0]["id"]


async def new_bot(node: DeveloperNode) -> Developer:
    admin = await node.make_user(0)
    await node.owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    secret = NewSecret.make()
    async with node.owner.transaction():
        await node.owner.execute("select set_config('app.user_id', $1, true)", str(admin.user_id))
        key = await node.owner.fetchval(
            "select app.create_bot_key($1, $2, $3, null, null, '{}')",
            "A bot",
            secret.prefix,
            secret.hash,
        )
    robot = await node.owner.fetchval("select user_id from api_keys where id = $1", key)
    return Developer(admin, secret.text, node, str(robot))


async def do(somebody: Developer, document: str, **given: Any) -> Any:
    """The payload of a mutation that is refused nothing."""
    payload = (await somebody.ask(document, **({"i": given} if given else {})))["a"]
    assert payload["errors"] == [], payload
    return payload


async def refused(somebody: Developer, document: str, **given: Any) -> tuple[str, list[str] | None]:
    """The first error of a mutation that is refused, and where."""
    payload = (await somebody.ask(document, i=given))["a"]
    return payload["errors"][0]["code"], payload["errors"][0]["path"]


@asynccontextmanager
async def discord_town(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[Town]:
    """A running server whose bot is in servers of a Discord of the test's own, for a block."""
    with fake_discord() as discord:
        told = {"discord_api_url": discord.url, "discord_token": SecretStr(TOKEN)}
        changed = settings.model_copy(update=told)
        async with developer_node(database, changed, make_user, owner) as node:
            yield Town(node, discord, await new_bot(node))
