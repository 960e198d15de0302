"""The sandbox's checkout page: what its buttons do, and how it is guarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from payments.sandbox import SandboxProvider
from server.payment_pages import routes as page_routes
from server.sandbox_checkout import SandboxPages

from .conftest import CREDITS, Shop


@asynccontextmanager
async def browser(shop: Shop) -> AsyncIterator[tuple[httpx.AsyncClient, SandboxProvider]]:
    """A browser, and beside it a worker that processes what buttons have delivered."""
    sandbox = shop.driver.provider
    assert isinstance(sandbox, SandboxProvider)
    pages = SandboxPages(shop.database, "A shop", sandbox, shop.inbox)
    path = "/sandbox/checkout/{token}"
    app = Starlette(
        routes=[
            *page_routes(),
            Route(path, pages.show),
            Route(f"{path}/{{action}}", pages.press, methods=["POST"]),
        ]
    )

    async def work() -> None:
        while True:
            await shop.process()
            await asyncio.sleep(0.01)

    worker = asyncio.create_task(work())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://shop.test", follow_redirects=True
    ) as client:
        yield client, sandbox
    worker.cancel()


async def test_a_buyer_pays_declines_and_gets_the_money_back(sandbox_shop: Shop) -> None:
    buyer = await sandbox_shop.buyer()
    told = await sandbox_shop.order(buyer)
    async with browser(sandbox_shop) as (client, sandbox):
        page = f"/sandbox/checkout/{sandbox.page_token(told.order_id)}"
        first = await client.get(page)
        assert "Pay $5.00" in first.text
        declined = await client.post(f"{page}/decline")
        assert "The payment was declined" in declined.text
        assert declined.url.path == page
        paid = await client.post(f"{page}/pay")
        assert "Thank you, it is paid" in paid.text
        assert await sandbox_shop.wallet(buyer) == (CREDITS, 0, 0)
        await client.post(f"{page}/pay")  # pressed twice
        assert await sandbox_shop.wallet(buyer) == (CREDITS, 0, 0)
        half = await client.post(f"{page}/refund-half")
        assert "Partly refunded" in half.text
        assert await sandbox_shop.wallet(buyer) == (25, 0, 0)
        refunded = await client.post(f"{page}/refund")
        assert "<button" not in refunded.text
    assert (await sandbox_shop.status(told), await sandbox_shop.wallet(buyer)) == (
        "REFUNDED",
        (0, 0, 0),
    )


async def test_the_page_is_its_buyers_alone(sandbox_shop: Shop) -> None:
    told = await sandbox_shop.order(await sandbox_shop.buyer())
    script = "<script>alert(1)</script>"
    await sandbox_shop.owner.execute(
        "update orders set cancel_url = $2 where id = $1",
        told.order_id,
        f'https://a.test/"{script}',
    )
    async with browser(sandbox_shop) as (client, sandbox):
        token = sandbox.page_token(told.order_id)
        page = await client.get(f"/sandbox/checkout/{token}")
        assert script not in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'")
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        style = await client.get("/payments/style.css")
        assert (style.status_code, style.headers["content-type"][:8]) == (200, "text/css")
        other = SandboxProvider("another secret", "http://shop.test").page_token(told.order_id)
        for wrong in (str(told.order_id), other, token[:-1], "x", "é", sandbox.page_token(uuid4())):
            assert (await client.get(f"/sandbox/checkout/{wrong}")).status_code == 404
            assert (await client.post(f"/sandbox/checkout/{wrong}/pay")).status_code == 404
        assert (await client.post(f"/sandbox/checkout/{token}/none")).status_code == 404
    assert await sandbox_shop.status(told) == "PENDING"
