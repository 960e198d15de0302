"""Tables of the pages for admins in Chromium: words stay whole, and all is in sight."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from jinja2 import Environment, FileSystemLoader
from playwright.async_api import Page, async_playwright

from server.admin.rendering import FOLDER
from server.admin.views import REPLIES

CHROMIUM = shutil.which("chromium")
ROW = {
    "id": "aiRequestLog_01a227e0-b294-74b6-af9a-1c2c570bc109",
    "userId": "user_01a227e0-b294-74b6-af9a-1c2c570bc109",
    "feature": "ANALYSIS",
    "provider": "anthropic",
    "outcome": "FAILED",
    "firstMilliseconds": 35_707,
    "latencyMilliseconds": 45_201,
    "costMicroUsd": 1_900,
    "error": "ProviderFailed: The AI provider did not give a usable answer. [recommended_openers is "
    f"missing; psychological_profile is missing; {'x' * 90}]",
    "createdAt": "2026-11-29T15:16:00.000000Z",
}
# Texts that stand on more lines than they have words, how much is out of sight, and how high a row is.
MEASURE = """() => {
  const broken = [];
  for (const cell of document.querySelectorAll("td:not(:last-child)")) {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const box = range.getBoundingClientRect();
    const lines = Math.round(box.height / 20);
    const words = cell.innerText.trim().split(/\\s+/).length;
    if (lines > (cell.className ? 1 : words)) broken.push(cell.innerText);
  }
  const card = document.querySelector(".scroll");
  return [broken, card.scrollWidth - card.clientWidth,
    document.querySelector("td:last-child").getBoundingClientRect().height];
}"""


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    """A page of Chromium with the list of replies."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    templates = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True)
    columns = REPLIES.columns
    table = templates.get_template("tables.html").module.table(  # type: ignore[attr-defined]
        columns, [[column.cell(ROW) for column in columns]]
    )
    css = (FOLDER / "static" / "admin.css").read_text()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.set_content(f"<style>{css}</style><main>{table}</main>")
        yield page
        await browser.close()


async def test_no_word_of_a_list_is_broken_and_nothing_is_out_of_sight(page: Page) -> None:
    for width in (1280, 400):
        await page.set_viewport_size({"width": width, "height": 900})
        broken, out_of_sight, height = await page.evaluate(MEASURE)
        assert (broken, out_of_sight) == ([], 0), width
        assert height < 300, "what went wrong can be read at a glance"
