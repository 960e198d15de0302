"""Sales: what is sold once, on which terms, to whom, and what becomes of it when money goes back."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY
from server.services import Services

from ..conftest import MakeUser
from . import selling
from .conftest import Ask
from .selling import Market, open_market

CODE = """mutation($input: CreateDiscountCodeInput!) { createDiscountCode(input: $input) {
  discountCode { id code useCount usageLimit } errors { code message path } } }"""
CODES = "query($slug: String!) { store(slug: $slug) { discountCodes { nodes { code useCount } } } }"
OBTAIN = """mutation($id: ID!) { obtainProduct(input: {productId: $id}) {
  sale { id amountCents currency } errors { code path } } }"""
CLAIM = "mutation { claimPurchases { claimedCount errors { code } } }"
EARNINGS = """{ viewer { earnings { storeId currency saleCount grossCents feeCents refundedCents
  netCents } } }"""
RATED = (
    "query($id: ID!) { product(id: $id) { rating ratingCount reviews { nodes { rating text } } } }"
)


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def purchases(market: Market, actor: Any) -> list[dict[str, Any]]:
    """What somebody has bought."""
    found: list[dict[str, Any]] = (await market.do(selling.PURCHASES, actor))["purchases"]["nodes"]
    return found


async def test_5_3_a_payment_told_twice_is_one_sale_with_its_fee(
    market: Market, make_user: MakeUser
) -> None:
    product_id, buyer = await market.listed(1_999), await make_user()
    order_id = await market.bought(buyer, product_id)
    await asyncio.gather(*(market.pay(order_id, 1_999) for _ in range(5)))
    (sale,) = await purchases(market, buyer)
    assert sale | {"id": ""} == {
        "id": "",
        "status": "COMPLETED",
        "productName": "Admin panel",
        "amountCents": 1_999,
        "currency": "USD",
        "discountCents": 0,
        "feeCents": 99,
        "sellerCents": 1_900,
        "refundedCents": 0,
        "product": {"id": product_id},
        "order": {"id": f"order_{order_id}"},
        "store": {"slug": market.slug},
    }
    (sold,) = (await market.do(selling.SALES))["sales"]["nodes"]
    assert sold == sale | {"order": None}
    assert await purchases(market, await make_user()) == []
    assert (await market.do(EARNINGS))["earnings"] == [
        {
            "storeId": market.store_id,
            "currency": "USD",
            "saleCount": 1,
            "grossCents": 1_999,
            "feeCents": 99,
            "refundedCents": 0,
            "netCents": 1_900,
        }
    ]


async def test_a_payment_of_another_amount_sells_nothing(
    market: Market, make_user: MakeUser
) -> None:
    product_id, buyer = await market.listed(), await make_user()
    made = await market.checkout(buyer, product_id)
    await market.pay(made["order"]["id"].partition("_")[2], 1)
    assert await purchases(market, buyer) == []


async def test_money_that_goes_back_takes_the_product_with_it(
    market: Market, make_user: MakeUser
) -> None:
    product_id, buyer = await market.listed(), await make_user()
    order_id = await market.bought(buyer, product_id)
    await market.tell("dispute.opened", order_id, 2_000, dispute=f"d-{order_id}")
    (sale,) = await purchases(market, buyer)
    assert sale["status"] == "DISPUTED"
    refused = await market.do(selling.DOWNLOAD, buyer, product=product_id)
    assert [one["code"] for one in refused["errors"]] == ["NOT_FOUND"]
    await market.tell("dispute.closed", order_id, 2_000, dispute=f"d-{order_id}", won=True)
    await market.tell("payment.refunded", order_id, 500, refund=f"r1-{order_id}")
    (sale,) = await purchases(market, buyer)
    assert (sale["status"], sale["refundedCents"]) == ("PARTIALLY_REFUNDED", 500)
    await market.done(selling.DOWNLOAD, buyer, product=product_id)
    (earned,) = (await market.do(EARNINGS))["earnings"]
    assert (earned["grossCents"], earned["feeCents"], earned["netCents"]) == (2_000, 75, 1_425)
    await market.tell("payment.refunded", order_id, 1_500, refund=f"r2-{order_id}")
    (sale,) = await purchases(market, buyer)
    assert (sale["status"], sale["refundedCents"]) == ("REFUNDED", 2_000)
    refused = await market.do(selling.DOWNLOAD, buyer, product=product_id)
    assert [one["code"] for one in refused["errors"]] == ["NOT_FOUND"]
    (earned,) = (await market.do(EARNINGS))["earnings"]
    assert (earned["feeCents"], earned["netCents"]) == (0, 0)


async def test_nobody_buys_of_themselves_or_what_is_hidden(
    market: Market, make_user: MakeUser
) -> None:
    product_id, draft = await market.listed(), await market.product()
    own = await market.checkout(market.seller, product_id)
    assert [one["code"] for one in own["errors"]] == ["INVALID_STATE"]
    hidden = await market.checkout(await make_user(), draft)
    assert [one["code"] for one in hidden["errors"]] == ["NOT_FOUND"]


async def test_what_is_free_is_taken_once(market: Market, make_user: MakeUser) -> None:
    product_id, buyer = await market.listed(None), await make_user()
    taken = [await market.done(OBTAIN, buyer, id=product_id) for _ in range(2)]
    assert taken[0] == taken[1]
    assert taken[0]["sale"]["amountCents"] == 0
    assert len(await purchases(market, buyer)) == 1
    await market.done(selling.DOWNLOAD, buyer, product=product_id)
    priced = await market.do(OBTAIN, buyer, id=await market.listed())
    assert [one["code"] for one in priced["errors"]] == ["INVALID_STATE"]


async def code(market: Market, **given: Any) -> str:
    """A new discount code."""
    wanted = {"storeId": market.store_id, "code": f"c-{uuid4().hex[:8]}"} | given
    made = await market.done(CODE, input=wanted)
    return str(made["discountCode"]["code"])


@pytest.mark.parametrize(
    ("given", "cents"),
    [
        ({"kind": "PERCENTAGE", "percent": 15}, 1_700),
        ({"kind": "PERCENTAGE", "percent": 50, "maxDiscountCents": 300, "currency": "USD"}, 1_700),
        ({"kind": "FIXED", "amountCents": 1_500, "currency": "USD"}, 500),
        (
            {"kind": "FIXED", "amountCents": 500, "minPurchaseCents": 2_000, "currency": "USD"},
            1_500,
        ),
    ],
)
async def test_a_code_makes_the_price_lower(
    market: Market, make_user: MakeUser, given: dict[str, Any], cents: int
) -> None:
    product_id, buyer = await market.listed(), await make_user()
    written = (await code(market, **given)).lower()
    order_id = await market.bought(buyer, product_id, discountCode=written)
    (sale,) = await purchases(market, buyer)
    assert sale["order"] == {"id": f"order_{order_id}"}
    assert (sale["amountCents"], sale["discountCents"]) == (cents, 2_000 - cents)
    assert sale["feeCents"] == cents * 5 // 100


async def test_what_a_code_makes_free_is_sold_at_once(market: Market, make_user: MakeUser) -> None:
    product_id, buyer = await market.listed(), await make_user()
    written = await code(market, kind="PERCENTAGE", percent=100)
    made = await market.checkout(buyer, product_id, discountCode=written)
    assert (made["order"]["status"], made["url"], made["errors"]) == ("PAID", None, [])
    (sale,) = await purchases(market, buyer)
    assert (sale["amountCents"], sale["currency"], sale["discountCents"]) == (0, None, 2_000)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "FIXED", "amountCents": 500, "currency": "EUR"},
        {"kind": "PERCENTAGE", "percent": 10, "expiresAt": "2020-01-01T00:00:00Z"},
        {"kind": "PERCENTAGE", "percent": 10, "minPurchaseCents": 2_001, "currency": "USD"},
        # Less would be left than anybody can pay.
        {"kind": "FIXED", "amountCents": 1_999, "currency": "USD"},
        {"kind": "PERCENTAGE", "percent": 98},
    ],
)
async def test_a_code_for_something_else_or_for_nearly_all_is_refused(
    market: Market, make_user: MakeUser, given: dict[str, Any]
) -> None:
    product_id, buyer = await market.listed(), await make_user()
    made = await market.checkout(buyer, product_id, discountCode=await code(market, **given))
    assert [(one["code"], one["path"]) for one in made["errors"]] == [
        ("BAD_USER_INPUT", ["input", "discountCode"])
    ]


async def test_who_is_about_to_pay_holds_a_place_of_a_code(
    market: Market, make_user: MakeUser
) -> None:
    product_id = await market.listed()
    written = await code(market, kind="PERCENTAGE", percent=10, usageLimit=1)
    buyers = [await make_user() for _ in range(5)]
    made = await asyncio.gather(
        *(market.checkout(buyer, product_id, discountCode=written) for buyer in buyers)
    )
    assert sum(one["errors"] == [] for one in made) == 1
    (order,) = [one["order"] for one in made if one["order"]]
    await market.pay(order["id"].partition("_")[2], 1_800)
    codes = (await market.do(CODES, slug=market.slug))["discountCodes"]["nodes"]
    assert codes == [{"code": written, "useCount": 1}]
    # A code is a secret of its seller's, and of nobody's else.
    assert (await market.do(CODES, buyers[0], slug=market.slug))["discountCodes"]["nodes"] == []


async def test_a_guests_purchase_is_kept_and_claimed_by_their_confirmed_email(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, email = await market.listed(), f"Guest-{uuid4().hex[:8]}@example.com"
    made = await market.checkout(NOBODY, product_id, email=email, idempotencyKey="k")
    assert (made["order"], made["errors"]) == (None, [])
    again = await market.checkout(NOBODY, product_id, email=email, idempotencyKey="k")
    assert again["url"] == made["url"]
    order_id = await owner.fetchval(
        "select order_id from sale_offers where buyer_email = $1", email
    )
    await market.pay(str(order_id), 2_000)
    sale = await owner.fetchrow(
        "select buyer_id, buyer_email from sales where order_id = $1", order_id
    )
    assert tuple(sale) == (None, email)
    assert (
        await owner.fetchval("select buyer_email from sale_offers where order_id = $1", order_id)
        is None
    )
    claimer, other = await make_user(), await make_user()
    set_email = (
        "update users set email = $2, email_key = lower($2), email_confirmed_at = $3 where id = $1"
    )
    await owner.execute(set_email, claimer.user_id, email, None)
    refused = await market.do(CLAIM, claimer)
    assert [one["code"] for one in refused["errors"]] == ["EMAIL_NOT_CONFIRMED"]
    await owner.execute(
        "update users set email_confirmed_at = now() where id = $1", claimer.user_id
    )
    await owner.execute("update users set email_confirmed_at = now() where id = $1", other.user_id)
    assert (await market.done(CLAIM, other))["claimedCount"] == 0
    assert [(await market.done(CLAIM, claimer))["claimedCount"] for _ in range(2)] == [1, 0]
    (bought,) = await purchases(market, claimer)
    assert bought["product"] == {"id": product_id}
    await market.done(selling.DOWNLOAD, claimer, product=product_id)


async def test_a_sale_of_a_licensed_product_gives_a_licence_that_money_going_back_holds(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, buyer = (
        await market.listed(licencesEnabled=True, maxActivations=3),
        await make_user(),
    )
    order_id = await market.bought(buyer, product_id)
    await market.pay(order_id, 2_000)
    (sale,) = await purchases(market, buyer)
    sale_id = UUID(sale["id"].partition("_")[2])
    of_sale = "select * from licences where sale_id = $1"
    (licence,) = await owner.fetch(of_sale, sale_id)
    assert (f"product_{licence['product_id']}", licence["owner_id"]) == (product_id, buyer.user_id)
    assert licence["seller_id"] == market.seller.user_id
    assert (licence["source"], licence["max_activations"]) == ("SOLD", 3)
    await market.tell("dispute.opened", order_id, 2_000, dispute=f"d-{order_id}")
    assert (await owner.fetchrow(of_sale, sale_id))["status"] == "BANNED"
    await market.tell("dispute.closed", order_id, 2_000, dispute=f"d-{order_id}", won=True)
    assert (await owner.fetchrow(of_sale, sale_id))["status"] == "AVAILABLE"
    # A ban of the seller's is no matter of the money, of which a part goes back.
    await owner.execute("select app.set_ban($1, true, 'Shared.')", licence["id"])
    await market.tell("payment.refunded", order_id, 500, refund=f"r1-{order_id}")
    assert (await owner.fetchrow(of_sale, sale_id))["ban_reason"] == "Shared."


async def test_a_product_without_licences_gives_none(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, buyer = await market.listed(), await make_user()
    await market.bought(buyer, product_id)
    assert len(await purchases(market, buyer)) == 1
    given = "select count(*) from licences where owner_id = $1"
    assert await owner.fetchval(given, buyer.user_id) == 0


async def test_without_an_account_nothing_else_is_bought(ask: Ask, market: Market) -> None:
    made = await market.checkout(NOBODY, "credits-50", email="somebody@example.com")
    assert [one["code"] for one in made["errors"]] == ["BAD_USER_INPUT"]
    wanted = {"productId": "credits-50", "provider": "sandbox", "idempotencyKey": "k"}
    answer = await ask(selling.CHECKOUT, {"input": wanted})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_who_has_bought_it_reviews_it_once(market: Market, make_user: MakeUser) -> None:
    product_id, first, second = await market.listed(), await make_user(), await make_user()
    early = await market.do(selling.REVIEW, first, product=product_id, rating=5, text="Good")
    assert [one["code"] for one in early["errors"]] == ["NOT_FOUND"]
    for buyer in (first, second):
        await market.bought(buyer, product_id)
    await market.done(selling.REVIEW, first, product=product_id, rating=5, text="Good")
    await market.done(selling.REVIEW, second, product=product_id, rating=2, text=None)
    seen = await market.do(RATED, NOBODY, id=product_id)
    assert (seen["rating"], seen["ratingCount"]) == (3.5, 2)
    changed = await market.done(selling.REVIEW, first, product=product_id, rating=4, text=None)
    seen = await market.do(RATED, NOBODY, id=product_id)
    assert (seen["rating"], seen["ratingCount"]) == (3.0, 2)
    gone = "mutation($id: ID!) { deleteReview(input: {id: $id}) { deletedId errors { code } } }"
    stranger = await market.do(gone, second, id=changed["review"]["id"])
    assert [one["code"] for one in stranger["errors"]] == ["NOT_FOUND"]
    await market.done(gone, first, id=changed["review"]["id"])
    seen = await market.do(RATED, NOBODY, id=product_id)
    assert (seen["rating"], seen["ratingCount"]) == (2.0, 1)
    wrong = await market.do(selling.REVIEW, second, product=product_id, rating=6, text=None)
    assert [one["path"] for one in wrong["errors"]] == [["input", "rating"]]
