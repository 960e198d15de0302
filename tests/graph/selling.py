"""Sellers and buyers for the tests: a store that sells something, and payments that come in."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from db.core.actor import NOBODY, Actor
from db.marketplace.receiving import ProductReceiver
from payments.inbox import inbox_of
from server.services import Services

from .conftest import Ask

CREATE_STORE = """mutation($input: CreateStoreInput!) { createStore(input: $input) {
  store { id slug name isPublic connectStatus } errors { code message path } } }"""
UPDATE_STORE = """mutation($input: UpdateStoreInput!) { updateStore(input: $input) {
  store { id slug name isPublic description } errors { code message path } } }"""
CREATE_PRODUCT = """mutation($input: CreateProductInput!) { createProduct(input: $input) {
  product { id name kind status tags prices { provider amountCents currency } store { slug } }
  errors { code message path } } }"""
UPDATE_PRODUCT = """mutation($input: UpdateProductInput!) { updateProduct(input: $input) {
  product { id name prices { amountCents } } errors { code message path } } }"""
PUBLISH = """mutation($id: ID!) { publishProduct(input: {id: $id}) {
  product { id status publishedAt } errors { code message path } } }"""
ARCHIVE = """mutation($id: ID!) { archiveProduct(input: {id: $id}) {
  product { id status } errors { code path } } }"""
CREATE_FILE = """mutation($input: CreateProductFileInput!) { createProductFile(input: $input) {
  productFile { id url status } errors { code message path } } }"""
CREATE_VERSION = """mutation($file: ID!, $label: String!) {
  createProductVersion(input: {fileId: $file, label: $label, notes: "New"}) {
    productVersion { id number label fileName sizeBytes } errors { code message path } } }"""
CHECKOUT = """mutation($input: CreateCheckoutInput!) { createCheckout(input: $input) {
  order { id status amountCents currency } url errors { code message path } } }"""
DOWNLOAD = """mutation($product: ID!, $version: ID) {
  downloadProduct(input: {productId: $product, versionId: $version}) {
    url fileName productVersion { number } errors { code path } } }"""
SALE = """id status productName amountCents currency discountCents feeCents sellerCents refundedCents
  product { id } order { id } store { slug }"""
PURCHASES = "{ viewer { purchases { nodes { %s } } } }" % SALE  # noqa: UP031
SALES = "{ viewer { sales { nodes { %s } } } }" % SALE  # noqa: UP031
REVIEW = """mutation($product: ID!, $rating: Int!, $text: String) {
  saveReview(input: {productId: $product, rating: $rating, text: $text}) {
    review { id rating text authorName } errors { code path } } }"""


@dataclass
class Market:
    """One seller's store, and what buyers do with it."""

    ask: Ask
    services: Services
    seller: Actor
    slug: str = ""
    store_id: str = ""

    async def do(self, document: str, actor: Actor | None = None, **variables: Any) -> Any:
        """The payload of the only field of a document."""
        answer = await self.ask(document, variables, actor=self.seller if actor is None else actor)
        assert "errors" not in answer, answer
        (payload,) = answer["data"].values()
        return payload

    async def done(self, document: str, actor: Actor | None = None, **variables: Any) -> Any:
        """The same of a mutation that is refused nothing."""
        payload = await self.do(document, actor, **variables)
        assert payload["errors"] == [], payload
        return payload

    async def open(self, **given: Any) -> Market:
        """Opens the store."""
        self.slug = f"store-{uuid4().hex[:12]}"
        wanted = {"slug": self.slug, "name": "Store", "idempotencyKey": str(uuid4())} | given
        made = await self.done(CREATE_STORE, input=wanted)
        self.store_id = made["store"]["id"]
        return self

    async def product(self, cents: int | None = 2_000, **given: Any) -> str:
        """A draft."""
        wanted: dict[str, Any] = {
            "storeId": self.store_id,
            "name": "Admin panel",
            "idempotencyKey": str(uuid4()),
        }
        if cents is not None:
            wanted["price"] = {"amountCents": cents, "currency": "USD"}
        made = await self.done(CREATE_PRODUCT, input=wanted | given)
        return str(made["product"]["id"])

    async def version(self, product_id: str, data: bytes = b"bytes", label: str = "1.0") -> str:
        """A version of a product whose file has come."""
        given = {
            "productId": product_id,
            "fileName": "panel 1.rbxm",
            "contentType": "application/octet-stream",
            "sizeBytes": len(data),
        }
        file = (await self.done(CREATE_FILE, input=given))["productFile"]
        receiver = ProductReceiver(self.services.database, self.services.uploads.storage)
        file_id = UUID(file["id"].partition("_")[2])
        awaited = await receiver.awaited(file_id)
        assert awaited is not None
        await receiver.receive(file_id, awaited, BytesIO(data), len(data))
        made = await self.done(CREATE_VERSION, file=file["id"], label=label)
        return str(made["productVersion"]["id"])

    async def listed(self, cents: int | None = 2_000, **given: Any) -> str:
        """A product that everybody sees."""
        product_id = await self.product(cents, **given)
        await self.version(product_id)
        await self.done(PUBLISH, id=product_id)
        return product_id

    async def checkout(self, actor: Actor, product_id: str, **given: Any) -> Any:
        """A checkout of somebody's."""
        wanted = {
            "productId": product_id,
            "provider": "sandbox",
            "idempotencyKey": str(uuid4()),
        }
        return await self.do(CHECKOUT, actor, input=wanted | given)

    async def bought(self, actor: Actor, product_id: str, **given: Any) -> str:
        """An order of somebody's that is paid."""
        made = await self.checkout(actor, product_id, **given)
        assert made["errors"] == [], made
        order_id = str(made["order"]["id"].partition("_")[2])
        await self.pay(order_id, made["order"]["amountCents"])
        return order_id

    async def pay(self, order_id: str, cents: int, payment: str = "") -> None:
        """The sandbox tells that an order is paid."""
        await self.tell("payment.succeeded", order_id, cents, payment=payment or f"p-{order_id}")

    async def tell(self, kind: str, order_id: str, cents: int, **more: Any) -> None:
        """The sandbox tells of an order, and the worker does what it says."""
        inbox = self.services.of(inbox_of)
        sandbox: Any = inbox.providers["sandbox"]
        data = {
            "order": order_id,
            "payment": f"p-{order_id}",
            "amount_cents": cents,
            "currency": "USD",
        } | more
        await inbox.receive(sandbox, sandbox.delivery(kind, data))
        async for _ in inbox.process_new():
            pass


async def open_market(ask: Ask, services: Services, seller: Actor) -> Market:
    """A store of a seller's."""
    return await Market(ask, services, seller).open()


__all__ = ["NOBODY", "Market", "open_market"]
