"""Affiliates: who recommends a store earns by its sales, never by their own, and not by what goes back."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .selling import Market, open_market

LINK = """mutation($store: ID!) { createAffiliateLink(input: {storeId: $store}) {
  affiliateLink { id code clicks store { slug } } errors { code path } } }"""
CLICK = """mutation($code: String!) { trackAffiliateClick(input: {code: $code}) {
  isCounted errors { code } } }"""
EARNED = """{ viewer { affiliateReferrals { nodes { status commissionCents reversedCents currency } }
  affiliateEarnings { currency referralCount commissionCents reversedCents heldCents netCents } } }"""
OWED = "{ viewer { owedCommissions { nodes { status commissionCents } } } }"
PERCENT = """mutation($id: ID!, $percent: Int) { updateStore(
  input: {id: $id, affiliateCommissionPercent: $percent}) {
  store { affiliateCommissionPercent } errors { code path } } }"""
CLAIM = "mutation { claimPurchases { claimedCount errors { code } } }"


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def link(market: Market, affiliate: Actor) -> str:
    """The code of somebody's link to the store."""
    made = await market.done(LINK, affiliate, store=market.store_id)
    return str(made["affiliateLink"]["code"])


async def earned(market: Market, affiliate: Actor) -> list[tuple[Any, ...]]:
    """What somebody has earned, sale by sale."""
    found = (await market.do(EARNED, affiliate))["affiliateReferrals"]["nodes"]
    return [tuple(one.values()) for one in found]


async def test_who_recommends_a_sale_earns_as_long_as_it_is_paid(
    market: Market, make_user: MakeUser
) -> None:
    product_id = await market.listed(affiliatesEnabled=True)
    affiliate, buyer = await make_user(), await make_user()
    code = await link(market, affiliate)
    assert await link(market, affiliate) == code
    order_id = await market.bought(buyer, product_id, affiliateCode=code.upper())
    await market.pay(order_id, 2_000)
    assert await earned(market, affiliate) == [("EARNED", 200, 0, "USD")]
    owed = (await market.do(OWED))["owedCommissions"]["nodes"]
    assert owed == [{"status": "EARNED", "commissionCents": 200}]
    for stranger in (buyer, await make_user()):
        assert await earned(market, stranger) == []
    await market.tell("dispute.opened", order_id, 2_000, dispute=f"d-{order_id}")
    assert await earned(market, affiliate) == [("HELD", 200, 0, "USD")]
    await market.tell("dispute.closed", order_id, 2_000, dispute=f"d-{order_id}", won=True)
    await market.tell("payment.refunded", order_id, 501, refund=f"r1-{order_id}")
    assert await earned(market, affiliate) == [("EARNED", 200, 51, "USD")]
    (sums,) = (await market.do(EARNED, affiliate))["affiliateEarnings"]
    assert tuple(sums.values()) == ("USD", 1, 200, 51, 0, 149)
    await market.tell("payment.refunded", order_id, 1_499, refund=f"r2-{order_id}")
    assert await earned(market, affiliate) == [("REVERSED", 200, 200, "USD")]


async def test_nobody_earns_by_their_own_purchase_or_sale(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, plain = await market.listed(affiliatesEnabled=True), await market.listed()
    affiliate, buyer, guest = await make_user(), await make_user(), await make_user()
    code = await link(market, affiliate)
    own = await market.do(LINK, store=market.store_id)
    assert [one["code"] for one in own["errors"]] == ["INVALID_STATE"]
    await market.bought(affiliate, product_id, affiliateCode=code)
    await market.bought(buyer, plain, affiliateCode=code)
    await market.bought(buyer, product_id, affiliateCode="0123456789")
    assert await earned(market, affiliate) == []
    # Nor by what they bought without an account, once they claim it.
    email, own_code = f"{uuid4().hex[:8]}@example.test", await link(market, guest)
    await market.checkout(NOBODY, product_id, email=email, affiliateCode=own_code)
    order_id = await owner.fetchval(
        "select order_id from sale_offers where buyer_email = $1", email
    )
    await market.pay(str(order_id), 2_000)
    assert await earned(market, guest) == [("EARNED", 200, 0, "USD")]
    await owner.execute(
        "update users set email = $2, email_key = $2, email_confirmed_at = now() where id = $1",
        guest.user_id,
        email,
    )
    assert (await market.done(CLAIM, guest))["claimedCount"] == 1
    assert await earned(market, guest) == [("REVERSED", 200, 200, "USD")]


async def test_a_store_says_its_percentage_and_an_order_keeps_it(
    market: Market, make_user: MakeUser
) -> None:
    product_id = await market.listed(affiliatesEnabled=True)
    affiliate, buyer = await make_user(), await make_user()
    code = await link(market, affiliate)
    made = await market.checkout(buyer, product_id, affiliateCode=code)
    changed = await market.done(PERCENT, id=market.store_id, percent=25)
    assert changed["store"] == {"affiliateCommissionPercent": 25}
    await market.pay(made["order"]["id"].partition("_")[2], 2_000)
    await market.bought(buyer, product_id, affiliateCode=code)
    assert [one[1] for one in await earned(market, affiliate)] == [500, 200]
    for percent in (0, 91, None):
        wrong = await market.do(PERCENT, id=market.store_id, percent=percent)
        assert [one["path"] for one in wrong["errors"]] == [["input", "affiliateCommissionPercent"]]


async def test_a_click_counts_once_for_each_network(market: Market, make_user: MakeUser) -> None:
    affiliate = await make_user()
    code = await link(market, affiliate)
    clicks = [await market.done(CLICK, NOBODY, code=code) for _ in range(3)]
    assert [one["isCounted"] for one in clicks] == [True, False, False]
    assert not (await market.done(CLICK, NOBODY, code="nobodys"))["isCounted"]
    made = await market.done(LINK, affiliate, store=market.store_id)
    assert (made["affiliateLink"]["clicks"], made["affiliateLink"]["store"]) == (
        1,
        {"slug": market.slug},
    )
