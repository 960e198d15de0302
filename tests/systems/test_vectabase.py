"""The product Vectabase as its people meet it: a store, a sale, a guest, a refund; the public API alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.running import RunningServer, run_command, running_server

from .client import Client

SAVE = "errors { code message path }"
CREATE_STORE = (
    f"mutation($i: CreateStoreInput!) {{ a: createStore(input: $i) {{ store {{ id }} {SAVE} }} }}"
)
CREATE_PRODUCT = f"""mutation($i: CreateProductInput!) {{ a: createProduct(input: $i) {{
  product {{ id status }} {SAVE} }} }}"""
PUBLISH = f"mutation($i: PublishProductInput!) {{ a: publishProduct(input: $i) {{ product {{ status }} {SAVE} }} }}"
FILE = f"mutation($i: CreateProductFileInput!) {{ a: createProductFile(input: $i) {{ productFile {{ id url }} {SAVE} }} }}"
VERSION = f"mutation($i: CreateProductVersionInput!) {{ a: createProductVersion(input: $i) {{ productVersion {{ number }} {SAVE} }} }}"
CHECKOUT = f"mutation($i: CreateCheckoutInput!) {{ a: createCheckout(input: $i) {{ order {{ id status }} url {SAVE} }} }}"
DOWNLOAD = f"mutation($i: DownloadProductInput!) {{ a: downloadProduct(input: $i) {{ url fileName {SAVE} }} }}"
REVIEW = f"mutation($i: SaveReviewInput!) {{ a: saveReview(input: $i) {{ review {{ rating }} {SAVE} }} }}"
CLAIM = "mutation { a: claimPurchases { claimedCount errors { code } } }"
PAGE = """query($slug: String!) { store(slug: $slug) { name connectStatus payouts { nodes { id } }
  products { nodes { id name rating downloadCount prices { provider amountCents currency } } } } }"""
PURCHASES = "{ viewer { purchases { nodes { status amountCents feeCents product { id } } } } }"
SOLD = """{ viewer { sales { nodes { id status sellerCents } } earnings { currency grossCents netCents }
  notifications { nodes { titleKey } } } }"""
MODEL = b"local panel = {}\nreturn panel\n" * 1_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A deployment that serves Vectabase."""
    with running_server(tmp_path_factory.mktemp("vectabase") / "data") as running:
        run_command(running.data_directory, "seed", "vectabase", "--demo")
        yield running


async def do(client: Client, document: str, **given: Any) -> dict[str, Any]:
    """The payload of a mutation that is refused nothing."""
    payload: dict[str, Any] = (await client.ask(document, {"i": given} if given else {}))["a"]
    assert payload["errors"] == [], payload
    return payload


async def press(http: httpx.AsyncClient, url: str, button: str) -> None:
    """The buyer presses a button on the sandbox's page."""
    answer = await http.post(f"{url}/{button}")
    assert answer.status_code < 400, answer.text


async def until_bought(client: Client, number: int) -> list[dict[str, Any]]:
    """What somebody has bought, once it is so much."""
    async with asyncio.timeout(20):
        while True:
            found = (await client.ask(PURCHASES))["viewer"]["purchases"]["nodes"]
            if len(found) == number:
                return list(found)
            await asyncio.sleep(0.1)


async def until_sold(client: Client, number: int) -> list[dict[str, Any]]:
    """What somebody has sold, once it is so much."""
    async with asyncio.timeout(20):
        while True:
            found = (await client.ask(SOLD))["viewer"]["sales"]["nodes"]
            if len(found) == number:
                return list(found)
            await asyncio.sleep(0.1)


async def test_5_1_a_store_sells_a_file_that_only_its_buyer_gets(server: RunningServer) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        seller, buyer, nobody = (Client(server.url, http) for _ in range(3))
        await seller.sign_up()
        await buyer.sign_up()
        slug = f"night-market-{uuid4().hex[:8]}"
        store = (
            await do(seller, CREATE_STORE, slug=slug, name="Night Market", idempotencyKey="s")
        )["store"]["id"]
        price = {"amountCents": 1_400, "currency": "GBP"}
        made = await do(
            seller, CREATE_PRODUCT, storeId=store, name="Panel", price=price, idempotencyKey="p"
        )
        product = made["product"]["id"]
        assert (await nobody.ask(PAGE, {"slug": slug}))["store"]["products"]["nodes"] == []
        file = await do(
            seller,
            FILE,
            productId=product,
            fileName="panel.lua",
            contentType="text/x-lua",
            sizeBytes=len(MODEL),
        )
        put = await http.put(file["productFile"]["url"], content=MODEL)
        assert put.status_code == 201, put.text
        await do(seller, VERSION, fileId=file["productFile"]["id"], label="1.0")
        await do(seller, PUBLISH, id=product)
        page = (await nobody.ask(PAGE, {"slug": slug}))["store"]
        assert page["products"]["nodes"][0]["prices"][1] == {"provider": "sandbox", **price}
        # The buyer pays on the sandbox's page, and has the file under its name.
        bought = {"productId": product, "provider": "sandbox", "idempotencyKey": "c"}
        await press(http, (await do(buyer, CHECKOUT, **bought))["url"], "pay")
        (sale,) = await until_bought(buyer, 1)
        assert (sale["status"], sale["amountCents"], sale["feeCents"]) == ("COMPLETED", 1_400, 70)
        link = await do(buyer, DOWNLOAD, productId=product)
        got = await http.get(link["url"])
        assert got.content == MODEL
        assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''panel.lua"
        forged = link["url"].replace("panel.lua", "other.lua")
        assert (await http.get(forged)).status_code == 403
        await do(buyer, REVIEW, productId=product, rating=5, text="Calm and quick.")
        (shown,) = (await nobody.ask(PAGE, {"slug": slug}))["store"]["products"]["nodes"]
        assert (shown["rating"], shown["downloadCount"]) == (5, 1)
        sold = (await seller.ask(SOLD))["viewer"]
        assert [one["sellerCents"] for one in sold["sales"]["nodes"]] == [1_330]
        assert sold["earnings"] == [{"currency": "GBP", "grossCents": 1_400, "netCents": 1_330}]
        assert sold["notifications"]["nodes"][0]["titleKey"] == "notifications.productSold.title"
        # Somebody without an account buys it, and has it once they have one.
        email = f"guest-{uuid4().hex[:8]}@example.test"
        guest = await do(nobody, CHECKOUT, **bought | {"email": email, "idempotencyKey": "g"})
        assert guest["order"] is None
        await press(http, guest["url"], "pay")
        sold_again = await until_sold(seller, 2)
        assert sold_again[0]["sellerCents"] == 1_330
        refused = (await buyer.ask(CLAIM))["a"]
        assert [one["code"] for one in refused["errors"]] == ["EMAIL_NOT_CONFIRMED"]


async def test_the_demo_shows_a_store(server: RunningServer) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        page = (await Client(server.url, http).ask(PAGE, {"slug": "lantern-works"}))["store"]
    assert [one["name"] for one in page["products"]["nodes"]] == [
        "Lamplighter",
        "Night Market Panel",
    ]
    assert page["products"]["nodes"][0]["rating"] == 5
