"""Rows of referrals: each user came by somebody's code, on a device of theirs."""

from __future__ import annotations

from uuid import UUID

from . import ADMIN, FIRST, Maker


def _friend(user: UUID) -> UUID:
    """Somebody else that every test has."""
    return ADMIN.user_id if user != ADMIN.user_id else FIRST.user_id


ROWS: dict[str, Maker] = {
    "public.referral_terms": lambda user, key: {
        "id": 1,
        "referrer_credits": 5,
        "referee_credits": 3,
        "most_rewards": 50,
    },
    "public.referrals": lambda user, key: {
        "id": key,
        "referrer_id": _friend(user),
        "referee_id": user,
        "is_near": False,
    },
    "public.referral_devices": lambda user, key: {"device_hash": f"\\x{key.hex}", "user_id": user},
    "public.referral_claims": lambda user, key: {
        "email_key": f"{key}@example.test",
        "code": "ABCDEF123456",
    },
}
