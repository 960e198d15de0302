"""Rows of stores in the world of both ways: what two users sell to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from db.affiliates.tables import AffiliateReferral
from db.core.actor import Actor
from db.sales.tables import Sale

from ...db.states import rows_with_a_past
from .people import DOCUMENT, TEXTS, TIMESTAMPS, add, known
from .rows import Reader

PRODUCT_STATUSES = ("PUBLISHED", "DRAFT", "ARCHIVED")
SALE_STATUSES = ("COMPLETED", "REFUNDED", "DISPUTED")


async def add_store_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Two stores of a user's, of which others see one, and what these sell."""
    await add(
        owner,
        "creator_profiles",
        user_id=user.user_id,
        creator_type="STUDIO",
        business_name=TEXTS[3],
        links=DOCUMENT,
        onboarded_at=TIMESTAMPS[1],
        created_at=TIMESTAMPS[0],
    )
    for n in range(2):
        await add(
            owner,
            "stores",
            id=known(user, "store", n),
            user_id=user.user_id,
            slug=f"store-{known(user, 'store', n)}",
            name=TEXTS[3],
            description=TEXTS[2] if n else None,
            theme=DOCUMENT,
            custom_domain=f"shop-{known(user, 'store', n)}.example.com" if n else None,
            custom_domain_status="VERIFIED" if n else None,
            custom_domain_verified_at=TIMESTAMPS[1] if n else None,
            logo_path=f"store_pictures/{user.user_id}/{known(user, 'logo', n)}.png" if n else None,
            banner_path=None
            if n
            else f"store_pictures/{user.user_id}/{known(user, 'banner', n)}.jpg",
            is_public=n == 0,
            connect_status=("COMPLETE", "NOT_CONNECTED")[n],
            paypal_status=("INCOMPLETE", "NOT_CONNECTED")[n],
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )
    async with rows_with_a_past(owner, "payouts", "products", "product_files"):
        await _products(owner, user)
        for n, status in enumerate(("PAID", "PENDING")):
            await add(
                owner,
                "payouts",
                id=known(user, "payout", n),
                store_id=known(user, "store", 0),
                user_id=user.user_id,
                provider="stripe",
                provider_payout_id=str(known(user, "payout", n)),
                amount_cents=2**31 - 1 if n else 0,
                currency="USD",
                status=status,
                arrives_at=TIMESTAMPS[n] if n else None,
                created_at=TIMESTAMPS[n],
                told_at=TIMESTAMPS[n],
            )
    for n in range(2):
        await add(
            owner,
            "discount_codes",
            id=known(user, "discount code", n),
            user_id=user.user_id,
            store_id=known(user, "store", 0),
            code=f"CODE-{n}",
            kind=("PERCENTAGE", "FIXED")[n],
            percent=None if n else 15,
            amount_cents=500 if n else None,
            currency="USD" if n else None,
            usage_limit=7 if n else None,
            expires_at=TIMESTAMPS[2] if n else None,
            created_at=TIMESTAMPS[n],
        )


async def _products(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(PRODUCT_STATUSES):
        product = str(known(user, "product", n))
        await add(
            owner,
            "products",
            id=product,
            name=TEXTS[3],
            kind=("DOWNLOAD", "BOT", "DOWNLOAD")[n],
            store_id=known(user, "store", 0),
            seller_id=user.user_id,
            status=status,
            is_active=n == 0,
            description=TEXTS[2] if n else None,
            category="scripts" if n else None,
            tags=("admin", "panel") if n else (),
            licences_enabled=n == 1,
            max_activations=3 if n else None,
            download_count=n,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[n],
            published_at=None if n == 1 else TIMESTAMPS[n],
        )
        if n != 1:
            await add(
                owner,
                "product_prices",
                product_id=product,
                provider="sandbox",
                amount_cents=500,
                currency="GBP",
            )
        await add(
            owner,
            "product_pictures",
            id=known(user, "product picture", n),
            product_id=product,
            path=f"product_pictures/{product}/{known(user, 'product picture', n)}.jpg",
            content_type="image/jpeg",
            width_pixels=640,
            height_pixels=480,
            sort_order=n,
        )
        await add(
            owner,
            "product_files",
            id=known(user, "product file", n),
            user_id=user.user_id,
            product_id=product,
            file_name=TEXTS[3],
            content_type="application/zip",
            size_bytes=100 + n,
            status="READY",
            path=f"product_files/{product}/{known(user, 'product file', n)}",
            created_at=TIMESTAMPS[n],
            expires_at=TIMESTAMPS[2],
        )
        await add(
            owner,
            "product_versions",
            id=known(user, "product version", n),
            product_id=product,
            file_id=known(user, "product file", n),
            number=n + 1,
            label=TEXTS[3],
            notes=TEXTS[1] if n else None,
            file_name=TEXTS[3],
            size_bytes=100 + n,
            created_at=TIMESTAMPS[n],
        )


async def add_sale_rows(owner: asyncpg.Connection, buyer: Actor, seller: Actor) -> None:
    """What one has bought of the other, with their reviews."""
    async with rows_with_a_past(owner, "sales"):
        for n, status in enumerate(SALE_STATUSES):
            await add(
                owner,
                "sales",
                id=known(buyer, "sale", n),
                order_id=known(buyer, "order", n) if n else None,
                product_id=str(known(seller, "product", n)),
                product_name=TEXTS[3],
                store_id=known(seller, "store", 0),
                seller_id=seller.user_id,
                buyer_id=buyer.user_id,
                provider="stripe" if n else None,
                amount_cents=999 * n,
                currency=(None, "USD", "GBP")[n],
                fee_cents=49 * n,
                seller_cents=950 * n,
                refunded_cents=999 if n == 1 else 0,
                status=status,
                created_at=TIMESTAMPS[n],
                claimed_at=TIMESTAMPS[n] if n == 2 else None,
            )
    for n in range(2):
        await add(
            owner,
            "reviews",
            id=known(buyer, "review", n),
            product_id=str(known(seller, "product", n)),
            user_id=buyer.user_id,
            author_name=TEXTS[3] if n else None,
            rating=4 + n,
            text=TEXTS[2] if n else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[n],
        )


async def add_affiliate_rows(owner: asyncpg.Connection, buyer: Actor, seller: Actor) -> None:
    """A link of one's to the other's store, and what their sales were worth."""
    await add(
        owner,
        "affiliate_links",
        id=known(buyer, "affiliate link", 0),
        user_id=buyer.user_id,
        store_id=known(seller, "store", 0),
        code=known(buyer, "affiliate link", 0).hex[:10],
        clicks=7,
        created_at=TIMESTAMPS[1],
    )
    async with rows_with_a_past(owner, "affiliate_referrals"):
        for n, status in enumerate(("EARNED", "REVERSED", "HELD")):
            await add(
                owner,
                "affiliate_referrals",
                id=known(buyer, "affiliate referral", n),
                link_id=known(buyer, "affiliate link", 0) if n else None,
                user_id=buyer.user_id,
                seller_id=seller.user_id,
                store_id=known(seller, "store", 0) if n else None,
                sale_id=known(buyer, "sale", n),
                commission_cents=99 + n,
                reversed_cents=100 if n == 1 else 0,
                currency=("USD", "GBP")[n % 2],
                status=status,
                created_at=TIMESTAMPS[n],
            )


def store_ids(user: Actor) -> dict[str, list[str]]:
    """Their global ids, by type."""
    made = {
        "CreatorProfile": [f"creatorProfile_{user.user_id}"],
        "Sale": [f"sale_{known(user, 'sale', n)}" for n in range(len(SALE_STATUSES))],
    }
    for type_name, prefix, what, number in (
        ("Store", "store", "store", 2),
        ("Payout", "payout", "payout", 2),
        ("DiscountCode", "discountCode", "discount code", 2),
        ("ProductPicture", "productPicture", "product picture", 3),
        ("ProductFile", "productFile", "product file", 3),
        ("ProductVersion", "productVersion", "product version", 3),
        ("Review", "review", "review", 2),
        ("AffiliateLink", "affiliateLink", "affiliate link", 1),
        ("AffiliateReferral", "affiliateReferral", "affiliate referral", 3),
    ):
        made[type_name] = [f"{prefix}_{known(user, what, n)}" for n in range(number)]
    return made


def product_ids(user: Actor) -> list[str]:
    """Those of what a user sells."""
    return [f"product_{known(user, 'product', n)}" for n in range(len(PRODUCT_STATUSES))]


async def earnings(reader: Reader, user_id: Any) -> list[dict[str, Any]]:
    """What a seller has earned, in each store and currency."""
    found = await reader.rows(Sale, "Sale", "seller_id", user_id, as_admin=True)
    made: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        sale = one.values
        if sale["amount_cents"]:
            _count(made, sale)
    return [made[key] for key in sorted(made)]


async def affiliate_earnings(reader: Reader, user_id: Any) -> list[dict[str, Any]]:
    """What somebody has earned by their links, in each currency."""
    found = await reader.rows(
        AffiliateReferral, "AffiliateReferral", "user_id", user_id, as_admin=True
    )
    made: dict[str, dict[str, Any]] = {}
    for one in found:
        referral = one.values
        sums = made.setdefault(
            referral["currency"],
            {
                "currency": referral["currency"],
                **dict.fromkeys(
                    ("referralCount", "commissionCents", "reversedCents", "heldCents", "netCents"),
                    0,
                ),
            },
        )
        left = referral["commission_cents"] - referral["reversed_cents"]
        sums["referralCount"] += 1
        sums["commissionCents"] += referral["commission_cents"]
        sums["reversedCents"] += referral["reversed_cents"]
        sums["heldCents"] += left if referral["status"] == "HELD" else 0
        sums["netCents"] += left if referral["status"] == "EARNED" else 0
    return [made[currency] for currency in sorted(made)]


def _count(made: dict[tuple[str, str], dict[str, Any]], sale: Mapping[str, Any]) -> None:
    store = f"store_{sale['store_id']}"
    sums = made.setdefault(
        (store, sale["currency"]),
        {
            "storeId": store,
            "currency": sale["currency"],
            "saleCount": 0,
            **dict.fromkeys(("grossCents", "feeCents", "refundedCents", "netCents"), 0),
        },
    )
    refunded = sale["refunded_cents"]
    of_fee = sale["fee_cents"] * refunded // sale["amount_cents"]
    sums["saleCount"] += 1
    sums["grossCents"] += sale["amount_cents"]
    sums["feeCents"] += sale["fee_cents"] - of_fee
    sums["refundedCents"] += refunded
    sums["netCents"] += sale["seller_cents"] - (refunded - of_fee)
