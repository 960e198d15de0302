"""Rows of sync."""

from . import Maker, serial

ROWS: dict[str, Maker] = {
    "public.sync_heads": lambda user, _: {"user_id": user, "position": 1, "clock": 1},
    "public.profile_tombstones": lambda user, key: {
        "profile_id": key,
        "user_id": user,
        "origin_device_id": "phone",
        "origin_local_id": serial(key),
        "device_id": "phone",
        "clock": 1,
        "position": 1,
    },
    "public.sync_conflicts": lambda user, key: {
        "id": key,
        "user_id": user,
        "profile_id": key,
        "field_group": "NAME",
        "loser": "CLIENT",
        "device_id": "phone",
        "clock": 1,
        "value": '"Ada"',
        "status": "SETTLED",
    },
}
