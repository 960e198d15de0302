"""Rows of stores: each user has one that sells one thing, and what came of it."""

from uuid import UUID

from . import ADMIN, FIRST, LATER, Maker, known_id, serial


def _friend(user: UUID) -> UUID | None:
    """Somebody else that every test has."""
    return ADMIN.user_id if user != ADMIN.user_id else FIRST.user_id


ROWS: dict[str, Maker] = {
    "public.marketplace_terms": lambda user, key: {"id": 1, "fee_basis_points": 500},
    "public.creator_profiles": lambda user, key: {"user_id": user, "business_name": "Studio"},
    "public.stores": lambda user, key: {
        "id": key,
        "user_id": user,
        "slug": f"s-{key}",
        "name": "Store",
        "is_public": user == FIRST.user_id,
        "theme": '{"colour": "blue"}',
        "logo_path": f"store_pictures/{user}/{key}.png",
    },
    "public.seller_accounts": lambda user, key: {
        "id": key,
        "store_id": known_id(user, "public.stores"),
        "provider": "stripe" if key == known_id(user, "public.seller_accounts") else "paypal",
        "sealed_account": f"\\x{key.hex}",
        "account_index": f"\\x{key.hex}",
    },
    "public.payouts": lambda user, key: {
        "id": key,
        "store_id": known_id(user, "public.stores"),
        "user_id": user,
        "provider": "stripe",
        "provider_payout_id": str(key),
        "amount_cents": 100,
        "currency": "USD",
        "told_at": LATER,
    },
    "public.product_pictures": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.products"),
        "path": f"product_pictures/{key}/{key}.jpg",
        "content_type": "image/jpeg",
        "width_pixels": 4,
        "height_pixels": 4,
        "sort_order": 1,
    },
    "public.product_files": lambda user, key: {
        "id": key,
        "user_id": user,
        "product_id": known_id(user, "public.products"),
        "file_name": "panel.zip",
        "content_type": "application/zip",
        "size_bytes": 100,
    },
    "public.product_versions": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.products"),
        "file_id": known_id(user, "public.product_files"),
        "number": serial(key) + 1,
        "label": "1.0",
        "file_name": "panel.zip",
        "size_bytes": 100,
    },
    "public.product_downloads": lambda user, key: {
        "product_id": known_id(user, "public.products"),
        "user_id": user,
    },
    "public.discount_codes": lambda user, key: {
        "id": key,
        "user_id": user,
        "store_id": known_id(user, "public.stores"),
        "code": f"C-{serial(key)}",
        "kind": "PERCENTAGE",
        "percent": 10,
    },
    "public.sale_offers": lambda user, key: {
        "order_id": known_id(user, "public.orders"),
        "store_id": known_id(user, "public.stores"),
        "seller_id": user,
        "list_cents": 500,
        "fee_cents": 25,
    },
    "public.sales": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.products"),
        "product_name": "Panel",
        "store_id": known_id(user, "public.stores"),
        "seller_id": _friend(user),
        "buyer_id": user,
        "order_id": known_id(user, "public.orders")
        if key == known_id(user, "public.sales")
        else None,
        "provider": "sandbox",
        "amount_cents": 500,
        "currency": "USD",
        "fee_cents": 25,
        "seller_cents": 475,
    },
    "public.affiliate_links": lambda user, key: {
        "id": key,
        "user_id": user,
        "store_id": known_id(user, "public.stores"),
        "code": key.hex[:10],
    },
    "public.affiliate_referrals": lambda user, key: {
        "id": key,
        "link_id": known_id(user, "public.affiliate_links"),
        "user_id": user,
        "seller_id": _friend(user),
        "store_id": known_id(user, "public.stores"),
        "sale_id": known_id(user, "public.sales"),
        "commission_cents": 50,
        "currency": "USD",
    },
    "public.reviews": lambda user, key: {
        "id": key,
        "product_id": known_id(user, "public.products"),
        "user_id": user,
        "rating": 4,
        "text": "Good",
    },
}
