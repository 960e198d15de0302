"""Stores under attack: other sellers, buyers who cheat, and people who use somebody else's address."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from server.services import Services

from ..conftest import MakeUser
from . import selling
from .conftest import Ask
from .selling import Market, open_market

CREATE_CODE = """mutation($input: CreateDiscountCodeInput!) { createDiscountCode(input: $input) {
  discountCode { id code } errors { code path } } }"""
UPDATE_CODE = """mutation($id: ID!) { updateDiscountCode(input: {id: $id, usageLimit: 9}) {
  errors { code } } }"""
DELETE_FILE = "mutation($id: ID!) { deleteProductFile(input: {id: $id}) { errors { code } } }"
PICTURE = """mutation($id: ID!) { addProductPicture(input: {productId: $id, uploadId: "upload_%s"}) {
  errors { code } } }"""
NODE = "query($id: ID!) { node(id: $id) { id } }"
HIDDEN = """query($slug: String!) { store(slug: $slug) { payouts { nodes { id } }
  discountCodes { nodes { id } } products { nodes { id } } } }"""
CLAIM = "mutation { claimPurchases { claimedCount errors { code } } }"
SET_EMAIL = (
    "update users set email = $2, email_key = lower($2), email_confirmed_at = $3 where id = $1"
)


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def new_code(market: Market, **given: Any) -> dict[str, Any]:
    """A discount code of ten percent."""
    wanted = {
        "storeId": market.store_id,
        "code": f"c-{uuid4().hex[:8]}",
        "kind": "PERCENTAGE",
        "percent": 10,
    }
    made: dict[str, Any] = (await market.done(CREATE_CODE, input=wanted | given))["discountCode"]
    return made


def refusals(payload: Any) -> list[str]:
    """The codes of what a mutation is refused."""
    return [one["code"] for one in payload["errors"]]


async def test_another_seller_reads_and_changes_nothing(
    ask: Ask, services: Services, market: Market, make_user: MakeUser
) -> None:
    other = await open_market(ask, services, await make_user())
    draft, code = await market.product(), await new_code(market)
    file = await market.done(
        selling.CREATE_FILE,
        input={
            "productId": draft,
            "fileName": "a.zip",
            "contentType": "application/zip",
            "sizeBytes": 1,
        },
    )
    file_id = file["productFile"]["id"]
    version = await market.version(draft)
    for node in (draft, code["id"], file_id, version):
        assert await market.do(NODE, id=node) == {"id": node}
        for somebody in (other.seller, NOBODY):
            assert await market.do(NODE, somebody, id=node) is None
    seen = await other.do(HIDDEN, slug=market.slug)
    assert seen == {name: {"nodes": []} for name in ("payouts", "discountCodes", "products")}
    for text, variables in (
        (selling.CREATE_VERSION, {"file": file_id, "label": "1"}),
        (DELETE_FILE, {"id": file_id}),
        (UPDATE_CODE, {"id": code["id"]}),
        (PICTURE % uuid4(), {"id": draft}),
        (CREATE_CODE, {"input": {
            "storeId": market.store_id, "code": "MINE", "kind": "PERCENTAGE", "percent": 100,
        }}),
    ):  # fmt: skip
        assert refusals(await other.do(text, **variables)) == ["NOT_FOUND"], text
    # A code of one store is worth nothing in another, whoever made it for whatever.
    listed = await market.listed()
    for products in ([listed], [draft]):
        wanted = {
            "storeId": other.store_id,
            "code": f"c-{uuid4().hex[:8]}",
            "kind": "PERCENTAGE",
            "percent": 100,
            "productIds": products,
        }
        assert refusals(await other.do(CREATE_CODE, input=wanted)) == ["BAD_USER_INPUT"]
    free = await new_code(other, percent=100)
    tried = await market.checkout(await make_user(), listed, discountCode=free["code"])
    assert refusals(tried) == ["BAD_USER_INPUT"]


async def test_of_fifty_who_want_the_last_place_of_a_code_one_has_it(
    market: Market, make_user: MakeUser
) -> None:
    product_id = await market.listed()
    code = (await new_code(market, usageLimit=1))["code"]
    users = [await make_user() for _ in range(10)]
    as_users = (market.checkout(users[n % 10], product_id, discountCode=code) for n in range(25))
    as_guests = (
        market.checkout(
            NOBODY, product_id, discountCode=code, email=f"{uuid4().hex[:8]}@example.test"
        )
        for _ in range(25)
    )
    made = await asyncio.gather(*as_users, *as_guests)
    assert sum(one["errors"] == [] for one in made) == 1


async def test_a_guests_key_gives_the_same_terms_or_none(market: Market) -> None:
    product_id, email = await market.listed(), f"{uuid4().hex[:8]}@example.test"
    code = (await new_code(market))["code"]
    same = {"email": email, "idempotencyKey": "1", "successUrl": "https://shop.test/a"}
    made = await market.checkout(NOBODY, product_id, **same)
    assert made["errors"] == []
    assert (await market.checkout(NOBODY, product_id, **same))["url"] == made["url"]
    for other in ({"discountCode": code}, {"successUrl": "https://shop.test/b"}):
        tried = await market.checkout(NOBODY, product_id, **same | other)
        assert (tried["url"], refusals(tried)) == (None, ["IDEMPOTENCY_CONFLICT"])


async def test_an_address_that_is_not_confirmed_is_nobodys(
    market: Market, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    product_id, email = await market.listed(), f"{uuid4().hex[:8]}@example.test"
    thief = await make_user()
    await owner.execute(SET_EMAIL, thief.user_id, email, None)
    await market.checkout(NOBODY, product_id, email=email)
    order_id = await owner.fetchval(
        "select order_id from sale_offers where buyer_email = $1", email
    )
    await market.pay(str(order_id), 2_000)
    assert refusals(await market.do(CLAIM, thief)) == ["EMAIL_NOT_CONFIRMED"]
    assert (await market.do(selling.PURCHASES, thief))["purchases"]["nodes"] == []
    assert refusals(await market.do(selling.DOWNLOAD, thief, product=product_id)) == ["NOT_FOUND"]


async def test_a_seller_who_buys_of_themselves_reviews_nothing(
    market: Market, owner: asyncpg.Connection
) -> None:
    product_id, email = await market.listed(), f"{uuid4().hex[:8]}@example.test"
    seller: Actor = market.seller
    await market.checkout(NOBODY, product_id, email=email)
    order_id = await owner.fetchval(
        "select order_id from sale_offers where buyer_email = $1", email
    )
    await market.pay(str(order_id), 2_000)
    await owner.execute(SET_EMAIL, seller.user_id, email, None)
    await owner.execute("update users set email_confirmed_at = now() where id = $1", seller.user_id)
    assert (await market.done(CLAIM))["claimedCount"] == 1
    praised = await market.do(selling.REVIEW, product=product_id, rating=5, text="Best ever")
    assert refusals(praised) == ["NOT_FOUND"]
