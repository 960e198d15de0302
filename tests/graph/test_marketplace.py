"""Stores, what they sell, and who may see and download it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from db.core.actor import NOBODY, Actor
from server.services import Services

from ..conftest import MakeUser
from . import selling
from .conftest import Ask
from .selling import Market, open_market

PAGE = """query($slug: String!) { store(slug: $slug) { id name isPublic connectStatus payouts { nodes { id } }
  discountCodes { nodes { code } }
  products { nodes { id name kind status rating ratingCount downloadCount prices { provider amountCents currency }
    versions { nodes { number label notes fileName sizeBytes } } } } } }"""
PRODUCT = (
    "query($id: ID!) { product(id: $id) { id name status store { slug } prices { currency } } }"
)


@pytest.fixture
async def market(ask: Ask, services: Services, make_user: MakeUser) -> Market:
    """A store of a new seller's."""
    return await open_market(ask, services, await make_user())


async def test_5_2_a_draft_is_its_sellers_until_it_is_published(
    market: Market, ask: Ask, make_user: MakeUser
) -> None:
    stranger, product_id = await make_user(), await market.product()
    early = await market.do(selling.PUBLISH, id=product_id)
    assert [(one["code"], one["path"]) for one in early["errors"]] == [
        ("INVALID_STATE", ["input", "id"])
    ]
    await market.version(product_id)
    for actor, seen in ((market.seller, True), (stranger, False), (NOBODY, False)):
        page = await market.do(PAGE, actor, slug=market.slug)
        assert [one["id"] for one in page["products"]["nodes"]] == ([product_id] if seen else [])
        found = await market.do(PRODUCT, actor, id=product_id)
        assert (found is not None) is seen
    published = await market.done(selling.PUBLISH, id=product_id)
    assert published["product"]["status"] == "PUBLISHED"
    for actor in (market.seller, stranger, NOBODY):
        page = await market.do(PAGE, actor, slug=market.slug)
        (product,) = page["products"]["nodes"]
        assert product["prices"] == [
            {"provider": name, "amountCents": 2_000, "currency": "USD"}
            for name in ("paypal", "sandbox", "stripe")
        ]
        (version,) = product["versions"]["nodes"]
        assert version == {
            "number": 1,
            "label": "1.0",
            "notes": "New",
            "fileName": "panel 1.rbxm",
            "sizeBytes": 5,
        }
    # A store that is hidden hides what it sells, and nothing in the catalog is a store's.
    await market.done(selling.UPDATE_STORE, input={"id": market.store_id, "isPublic": False})
    assert await market.do(PAGE, stranger, slug=market.slug) is None
    assert await market.do(PRODUCT, stranger, id=product_id) is None
    await market.done(selling.UPDATE_STORE, input={"id": market.store_id, "isPublic": True})
    assert await market.do(PRODUCT, NOBODY, id=product_id) is not None
    catalog = (await ask("{ products { id } }"))["data"]["products"]
    assert product_id not in [one["id"] for one in catalog]
    await market.done(selling.ARCHIVE, id=product_id)
    assert await market.do(PRODUCT, stranger, id=product_id) is None


async def test_only_its_seller_changes_a_store_and_what_it_sells(
    market: Market, make_user: MakeUser
) -> None:
    product_id, other = await market.product(), await make_user()
    file = {
        "productId": product_id,
        "fileName": "a.zip",
        "contentType": "application/zip",
        "sizeBytes": 1,
    }
    tries: list[tuple[str, dict[str, Any]]] = [
        (selling.UPDATE_STORE, {"input": {"id": market.store_id, "name": "Mine"}}),
        (
            selling.CREATE_PRODUCT,
            {"input": {"storeId": market.store_id, "name": "X", "idempotencyKey": "k"}},
        ),
        (selling.UPDATE_PRODUCT, {"input": {"id": product_id, "name": "Mine"}}),
        (selling.PUBLISH, {"id": product_id}),
        (selling.ARCHIVE, {"id": product_id}),
        (selling.CREATE_FILE, {"input": file}),
        (selling.DOWNLOAD, {"product": product_id}),
    ]
    for text, variables in tries:
        payload = await market.do(text, other, **variables)
        assert [one["code"] for one in payload["errors"]] == ["NOT_FOUND"], text
    seen = await market.do(PRODUCT, id=product_id)
    assert (seen["name"], seen["status"]) == ("Admin panel", "DRAFT")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"slug": "No"}, ["input", "slug"]),
        ({"slug": "-abc"}, ["input", "slug"]),
        ({"name": " "}, ["input", "name"]),
        ({"theme": [1]}, ["input", "theme"]),
        ({"layout": {"a": "x" * 40_000}}, ["input", "layout"]),
        ({"links": {"site": "javascript:alert(1)"}}, ["input", "links"]),
        ({"customDomain": "not a domain"}, ["input", "customDomain"]),
        ({"isPublic": None}, ["input", "isPublic"]),
    ],
)
async def test_what_is_wrong_with_a_store_is_told_with_its_path(
    market: Market, given: dict[str, Any], path: list[str]
) -> None:
    wanted = {"slug": f"s-{uuid4().hex[:8]}", "name": "S", "idempotencyKey": str(uuid4())} | given
    payload = await market.do(selling.CREATE_STORE, input=wanted)
    assert [(one["code"], one["path"]) for one in payload["errors"]] == [("BAD_USER_INPUT", path)]


async def test_a_slug_is_one_stores_and_a_key_opens_one_store(
    market: Market, make_user: MakeUser
) -> None:
    wanted = {"slug": market.slug.upper(), "name": "Other", "idempotencyKey": "once"}
    payload = await market.do(selling.CREATE_STORE, await make_user(), input=wanted)
    assert [one["path"] for one in payload["errors"]] == [["input", "slug"]]
    wanted["slug"] = f"store-{uuid4().hex[:12]}"
    made = [await market.done(selling.CREATE_STORE, input=wanted) for _ in range(2)]
    assert made[0]["store"]["id"] == made[1]["store"]["id"]
    payload = await market.do(selling.CREATE_STORE, input=wanted | {"name": "Another"})
    assert [one["code"] for one in payload["errors"]] == ["IDEMPOTENCY_CONFLICT"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"price": {"amountCents": 49, "currency": "USD"}}, ["input", "price", "amountCents"]),
        ({"price": {"amountCents": 100, "currency": "usd"}}, ["input", "price", "currency"]),
        ({"tags": ["<b>"]}, ["input", "tags"]),
        ({"kind": "CREDITS"}, ["input", "kind"]),
        ({"description": "x" * 5_001}, ["input", "description"]),
        ({"maxActivations": 0}, ["input", "maxActivations"]),
    ],
)
async def test_what_is_wrong_with_a_product_is_told_with_its_path(
    market: Market, given: dict[str, Any], path: list[str]
) -> None:
    wanted = {"storeId": market.store_id, "name": "P", "idempotencyKey": str(uuid4())} | given
    payload = await market.do(selling.CREATE_PRODUCT, input=wanted)
    assert [(one["code"], one["path"]) for one in payload["errors"]] == [("BAD_USER_INPUT", path)]


async def test_a_price_changes_or_goes(market: Market) -> None:
    product_id = await market.product()
    price = {"amountCents": 700, "currency": "GBP"}
    changed = await market.done(selling.UPDATE_PRODUCT, input={"id": product_id, "price": price})
    assert {one["amountCents"] for one in changed["product"]["prices"]} == {700}
    both = await market.do(
        selling.UPDATE_PRODUCT, input={"id": product_id, "price": price, "isFree": True}
    )
    assert [one["path"] for one in both["errors"]] == [["input", "isFree"]]
    free = await market.done(selling.UPDATE_PRODUCT, input={"id": product_id, "isFree": True})
    assert free["product"]["prices"] == []


async def test_a_buyer_downloads_and_counts_once(
    market: Market, make_user: MakeUser, services: Services
) -> None:
    product_id, buyer, stranger = await market.listed(), await make_user(), await make_user()
    await market.bought(buyer, product_id)
    for _ in range(3):
        got = await market.done(selling.DOWNLOAD, buyer, product=product_id)
    assert (got["fileName"], got["productVersion"]) == ("panel 1.rbxm", {"number": 1})
    refused = await market.do(selling.DOWNLOAD, stranger, product=product_id)
    assert [one["code"] for one in refused["errors"]] == ["NOT_FOUND"]
    await market.done(selling.DOWNLOAD, product=product_id)
    page = await market.do(PAGE, NOBODY, slug=market.slug)
    assert page["products"]["nodes"][0]["downloadCount"] == 1
    # What was bought stays the buyer's when it is sold no more.
    old = await market.do(
        "query($id: ID!) { product(id: $id) { versions { nodes { id } } } }", id=product_id
    )
    await market.version(product_id, b"newer", "2.0")
    await market.done(selling.ARCHIVE, id=product_id)
    newest = await market.done(selling.DOWNLOAD, buyer, product=product_id)
    assert newest["url"] is not None
    first = old["versions"]["nodes"][0]["id"]
    older = await market.done(selling.DOWNLOAD, buyer, product=product_id, version=first)
    assert older["url"].partition("?")[0] != newest["url"].partition("?")[0]


async def test_guests_open_no_store(market: Market, owner: Any) -> None:
    user_id = await owner.fetchval("insert into users (is_anonymous) values (true) returning id")
    guest = Actor("authenticated", user_id, is_anonymous=True)
    wanted = {"slug": f"s-{uuid4().hex[:8]}", "name": "S", "idempotencyKey": "k"}
    answer = await market.ask(selling.CREATE_STORE, {"input": wanted}, actor=guest)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
