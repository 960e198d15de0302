"""What becomes of sales at their edges: free ones, whole units, bans while money is questioned, guests who become sellers."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor
from server.services import Services

from ..conftest import MakeUser
from . import selling
from .conftest import Ask
from .selling import Market, open_market
from .test_affiliates import earned, link
from .test_market_attacks import new_code, refusals
from .test_sales import OBTAIN, RATED, purchases

LICENCES = "{ viewer { licences { nodes { id status banReason } } } }"
BAN = """mutation($id: ID!, $banned: Boolean!, $reason: String) {
  banLicence(input: {id: $id, banned: $banned, reason: $reason}) {
    licence { status banReason } errors { code path } } }"""
EARNINGS = "{ viewer { earnings { feeCents refundedCents netCents } } }"
# As often as an order is opened for nothing in a day.
COPY_ORDER = """insert into orders (user_id, product_id, kind, provider, amount_cents, currency, status,
  expires_at)
select user_id, product_id, kind, provider, amount_cents, currency, 'PENDING', now() + interval '1 day'
from orders, generate_series(1, $2::integer) where user_id = $1"""
ANONYMOUS = "update users set is_anonymous = true where id = $1"
MERGE = "select app.lock_for_merge($1, $2), app.merge_guest($1, $2)"


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def licence_of(market: Market, buyer: Actor) -> dict[str, Any]:
    """The only licence of somebody's."""
    (found,) = (await market.do(LICENCES, buyer))["licences"]["nodes"]
    return dict(found)


async def test_what_codes_make_free_is_bounded_as_what_nobody_pays(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, buyer = await market.listed(licencesEnabled=True), await make_user()
    code = (await new_code(market, percent=100))["code"]
    assert refusals(await market.checkout(buyer, product_id, discountCode=code)) == []
    await owner.execute(COPY_ORDER, buyer.user_id, 48)
    taken = [await market.checkout(buyer, product_id, discountCode=code) for _ in range(3)]
    assert [refusals(one) for one in taken] == [[], ["LIMIT_EXCEEDED"], ["LIMIT_EXCEEDED"]]


async def test_what_is_left_of_a_refunded_sale_can_be_paid(
    market: Market, make_user: MakeUser
) -> None:
    """1,111 yen, of which 333 go back: of 111 yen 77 are left, of a fee of 55 yen 39."""
    price = {"amountCents": 111_100, "currency": "JPY"}
    product_id = await market.listed(None, affiliatesEnabled=True, price=price)
    affiliate, buyer = await make_user(), await make_user()
    made = await market.checkout(buyer, product_id, affiliateCode=await link(market, affiliate))
    order_id = made["order"]["id"].partition("_")[2]
    await market.tell("payment.succeeded", order_id, 111_100, currency="JPY")
    await market.tell("payment.refunded", order_id, 33_300, currency="JPY", refund=f"r1-{order_id}")
    assert await earned(market, affiliate) == [("EARNED", 11_100, 3_400, "JPY")]
    (sums,) = (await market.do(EARNINGS))["earnings"]
    assert sums == {"feeCents": 3_900, "refundedCents": 33_300, "netCents": 73_900}
    await market.tell("payment.refunded", order_id, 77_800, currency="JPY", refund=f"r2-{order_id}")
    assert await earned(market, affiliate) == [("REVERSED", 11_100, 11_100, "JPY")]
    (sums,) = (await market.do(EARNINGS))["earnings"]
    assert sums == {"feeCents": 0, "refundedCents": 111_100, "netCents": 0}


@pytest.mark.parametrize("reason", ["Shared.", None])
async def test_a_ban_during_a_dispute_outlasts_it(
    market: Market, make_user: MakeUser, reason: str | None
) -> None:
    product_id, buyer = await market.listed(licencesEnabled=True), await make_user()
    order_id = await market.bought(buyer, product_id)
    licence_id, dispute = (await licence_of(market, buyer))["id"], f"d-{order_id}"
    await market.tell("dispute.opened", order_id, 2_000, dispute=dispute)
    held = (await licence_of(market, buyer))["banReason"]
    # Nobody makes the server take their ban for its own.
    feigned = await market.do(BAN, id=licence_id, banned=True, reason=f" {held} ")
    assert [one["path"] for one in feigned["errors"]] == [["input", "reason"]]
    for _ in range(2):
        banned = await market.done(BAN, id=licence_id, banned=True, reason=reason)
        assert banned["licence"] == {"status": "BANNED", "banReason": reason}
    await market.tell("dispute.closed", order_id, 2_000, dispute=dispute, won=True)
    assert (await licence_of(market, buyer))["status"] == "BANNED"
    lifted = await market.done(BAN, id=licence_id, banned=False, reason=None)
    assert lifted["licence"]["status"] == "AVAILABLE"


async def test_a_product_that_is_shown_goes_on_handing_something_out(market: Market) -> None:
    product_id = await market.product(licencesEnabled=True)
    off = {"id": product_id, "licencesEnabled": False}
    await market.done(selling.UPDATE_PRODUCT, input=off)
    await market.done(selling.UPDATE_PRODUCT, input=off | {"licencesEnabled": True})
    await market.done(selling.PUBLISH, id=product_id)
    refused = await market.do(selling.UPDATE_PRODUCT, input=off)
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [
        ("INVALID_STATE", ["input", "licencesEnabled"])
    ]
    await market.version(product_id)
    await market.done(selling.UPDATE_PRODUCT, input=off)


async def test_a_guest_who_turns_out_to_be_the_affiliate_or_the_seller_gains_nothing(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id = await market.listed(affiliatesEnabled=True)
    affiliate, guest, sellers_guest = [await make_user() for _ in range(3)]
    code = await link(market, affiliate)
    for buyer in (guest, sellers_guest):
        await market.bought(buyer, product_id, affiliateCode=code)
        await market.done(selling.REVIEW, buyer, product=product_id, rating=5, text="Best ever")
    await owner.execute(ANONYMOUS, guest.user_id)
    await owner.execute(MERGE, guest.user_id, affiliate.user_id)
    assert sorted(one[0] for one in await earned(market, affiliate)) == ["EARNED", "REVERSED"]
    assert len(await purchases(market, affiliate)) == 1
    await owner.execute(ANONYMOUS, sellers_guest.user_id)
    await owner.execute(MERGE, sellers_guest.user_id, market.seller.user_id)
    assert len(await purchases(market, market.seller)) == 1
    rated = await market.do(RATED, id=product_id)
    assert (rated["ratingCount"], len(rated["reviews"]["nodes"])) == (1, 1)


async def test_of_a_free_product_that_a_guest_and_a_member_took_one_sale_stays(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, guest, member = await market.listed(None), await make_user(), await make_user()
    for taker in (guest, member):
        await market.done(OBTAIN, taker, id=product_id)
    await owner.execute(ANONYMOUS, guest.user_id)
    await owner.execute(MERGE, guest.user_id, member.user_id)
    assert len(await purchases(market, member)) == 1
