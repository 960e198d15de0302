"""Rows of developers in the world of both ways: keys, whitelists, and licences of what they sell."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from db.core.actor import Actor
from db.licences.keys import LicenceKeys, key_of
from settings import get_settings

from ...db.states import rows_with_a_past
from .people import DOCUMENT, LASTING, TEXTS, TIMESTAMPS, add, known

WHITELIST_STATUSES = ("ACTIVE", "EXPIRED", "BANNED", "REMOVED")
LICENCE_STATUSES = ("AVAILABLE", "REDEEMED", "BANNED", "AVAILABLE")
# Larger than an Int of GraphQL, and than what JavaScript reads without rounding.
ROBLOX_IDS = (2**31, 2**63 - 1, 2**53 + 1, 1)
DISCORD_ID = "1234567890123456789"


async def add_developer_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Keys of a developer's, what these asked for, and whom their whitelists name."""
    async with rows_with_a_past(owner, "developer_keys"):
        for n in range(3):
            await add(
                owner,
                "developer_keys",
                id=known(user, "developer key", n),
                user_id=user.user_id,
                name=TEXTS[3] + str(n),
                preview="vb_0123456",
                secret_hash=known(user, "developer key", n).bytes * 2,
                created_at=TIMESTAMPS[n],
                last_used_at=TIMESTAMPS[n] if n else None,
                revoked_at=LASTING[n] if n == 2 else None,
            )
    for n in range(4):
        await add(
            owner,
            "obfuscation_uses",
            id=known(user, "obfuscation", n),
            user_id=user.user_id,
            source=("ALLOWANCE", "CREDIT")[n % 2],
            # The last one is of a period that is over.
            created_at=TIMESTAMPS[n] if n == 3 else LASTING[n],
        )
        await add(
            owner,
            "api_request_logs",
            user_id=user.user_id,
            key_id=known(user, "developer key", 0) if n else None,
            request_id=f"req_{n}",
            method=("GET", "POST")[n % 2],
            endpoint="/v1/verify",
            status_code=(200, 401, 404, 503)[n],
            created_at=LASTING[n],
        )
    await _products(owner, user)
    await _systems(owner, user)


async def _products(owner: asyncpg.Connection, user: Actor) -> None:
    for n in range(2):
        product = known(user, "developer product", n)
        await add(
            owner,
            "developer_products",
            id=product,
            user_id=user.user_id,
            name=TEXTS[3],
            roblox_group_id=2**40 + product.time_low,
            description=TEXTS[2] if n else None,
            proof_phrase=f"tallygraph-{product.hex}",
            proven_at=TIMESTAMPS[n] if n else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )
    for n, roblox_id in enumerate(ROBLOX_IDS):
        await add(
            owner,
            "whitelist_entries",
            id=known(user, "whitelist entry", n),
            user_id=user.user_id,
            product_id=known(user, "developer product", 0),
            roblox_id=roblox_id,
            discord_id=DISCORD_ID if n else None,
            # The last one's time is over.
            expires_at=datetime(2001, 1, 1, tzinfo=UTC) if n == 3 else LASTING[n],
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[n + 1],
        )


async def _systems(owner: asyncpg.Connection, user: Actor) -> None:
    for n in range(2):
        await add(
            owner,
            "whitelist_systems",
            id=known(user, "whitelist system", n),
            user_id=user.user_id,
            developer_product_id=known(user, "developer product", 0) if n == 0 else None,
            name=TEXTS[3] + str(n),
            description=TEXTS[1] if n else None,
            created_at=TIMESTAMPS[n],
            updated_at=TIMESTAMPS[2],
        )
    async with rows_with_a_past(owner, "whitelist_users"):
        for n, status in enumerate(WHITELIST_STATUSES):
            await add(
                owner,
                "whitelist_users",
                id=known(user, "whitelist user", n),
                user_id=user.user_id,
                system_id=known(user, "whitelist system", 0),
                external_id=TEXTS[3] + str(n),
                username=TEXTS[3] if n else None,
                discord_id=DISCORD_ID if n else None,
                roblox_id=ROBLOX_IDS[n] if n else None,
                status=status,
                expires_at=LASTING[n] if n else None,
                banned_at=TIMESTAMPS[n] if status == "BANNED" else None,
                ban_reason=TEXTS[2] if status == "BANNED" else None,
                details=DOCUMENT if n else {},
                changed_by=("bot", TEXTS[3])[n % 2],
                position=n,
                created_at=TIMESTAMPS[n],
                updated_at=LASTING[n],
            )


async def add_licence_rows(owner: asyncpg.Connection, buyer: Actor, seller: Actor) -> None:
    """What one owns of the other's products, one of them without a key yet."""
    keys = LicenceKeys(get_settings())
    async with rows_with_a_past(owner, "licences"):
        for n, status in enumerate(LICENCE_STATUSES):
            licence = known(buyer, "licence", n)
            key = keys.sealed(licence, key_of(licence.int >> 48)) if n < 3 else None
            banned = status == "BANNED"
            await add(
                owner,
                "licences",
                id=licence,
                product_id=None if n == 1 else str(known(seller, "product", 1)),
                developer_product_id=known(seller, "developer product", 0) if n == 1 else None,
                seller_id=seller.user_id,
                owner_id=buyer.user_id,
                key_sealed=key and key.sealed,
                key_hash=key and key.hash,
                key_end=key and key.end,
                source=("MADE", "GIVEN", "SOLD", "SOLD")[n],
                status=status,
                max_activations=3 if n else None,
                activation_count=n,
                duration_days=30 if n else None,
                expires_at=LASTING[n] if n else None,
                discord_id=DISCORD_ID if n else None,
                roblox_id=ROBLOX_IDS[n] if n else None,
                redeemed_at=TIMESTAMPS[n] if status != "AVAILABLE" else None,
                banned_at=TIMESTAMPS[n] if banned else None,
                banned_from="REDEEMED" if banned else None,
                ban_reason=TEXTS[2] if banned else None,
                created_at=TIMESTAMPS[n],
                updated_at=TIMESTAMPS[n + 1],
            )


def developer_ids(user: Actor) -> dict[str, list[str]]:
    """Their global ids, by type."""
    return {
        type_name: [f"{prefix}_{known(user, what, n)}" for n in range(number)]
        for type_name, prefix, what, number in (
            ("DeveloperKey", "developerKey", "developer key", 3),
            ("ObfuscationUse", "obfuscationUse", "obfuscation", 4),
            ("DeveloperProduct", "developerProduct", "developer product", 2),
            ("WhitelistEntry", "whitelistEntry", "whitelist entry", 4),
            ("WhitelistSystem", "whitelistSystem", "whitelist system", 2),
            ("WhitelistUser", "whitelistUser", "whitelist user", 4),
            ("Licence", "licence", "licence", len(LICENCE_STATUSES)),
        )
    }
