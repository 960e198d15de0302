"""Rows of factors."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.totp_factors": lambda user, key: {
        "user_id": user,
        "sealed_secret": f"\\x{key.hex}",
    },
    "public.recovery_codes": lambda user, key: {
        "user_id": user,
        "code_hashes": f'{{"\\\\x{key.hex}"}}',
        "codes_left": 1,
    },
    "public.second_factor_challenges": lambda user, key: {
        "id": key,
        "user_id": user,
        "method": "password",
        "expires_at": LATER,
    },
}
