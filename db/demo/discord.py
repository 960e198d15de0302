"""Makes a server at Discord that shows the bot: a seller claimed it, to hand out products.

There is no such server at Discord: the bot of `examples/discord-bot` plays it in a terminal. What
is there already stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from db.accounts.emails import email_key
from db.accounts.operating import as_owner
from db.core.codecs import set_codecs
from db.core.commands import call
from db.core.errors import Problems
from db.core.pool import PooledConnection, Transaction
from db.core.row_ids import new_row_id
from db.demo.vectabase import SELLER
from db.discord import operations as discord
from db.discord.operations import BotSecrets, Guild, SavedPermission, SavedProduct
from db.licences.keys import LicenceKeys
from db.licences.operations import LicenceBatch, LicensedProduct, create_licences

if TYPE_CHECKING:
    from settings import Settings

GUILD_ID, OWNER_DISCORD_ID = "420000000000000001", "420000000000000002"
GUARD_ROLE, LAMP_ROLE, MARKET_ROLE = (
    "420000000000000003",
    "420000000000000004",
    "420000000000000005",
)
LICENSED, LICENCES = "Night Market Panel", 2
PERMISSIONS = (
    SavedPermission("admin-whitelist-list", [GUARD_ROLE], require_admin=False, enabled=True),
    SavedPermission("admin-product-remove", [], require_admin=True, enabled=False),
)
_SELLER = "select id from users where email_key = $1"
_KNOWN = "select exists (select from discord_servers where guild_id = $1)"
_SOLD = "select id from products where seller_id = $1 and name = $2"
_BOT = "insert into users (display_name) values ('Lamplighter') returning id"
_KEY = """
insert into api_keys (user_id, name, prefix, secret_hash, scopes)
values ($1, 'Lamplighter', $2, $3, array['READ', 'WRITE', 'BOT'])
"""


@dataclass(frozen=True, slots=True)
class DiscordDemo:
    """How many were made of what, and the keys that can be redeemed at the bot."""

    counts: dict[str, int]
    licence_keys: list[str] = field(default_factory=list)


async def load_discord(
    owner_url: str, settings: Settings, key_prefix: str, key_hash: bytes
) -> DiscordDemo:
    """Makes a bot with that key, and its server; nothing where there is one."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        seller = await connection.fetchval(_SELLER, email_key(SELLER))
        if seller is None or await connection.fetchval(_KNOWN, GUILD_ID):
            return DiscordDemo({"bots": 0, "discord servers": 0})
        # Whole or not at all.
        async with connection.transaction():
            bot = await connection.fetchval(_BOT)
            await connection.execute(_KEY, bot, key_prefix, key_hash)
            keys = await _Town(connection, settings, seller, bot).build()
    return DiscordDemo({"bots": 1, "discord servers": 1}, keys)


class _Town:
    """The server that is made, in one transaction: by the bot first, then by who claims it."""

    def __init__(
        self, connection: asyncpg.Connection, settings: Settings, seller: UUID, bot: UUID
    ) -> None:
        self._connection = connection
        self._acting = Transaction(PooledConnection(connection))
        self._secrets, self._keys = BotSecrets(settings), LicenceKeys(settings)
        self._seller, self._bot = seller, bot

    async def build(self) -> list[str]:
        """Gives the licence keys of what needs one."""
        await self._become(self._bot)
        guild = Guild(GUILD_ID, "Lantern Works", None, OWNER_DISCORD_ID, 42)
        (server,) = await call(self._acting, discord.register_servers([guild]))
        await self._become(self._seller)
        code = self._secrets.link_hash(discord.new_link_code())
        await call(self._acting, discord.create_link_code(code))
        await self._become(self._bot)
        await call(self._acting, discord.link_server(GUILD_ID, code))
        await self._become(self._seller)
        sold = await self._connection.fetchval(_SOLD, self._seller, LICENSED)
        products = [
            SavedProduct(
                None,
                "Lamplighter",
                {"role_id": LAMP_ROLE, "redemption_message": "Good evening. The lamps are yours."},
            ),
            SavedProduct(None, LICENSED, {"role_id": MARKET_ROLE, "product_id": sold}),
        ]
        await call(
            self._acting,
            discord.configure_server(
                Problems(), self._secrets, server, products, PERMISSIONS, "demo"
            ),
        )
        return await self._licences(sold)

    async def _licences(self, product_id: str) -> list[str]:
        made = self._keys.made_for(self._seller, "demo bot", LICENCES)
        stored = {(one := new_row_id()): self._keys.sealed(one, key) for key in made}
        batch = LicenceBatch(LICENCES, None, None, None)
        wanted = create_licences(LicensedProduct(product_id), batch, stored, "demo bot")
        await call(self._acting, wanted)
        return list(made)

    async def _become(self, user_id: UUID) -> None:
        await self._connection.execute("select set_config('app.user_id', $1, true)", str(user_id))
