"""The seed of Aura has its packs, and its demo makes one person once, as clients would."""

from __future__ import annotations

import asyncpg

from db.core.seeding import read_seed
from db.demo.aura import EMAIL, load_aura
from db.embedded.database import EmbeddedDatabase
from db.translations.tables import LOCALES

KEPT = """
select (select count(*) from profiles where user_id = u.id and analysis <> '{}') as profiles,
    (select count(*) from chat_messages where user_id = u.id) as messages,
    (select count(*) from coaching_sessions where user_id = u.id) as sessions,
    (select dating_goals ->> 'type' from user_profiles where user_id = u.id) as goal
from users u where u.email = $1
"""


def test_the_packs_are_auras() -> None:
    seed = read_seed("aura")
    packs = {row["id"]: row["credits"] for row in seed["products"] if row["kind"] == "CREDITS"}
    assert sorted(packs.values()) == [10, 50, 200]
    cents = {
        (packs[row["product_id"]], row["provider"]): row["amount_cents"]
        for row in seed["product_prices"]
        if row["product_id"] in packs
    }
    assert [cents[n, "stripe"] for n in (10, 50, 200)] == [499, 1999, 5999]
    assert [cents[n, "revenuecat"] for n in (10, 50, 200)] == [599, 2499, 7999]
    pro = {row["id"]: row["plan_id"] for row in seed["products"] if row["kind"] == "SUBSCRIPTION"}
    assert set(pro.values()) == {"aura-pro"}
    assert {
        (row["billing_interval"], row["provider"], row["amount_cents"])
        for row in seed["product_prices"]
        if row["product_id"] in pro
    } == {
        (interval, provider, cents)
        for interval, cents in (("MONTH", 1499), ("YEAR", 11999))
        for provider in ("stripe", "revenuecat")
    }
    named = {(row["locale"], row["key"]) for row in seed["translations"]}
    assert named >= {
        (locale, f"product.{pack}.name") for locale in LOCALES for pack in (*packs, *pro)
    }


def test_who_signs_up_has_three_credits_and_a_friend_is_worth_five() -> None:
    seed = read_seed("aura")
    (terms,) = seed["sign_up_terms"]
    assert (terms["bonus_credits"], terms["plan_id"]) == (3, "aura-free")
    (referral,) = seed["referral_terms"]
    assert (referral["referrer_credits"], referral["referee_credits"]) == (5, 3)


async def test_the_demo_makes_its_person_once(
    cluster: EmbeddedDatabase, database: object, owner: asyncpg.Connection
) -> None:
    first = await load_aura(cluster.owner_url, "no hash", "tests")
    assert first == {"people": 1, "profiles": 10, "messages": 20}
    kept = await owner.fetchrow(KEPT, EMAIL)
    assert tuple(kept) == (10, 20, 1, "long-term")
    again = await load_aura(cluster.owner_url, "no hash", "tests")
    assert set(again.values()) == {0}
