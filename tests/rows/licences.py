"""Rows of licences: each user sells and owns one of their product."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.licences": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.products"),
        "seller_id": user,
        "owner_id": user,
        "key_hash": f"\\x{key.hex * 2}",
        "key_end": "ABCD",
    },
    "public.licence_activations": lambda user, key: {
        "licence_id": known_id(user, "public.licences"),
        "machine_hash": f"\\x{key.hex * 2}",
    },
}
CHANGES = {"licences": "discord_id = '876543210987654321'"}
