"""Rows of entitlements: each user has one of an app store, and a device that it named."""

from . import ADMIN, FIRST, LATER, Maker

ROWS: dict[str, Maker] = {
    "public.provider_entitlements": lambda user, key: {
        "id": key,
        "user_id": user,
        "provider": "revenuecat",
        "source": f"purchase {key}",
        "name": "pro",
        "product": "com.shop.pro",
        "store": "APP_STORE",
        "expires_at": LATER,
        "will_renew": True,
        "told_at": LATER,
    },
    "public.provider_user_names": lambda user, key: {
        "provider": "revenuecat",
        "name": f"$RCAnonymousID:{key.hex}",
        "user_id": user,
    },
    "public.provider_transfers": lambda user, key: {
        "id": key,
        "provider": "revenuecat",
        "giver_id": user,
        "receiver_id": ADMIN.user_id if user != ADMIN.user_id else FIRST.user_id,
        "told_at": LATER,
    },
}
