"""Rows of the catalog."""

from . import FIRST, Maker

ROWS: dict[str, Maker] = {
    "public.plans": lambda user, key: {
        "id": key,
        "name": key,
        "monthly_credits": 10,
        "max_daily_credits": 5,
    },
    "public.tools": lambda user, key: {
        "id": key,
        "name_key": "name",
        "description_key": "description",
        "type": "FILTER",
        "icon_name": "icon",
        "is_active": user == FIRST.user_id,
    },
    "public.hairstyles": lambda user, key: {
        "id": key,
        "name": "Bob",
        "image_url": "https://example.test/bob.jpg",
        "gender": "FEMALE",
        "category": "short",
    },
    "public.hair_colors": lambda user, key: {"hex_code": f"#{key.hex[:6]}"},
    "public.skin_colors": lambda user, key: {"hex_code": f"#{key.hex[:6]}", "name": "Tan"},
}

CHANGES = {"tools": "sort_order = sort_order + 1"}
