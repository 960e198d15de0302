"""Admins change what is sold and for how much; what is shown is what is charged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.seeding import load_seed
from db.embedded.database import EmbeddedDatabase

from ..conftest import MakeUser
from .conftest import Ask
from .test_catalog_editing import noted, send

PACK, PLAN = "test-pack", "test-plan-month"
SHOWN = (
    "product { id name kind credits plan { id } prices { provider amountCents currency interval } }"
)
CHECKOUT = """mutation($product: ID!, $key: String!) { createCheckout(input: {
  productId: $product, provider: "sandbox", idempotencyKey: $key}) { order { amountCents currency } errors { code } } }"""
FORGET = (
    "delete from orders where product_id like 'test-%'",
    "delete from product_prices where product_id like 'test-%'",
    "delete from products where id like 'test-%'",
    "delete from plans where id = 'test-sold'",
)


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> AsyncIterator[Actor]:
    """An admin; what they have added is taken away again."""
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    yield actor
    for statement in FORGET:
        await owner.execute(statement)


async def sold(ask: Ask, admin: Actor, cents: int = 700) -> None:
    """A pack that is sold in the sandbox."""
    pack = {"id": PACK, "name": "A pack", "kind": "CREDITS", "credits": 70}
    price = {"productId": PACK, "provider": "sandbox", "amountCents": cents, "currency": "USD"}
    for name, given in (("saveProduct", pack), ("saveProductPrice", price)):
        assert (await send(ask, admin, name, given, "product { id }"))["errors"] == []


async def charged(ask: Ask, buyer: Actor, product: str, key: str) -> Any:
    answer = await ask(CHECKOUT, {"product": product, "key": key}, actor=buyer)
    return answer["data"]["createCheckout"]


async def test_what_is_added_and_changed_is_shown_charged_and_noted_once_each(
    ask: Ask,
    owner: asyncpg.Connection,
    admin: Actor,
    make_user: MakeUser,
    cluster: EmbeddedDatabase,
) -> None:
    buyer = await make_user()
    pack = {"id": PACK, "name": "A pack", "kind": "CREDITS", "credits": 70, "planId": None}
    price = {"productId": PACK, "provider": "sandbox", "amountCents": 700, "currency": "USD"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("saveProduct", pack),
        ("saveProductPrice", price),
        ("saveProduct", {"id": f"product_{PACK}", "credits": 80}),
        (
            "saveProductPrice",
            {"productId": f"product_{PACK}", "provider": "sandbox", "amountCents": 800},
        ),
    ]
    for number, (name, given) in enumerate(steps):
        for _ in range(2):
            payload = await send(ask, admin, name, given, SHOWN)
            assert payload["errors"] == []
        if number == 1:
            order = (await charged(ask, buyer, PACK, "one"))["order"]
            assert order == {"amountCents": 700, "currency": "USD"}
    assert payload["product"] == {
        "id": f"product_{PACK}", "name": "A pack", "kind": "CREDITS", "credits": 80, "plan": None,
        "prices": [{"provider": "sandbox", "amountCents": 800, "currency": "USD", "interval": None}],
    }  # fmt: skip
    assert (await charged(ask, buyer, PACK, "two"))["order"]["amountCents"] == 800
    # What was offered stays as it was.
    assert (await charged(ask, buyer, PACK, "one"))["order"]["amountCents"] == 700
    entries = await noted(owner, admin)
    assert [(action, entry["table"], entry["key"]) for action, entry in entries] == [
        ("save_in_catalog", "products", PACK),
        ("save_in_catalog", "product_prices", f"{PACK}:sandbox"),
    ] * 2
    # Loading the seed again leaves what an admin has set.
    await send(ask, admin, "saveProduct", {"id": "credits-200", "sortOrder": 1}, "product { id }")
    edited = "select edited from product_prices where product_id = $1"
    assert await owner.fetchval(edited, PACK) == ["amount_cents", "currency"]
    await load_seed(cluster.owner_url, "sparky")
    assert (
        await owner.fetchval("select amount_cents from product_prices where product_id = $1", PACK)
        == 800
    )


async def test_the_seed_leaves_a_price_that_an_admin_has_set(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, cluster: EmbeddedDatabase
) -> None:
    wanted = "product_id = 'credits-200' and provider = 'paymob'"
    before = await owner.fetchval(f"select amount_cents from product_prices where {wanted}")
    given = {"productId": "credits-200", "provider": "paymob", "amountCents": before + 1}
    try:
        await send(ask, admin, "saveProductPrice", given, "product { id }")
        await load_seed(cluster.owner_url, "sparky")
        after = await owner.fetchval(f"select amount_cents from product_prices where {wanted}")
        assert after == before + 1
    finally:
        restore = f"update product_prices set amount_cents = $1, edited = '{{}}' where {wanted}"
        await owner.execute(restore, before)


async def test_what_is_removed_is_sold_no_more(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, make_user: MakeUser
) -> None:
    await sold(ask, admin)
    buyer = await make_user()
    given = {"productId": PACK, "provider": "sandbox"}
    for _ in range(2):
        payload = await send(ask, admin, "removeProductPrice", given, SHOWN)
        assert (payload["product"]["prices"], payload["errors"]) == ([], [])
    (error,) = (await charged(ask, buyer, PACK, "k"))["errors"]
    assert error["code"] == "BAD_USER_INPUT"
    for _ in range(2):
        payload = await send(ask, admin, "removeProduct", {"id": PACK}, f"deletedId {SHOWN}")
        assert payload == {"deletedId": f"product_{PACK}", "product": None, "errors": []}
    assert [action for action, _ in await noted(owner, admin)][2:] == ["remove_from_catalog"] * 2


async def test_what_orders_name_is_switched_off(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, make_user: MakeUser
) -> None:
    await sold(ask, admin)
    buyer = await make_user()
    assert (await charged(ask, buyer, PACK, "k"))["errors"] == []
    for _ in range(2):
        payload = await send(ask, admin, "removeProduct", {"id": PACK}, SHOWN)
        assert payload["errors"] == []
    row = await owner.fetchrow(
        "select is_active, (select count(*) from product_prices where product_id = p.id) as prices"
        " from products p where id = $1", PACK,
    )  # fmt: skip
    assert tuple(row) == (False, 1)
    (error,) = (await charged(ask, buyer, PACK, "other"))["errors"]
    assert error["code"] == "NOT_FOUND"
    listed = (await ask("{ products { id } }", actor=buyer))["data"]["products"]
    assert f"product_{PACK}" not in {product["id"] for product in listed}
    assert (await noted(owner, admin))[2:] == [
        ("remove_from_catalog", {"table": "products", "key": PACK, "kept": True})
    ]


async def test_what_is_charged_for_a_plan_follows_its_price(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, make_user: MakeUser
) -> None:
    """But not what a provider keeps, nor a price that was another one."""
    plan = {
        "id": "test-sold",
        "name": "Sold",
        "monthlyCredits": 5,
        "maxDailyCredits": 5,
        "priceCents": 900,
    }
    product = {"id": PLAN, "name": "A month", "kind": "PLAN", "planId": "plan_test-sold"}
    kept = {"stripe": (900, "price_test_sold"), "paymob": (901, None), "sandbox": (900, None)}
    await send(ask, admin, "savePlan", plan, "plan { id }")
    assert (await send(ask, admin, "saveProduct", product, SHOWN))["errors"] == []
    for provider, (cents, price_id) in kept.items():
        given = {"productId": PLAN, "provider": provider, "amountCents": cents, "currency": "USD",
                 "interval": "MONTH", "priceId": price_id}  # fmt: skip
        assert (await send(ask, admin, "saveProductPrice", given, SHOWN))["errors"] == []
    for _ in range(2):
        payload = await send(
            ask, admin, "savePlan", {"id": "test-sold", "priceCents": 950}, "plan { id }"
        )
        assert payload["errors"] == []
    rows = await owner.fetch(
        "select provider, amount_cents from product_prices where product_id = $1", PLAN
    )
    assert dict(map(tuple, rows)) == {"stripe": 900, "paymob": 901, "sandbox": 950}
    buyer = await make_user()
    assert (await charged(ask, buyer, PLAN, "k"))["order"]["amountCents"] == 950
    keys = [entry["key"] for _, entry in await noted(owner, admin)]
    assert keys[-2:] == ["test-sold", f"{PLAN}:sandbox"]


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("saveProduct", {"id": "Not a slug"}, ["id"]),
    ("saveProduct", {"id": PACK, "kind": "CREDITS", "credits": 1}, ["name"]),
    ("saveProduct", {"id": PACK, "name": "x"}, ["kind"]),
    ("saveProduct", {"id": PACK, "name": "x", "kind": "CREDITS"}, ["credits"]),
    ("saveProduct", {"id": PACK, "name": "x", "kind": "CREDITS", "credits": 1, "planId": "pro"}, ["planId"]),
    ("saveProduct", {"id": PACK, "name": "x", "kind": "PLAN"}, ["planId"]),
    ("saveProduct", {"id": PACK, "name": "x", "kind": "PLAN", "planId": "none"}, ["planId"]),
    ("saveProduct", {"id": PACK, "name": "x", "kind": "PLAN", "planId": "pro", "credits": 1}, ["credits"]),
    ("saveProduct", {"id": "credits-200", "kind": "PLAN", "planId": "pro", "credits": None}, ["kind"]),
    ("saveProduct", {"id": "credits-200", "credits": 0, "name": " ", "isActive": None},
     ["credits", "name", "isActive"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "none", "amountCents": 0, "currency": "usd"},
     ["provider", "amountCents", "currency"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "stripe", "currency": "USD"}, ["amountCents"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "stripe", "amountCents": 1}, ["currency"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "sandbox", "interval": "MONTH"}, ["interval"]),
    ("saveProductPrice", {"productId": "pro-month", "provider": "sandbox", "interval": None}, ["interval"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "sandbox", "priceId": ""}, ["priceId"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "stripe", "amountCents": 1_050, "currency": "JPY"},
     ["amountCents"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "paypal", "amountCents": 1_050, "currency": "HUF"},
     ["amountCents"]),
    ("saveProductPrice", {"productId": "credits-200", "provider": "paypal", "amountCents": 500, "currency": "KWD"},
     ["currency"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "fields"), WRONG)
async def test_what_is_wrong_is_told_at_its_place_and_nothing_is_written(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, name: str, given: Any, fields: list[str]
) -> None:
    # Tests of payments leave prices of this provider.
    await owner.execute(
        "delete from product_prices where product_id = 'credits-200' and provider = 'stripe'"
    )
    payload = await send(ask, admin, name, given, "product { id }")
    assert payload["product"] is None
    assert {error["code"] for error in payload["errors"]} == {"BAD_USER_INPUT"}
    found = sorted(error["path"] for error in payload["errors"])
    assert found == sorted(["input", field] for field in fields)
    assert await noted(owner, admin) == []


async def test_a_plan_costs_what_can_be_paid_wherever_its_price_is_followed(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    async def save(**given: Any) -> list[list[str]]:
        payload = await send(ask, admin, "savePlan", {"id": "test-sold"} | given, "plan { id }")
        return [error["path"] for error in payload["errors"]]

    assert await save(name="A plan", monthlyCredits=1, maxDailyCredits=1, priceCents=100_000) == []
    in_currency = "update plans set currency = $1 where id = 'test-sold'"
    await owner.execute(in_currency, "JPY")
    assert await save(priceCents=100_050) == [["input", "priceCents"]]
    # PayPal takes whole forints alone, and charges what the plan costs.
    await owner.execute(in_currency, "HUF")
    price = {"productId": PLAN, "provider": "paypal", "amountCents": 100_000, "currency": "HUF"}
    for name, given in (
        ("saveProduct", {"id": PLAN, "name": "A month", "kind": "PLAN", "planId": "test-sold"}),
        ("saveProductPrice", price | {"interval": "MONTH"}),
    ):
        assert (await send(ask, admin, name, given, "product { id }"))["errors"] == []
    assert await save(priceCents=100_050) == [["input", "priceCents"]]
    kept = "select price_cents from plans where id = 'test-sold'"
    assert await owner.fetchval(kept) == 100_000


async def test_a_providers_price_is_of_one_product(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    await sold(ask, admin)
    other = {"id": "test-other", "name": "Other", "kind": "CREDITS", "credits": 1}
    await send(ask, admin, "saveProduct", other, "product { id }")
    given = {"provider": "stripe", "amountCents": 1, "currency": "USD", "priceId": "price_of_tests"}
    for product, errors in ((PACK, []), ("test-other", [["input", "priceId"]])):
        payload = await send(
            ask, admin, "saveProductPrice", {"productId": product} | given, "product { id }"
        )
        assert [error["path"] for error in payload["errors"]] == errors
    detail = json.loads(await owner.fetchval(
        "select detail from audit_log where user_id = $1 order by id desc limit 1", admin.user_id
    ))  # fmt: skip
    assert detail["key"] == f"{PACK}:stripe"
