"""Rows of Discord: each user has claimed a server, with a product, somebody who has it, and a permission."""

from . import LATER, Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.discord_servers": lambda user, key: {
        "id": key,
        "guild_id": f"{10**17 + serial(key)}",
        "name": f"Server of {user}",
        "owner_discord_id": "123456789012345678",
        "user_id": user,
        "claimed_at": LATER,
    },
    "public.bot_products": lambda user, key: {
        "id": key,
        "server_id": known_id(user, "public.discord_servers"),
        "name": str(key),
    },
    "public.bot_whitelisted_users": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.bot_products"),
        "discord_id": f"{10**17 + serial(key)}",
        "changed_by": "BOT",
        "position": serial(key),
    },
    "public.bot_whitelist_heads": lambda user, key: {
        "server_id": known_id(user, "public.discord_servers"),
    },
    "public.bot_command_permissions": lambda user, key: {
        "id": key,
        "server_id": known_id(user, "public.discord_servers"),
        "command_name": key.hex[-32:],
    },
    "public.discord_link_codes": lambda user, key: {
        "code_hash": f"\\x{key.hex * 2}",
        "user_id": user,
        "expires_at": LATER,
    },
}
CHANGES = {
    "discord_servers": "name = 'Another name'",
    "bot_products": "name = 'Another name'",
    "bot_whitelisted_users": "discord_username = 'ana'",
    "bot_command_permissions": "enabled = false",
}
