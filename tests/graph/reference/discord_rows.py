"""Rows of Discord in the world of both ways: servers, and what bots hand out there."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor
from db.discord.tables import BotProduct
from db.vault.sealing import Vault
from settings import get_settings

from ...db.states import rows_with_a_past
from .developer_rows import DISCORD_ID, ROBLOX_IDS
from .people import TEXTS, TIMESTAMPS, add, known

SECRET = "a secret of more than twenty signs"


def guild_of(user: Actor, number: int) -> str:
    """The id at Discord of a user's server."""
    return str(10**18 + known(user, "discord server", number).time_low)


async def add_discord_rows(owner: asyncpg.Connection, user: Actor, bot: Actor) -> None:
    """Two servers of a user's, one of them with a bot, and a server that only the bot reads."""
    for n in range(3):
        await add(
            owner,
            "discord_servers",
            id=known(user, "discord server", n),
            guild_id=guild_of(user, n),
            name=TEXTS[3],
            icon=TEXTS[2] if n else None,
            owner_discord_id=DISCORD_ID,
            member_count=2**31 - 1 if n else 0,
            is_configured=n == 1,
            user_id=user.user_id if n < 2 else None,
            bot_id=bot.user_id if n else None,
            claimed_at=TIMESTAMPS[n] if n < 2 else None,
            left_at=TIMESTAMPS[n] if n == 1 else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )
    vault = Vault(get_settings())
    for n in range(3):
        product = known(user, "bot product", n)
        await add(
            owner,
            "bot_products",
            id=product,
            server_id=known(user, "discord server", 1),
            name=TEXTS[3] + str(n),
            role_id=DISCORD_ID if n else None,
            redemption_message=TEXTS[2] if n else None,
            roblox_group_id=ROBLOX_IDS[n] if n else None,
            product_id=str(known(user, "product", 0)) if n == 1 else None,
            developer_product_id=known(user, "developer product", 0) if n == 2 else None,
            payhip_key_sealed=vault.seal(BotProduct.payhip_key_sealed, product, SECRET[: 9 * n])
            if n
            else None,
            roblox_key_sealed=vault.seal(BotProduct.roblox_key_sealed, product, TEXTS[3])
            if n == 1
            else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )
    await _whitelist(owner, user)
    for n, roles in enumerate(((), (DISCORD_ID, DISCORD_ID[:-1]))):
        await add(
            owner,
            "bot_command_permissions",
            id=known(user, "bot permission", n),
            server_id=known(user, "discord server", 1),
            command_name=f"command-{n}",
            allowed_role_ids=roles,
            require_admin=n == 0,
            enabled=n == 1,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )


async def _whitelist(owner: asyncpg.Connection, user: Actor) -> None:
    async with rows_with_a_past(owner, "bot_whitelisted_users"):
        for n, status in enumerate(("ACTIVE", "REMOVED", "ACTIVE")):
            await add(
                owner,
                "bot_whitelisted_users",
                id=known(user, "bot user", n),
                product_id=known(user, "bot product", 1),
                discord_id=f"{10**17 + n}",
                discord_username=TEXTS[3] if n else None,
                roblox_id=ROBLOX_IDS[n] if n else None,
                roblox_username=TEXTS[2] if n else None,
                status=status,
                changed_by=("BOT", "PLATFORM")[n % 2],
                position=n,
                redeemed_at=TIMESTAMPS[n] if n else None,
                created_at=TIMESTAMPS[n],
                updated_at=TIMESTAMPS[n + 1],
            )


def discord_ids(user: Actor) -> dict[str, list[str]]:
    """Their global ids, by type."""
    return {
        type_name: [f"{prefix}_{known(user, what, n)}" for n in range(number)]
        for type_name, prefix, what, number in (
            ("DiscordServer", "discordServer", "discord server", 3),
            ("BotProduct", "botProduct", "bot product", 3),
            ("BotWhitelistedUser", "botWhitelistedUser", "bot user", 3),
            ("BotCommandPermission", "botCommandPermission", "bot permission", 2),
        )
    }
