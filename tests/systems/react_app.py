"""The example in React as its users meet it: built, served, in a browser, with a Stripe to pay at."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.fakes.stripe_billing import FakeBilling, stripe_billing
from tests.running import ROOT, RunningServer, running_server

APP = ROOT / "examples/react"
ARTIFACTS = ROOT / "tests/artifacts"
CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
PASSWORD = "violet lantern 7"
PRICES = {
    "STRIPE_PRICE_STARTER_MONTHLY": ("price_starter_month", 2_900),
    "STRIPE_PRICE_PRO_MONTHLY": ("price_pro_month", 9_900),
    "STRIPE_PRICE_PRO_ANNUAL": ("price_pro_year", 99_000),
}
START_SECONDS = 20
# As wide as a phone, and as a laptop.
WIDTHS = (420, 1_360)
OVERFLOWING = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && !one.closest(".skip, .visually-hidden"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest("nav"))
  .map((one) => one.outerHTML.slice(0, 120))"""


@dataclass
class Site:
    """Where the app is, and what stands behind it."""

    url: str
    server: RunningServer
    bank: FakeBilling
    browser: Browser

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """Somebody with a browser of their own."""
        context = await self.browser.new_context(viewport={"width": WIDTHS[1], "height": 900})
        await context.route("https://*.stripe.test/**", _show_provider)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        visitor = Visitor(self, page)
        page.on("pageerror", lambda error: visitor.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and visitor.faults.append(said.text))
        page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        yield visitor
        await context.close()
        assert visitor.faults == []

    async def deliver(self) -> None:
        """Stripe tells the server what has happened there."""
        async with httpx.AsyncClient() as http:
            for told in self.bank.delivered():
                answer = await http.post(
                    f"{self.server.url}/webhooks/stripe", content=told.body, headers=told.headers
                )
                assert answer.status_code == 200, answer.text


@dataclass
class Visitor:
    """A person at a page of the app."""

    site: Site
    page: Page

    def __post_init__(self) -> None:
        self.faults: list[str] = []

    async def go(self, path: str) -> None:
        """Opens an address."""
        await self.page.goto(self.site.url + path)

    async def sign_up(self, email: str) -> None:
        """A new account, made on the page that is open."""
        if await self.page.get_by_role("heading", name="Sign in").is_visible():
            await self.press("Sign up")
        await self.fill({"E-mail address": email, "Password": PASSWORD})
        await self.press("Sign up")

    async def fill(self, values: dict[str, str]) -> None:
        """Fills in fields by their labels."""
        for label, value in values.items():
            await self.page.get_by_label(label, exact=True).fill(value)

    async def press(self, name: str) -> None:
        """Presses a button."""
        await self.page.get_by_role("button", name=name, exact=True).first.click()

    async def open(self, name: str) -> None:
        """Follows a link."""
        await self.page.get_by_role("link", name=name, exact=True).first.click()

    async def sees(self, text: str, seconds: float = 15) -> None:
        """Waits for a text."""
        await expect(self.page.get_by_text(text).first).to_be_visible(timeout=seconds * 1000)

    async def is_told_at(self, label: str) -> None:
        """Waits for an error beside a field, which a reader of the screen hears with it."""
        field = self.page.get_by_label(label, exact=True)
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(re.compile(r"\w"))

    async def looks_right(self, name: str) -> None:
        """Nothing reaches over the edge, on a phone and on a laptop; pictures of both are kept."""
        ARTIFACTS.mkdir(exist_ok=True)
        for width in WIDTHS:
            await self.page.set_viewport_size({"width": width, "height": 900})
            assert await self.page.evaluate(OVERFLOWING) == [], (name, width)
            await self.page.screenshot(path=ARTIFACTS / f"react-{name}-{width}.png", full_page=True)


@asynccontextmanager
async def running_site(folder: Path) -> AsyncIterator[Site]:
    """The app in front of a server, with a browser."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if shutil.which("npm") is None or not (APP / "node_modules").is_dir():
        pytest.skip("Node and its packages are needed: npm ci --prefix examples/react")
    with stripe_billing() as bank:
        bank.price_cents |= dict(PRICES.values())
        bank.yearly = {"price_pro_year"}
        bank.show_prices()
        prices = {name: price for name, (price, _) in PRICES.items()}
        settings = bank.settings | prices | {"TELEPHONY_SECONDS": "3"}
        building = asyncio.to_thread(_build, folder / "dist")
        with running_server(folder / "data", **settings) as server:
            await building
            with _previewing(server, folder / "dist") as url:
                async with async_playwright() as playwright:
                    browser = await playwright.chromium.launch(
                        executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
                    )
                    yield Site(url, server, bank, browser)
                    await browser.close()


def _build(folder: Path) -> None:
    """Types made by the schema, checked, and the pages: `npm run build`, into a folder.

    Vite refuses a second build of the project meanwhile, which another process of tests may begin.
    """
    command = ["npm", "run", "build", "--", "--outDir", str(folder)]
    with (APP / "package.json").open("rb") as building:
        flock(building, LOCK_EX)
        done = subprocess.run(command, cwd=APP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _previewing(server: RunningServer, folder: Path) -> Iterator[str]:
    """The built app on a port of its own, in front of a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    program = [APP / "node_modules/.bin/vite", "preview", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*program, "--port", str(port), "--strictPort", "--outDir", str(folder)],
        cwd=APP, env=os.environ | {"TALLYGRAPH": server.url}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(url, timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline, "the app is not served"
            time.sleep(0.05)


async def _show_provider(route: Route) -> None:
    """Stands in for the provider's own pages."""
    await route.fulfill(content_type="text/html", body="<title>Stripe</title><h1>Stripe</h1>")
