"""Rows of whitelists: each user has a product of a group, and a whitelist shared with a bot."""

from . import LATER, Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.developer_products": lambda user, key: {
        "id": key,
        "user_id": user,
        "name": f"Product of {user}",
        "roblox_group_id": serial(key) + 1,
        "proof_phrase": f"tallygraph-{key.hex}",
    },
    "public.whitelist_entries": lambda user, key: {
        "id": key,
        "user_id": user,
        "product_id": known_id(user, "public.developer_products"),
        "roblox_id": serial(key) + 1,
        "discord_id": "123456789012345678",
        "expires_at": LATER,
    },
    "public.whitelist_systems": lambda user, key: {
        "id": key,
        "user_id": user,
        "name": f"Whitelist of {user}",
    },
    "public.whitelist_users": lambda user, key: {
        "id": key,
        "user_id": user,
        "system_id": known_id(user, "public.whitelist_systems"),
        "external_id": str(key),
        "changed_by": "bot",
        "position": serial(key),
    },
}
CHANGES = {
    "developer_products": "name = 'Another name'",
    "whitelist_entries": "discord_id = '876543210987654321'",
    "whitelist_users": "username = 'Ana'",
}
