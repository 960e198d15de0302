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
    "public.passkeys": lambda user, key: {
        "id": key,
        "user_id": user,
        "credential_id": f"\\x{key.hex}",
        "public_key": "\\x00",
        "user_handle": "\\x00",
        "sign_count": 0,
        "name": "Phone",
        "is_second_factor": False,
        "is_synced": False,
    },
    "public.passkey_challenges": lambda user, key: {
        "challenge_hash": f"\\x{key.hex}",
        "user_id": user,
        "is_second_factor": False,
        "expires_at": LATER,
    },
}
