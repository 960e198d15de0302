"""The playground works in a real browser, under strict rules, and keeps every token in memory."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from graphql import GraphQLSchema, parse, validate
from playwright.async_api import (
    Browser,
    Locator,
    Page,
    Response,
    Route,
    async_playwright,
    expect,
)
from starlette.applications import Starlette

from graph.graphiql.routes import STATIC, routes
from graph.schema import build_schema
from settings import Settings

CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTIFACTS = Path(__file__).parents[1] / "artifacts"
PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
TITLES = (
    "SignUp",
    "Viewer",
    "Tools",
    "SpendCredits",
    "CreateUpload",
    "CreateGeneration",
    "WatchCredits",
    "WatchGeneration",
    "WatchNotifications",
)
# The tabs behind the first one where the server has a survey.
SURVEY_TITLES = (
    "Agree",
    "Introduce",
    "StartSurvey",
    "SaveAnswers",
    "SubmitSurvey",
    "AskPartner",
    "Play",
    "Draw",
    "Complete",
    "Watch",
)
# The same of what else is loaded.
SEED_TITLES = {
    "vectabase": (
        "OpenStore",
        "CreateProduct",
        "Publish",
        "StorePage",
        "CreateLicences",
        "Redeem",
        "Verify",
        "CreateDeveloperKey",
        "Developer",
        "WatchLicences",
    ),
    "voicefx": (
        "Found",
        "Standing",
        "Design",
        "PublishWorkflow",
        "Call",
        "WatchCall",
        "Invite",
        "WatchOrganization",
    ),
}
SOURCE = Path(__file__).parents[2] / "graph" / "graphiql" / "source" / "src"
# Marks that an editor puts on what it takes for wrong; it looks a moment after a change.
MARKS = ".squiggly-error, .squiggly-warning"
MARKS_MILLISECONDS = 1500
# What a wrapped comment leaves in the rows before the operation: rows that begin without `#`.
WRAPPED_COMMENTS = """() => {
  const rows = [...document.querySelectorAll(".graphiql-query-editor .view-line")]
    .sort((one, other) => parseFloat(one.style.top) - parseFloat(other.style.top))
    .map((row) => row.textContent.trim());
  const start = rows.findIndex((row) => /^(query|mutation|subscription)/.test(row));
  return start < 1 ? ["no comment"] : rows.slice(0, start).filter((row) => !row.startsWith("#"));
}"""
# Elements that somebody is meant to see and that reach over an edge of the window.
OVERFLOWING = """() => [document.documentElement.scrollWidth > innerWidth,
  ...[...document.querySelectorAll(
    ".graphiql-container button:not(.graphiql-tabs *), .graphiql-execute-button, section")]
    .filter((one) => one.checkVisibility({ opacityProperty: true }) && one.offsetWidth)
    .filter((one) => !one.closest("[style*='-1000px']"))
    .map((one) => [one, one.getBoundingClientRect()])
    .filter(([, box]) => box.left < 0 || box.right > innerWidth)
    .map(([one]) => one.outerHTML.slice(0, 120))].filter(Boolean)"""
# Texts of the guide whose contrast with what is behind them is under 4.5 (WCAG 2.2, 1.4.3), and how
# light the page itself is.
CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const behind = (element) => element
    ? over(parts(getComputedStyle(element).backgroundColor), behind(element.parentElement))
    : [255, 255, 255];
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const texts = [...document.querySelectorAll(".graphiql-plugin *")].filter((one) =>
    one.checkVisibility() && !one.disabled &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
  const contrasts = texts.map((one) => {
    const under = behind(one);
    const [a, b] = [light(over(parts(getComputedStyle(one).color), under)), light(under)];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 100)];
  });
  return {
    texts: texts.length,
    pale: contrasts.filter(([contrast]) => contrast < 4.5),
    page: light(behind(document.querySelector(".graphiql-plugin"))),
  };
}"""
SPEND = """mutation($key: String!) {
  spendCredits(input: {amount: 3, reason: "test", referenceId: "test", idempotencyKey: $key}) {
    credits { balance }
    errors { code message }
  }
}"""

# Kept in the page: whatever the browser refuses because of the content security policy.
RECORD_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def page(browser: Browser, server_url: str) -> AsyncIterator[Page]:
    """GraphiQL, open in a profile of its own."""
    page = await browser.new_page(viewport={"width": 1400, "height": 860})
    await page.add_init_script(RECORD_VIOLATIONS)
    await page.goto(f"{server_url}/graphiql")
    await expect(tab(page, "SignUp")).to_be_visible(timeout=30_000)
    yield page
    await page.context.close()


def tab(page: Page, title: str) -> Locator:
    return page.get_by_role("tab").get_by_role("button", name=title, exact=True)


async def run(page: Page, title: str) -> None:
    """Opens the example of that title and presses the button that runs it."""
    await tab(page, title).click()
    await expect(page.locator(".graphiql-query-editor")).to_contain_text(f" {title}")
    await page.locator(".graphiql-execute-button").click()


async def send_photo(page: Page) -> None:
    """Chooses the portrait in the guide and waits until it is uploaded."""
    async with page.expect_file_chooser() as waiting:
        await page.get_by_text("Choose a photo").click()
    await (await waiting.value).set_files(PORTRAIT)
    await expect(page.get_by_text("portrait.jpg is uploaded")).to_be_visible(timeout=20_000)


async def shown_width(page: Page, title: str) -> int:
    """How wide a picture of the guide is once it is decoded; 0 for one that cannot be shown."""
    picture = page.get_by_role("img", name=title, exact=True)
    await expect(picture).to_be_visible(timeout=20_000)
    await picture.evaluate("image => image.decode()")
    width: int = await picture.evaluate("image => image.naturalWidth")
    return width


async def sign_up(page: Page) -> dict[str, Any]:
    def signed_up(answer: Response) -> bool:
        return "signUp" in (answer.request.post_data or "")

    async with page.expect_response(signed_up) as waiting:
        await run(page, "SignUp")
    session: dict[str, Any] = (await (await waiting.value).json())["data"]["signUp"]["session"]
    await expect(page.get_by_text("Signed in as")).to_be_visible(timeout=20_000)
    return session


async def spend_three(server_url: str, access_token: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    body = {"query": SPEND, "variables": {"key": key}}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{server_url}/graphql", json=body, headers=headers)
    payload = answer.json()["data"]["spendCredits"]
    assert payload["errors"] == []
    return int(payload["credits"]["balance"])


async def test_a_visitor_signs_up_reads_and_watches(server_url: str, page: Page) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.reload()
    response = page.locator(".result-window")

    session = await sign_up(page)
    await run(page, "Viewer")
    await expect(response).to_contain_text('"balance": 10')
    await expect(response).to_contain_text(session["user"]["email"])
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / "graphiql.png")

    await run(page, "WatchCredits")
    await expect(response).to_contain_text('"balance": 10')
    assert await spend_three(server_url, session["accessToken"], "browser-test") == 7
    await expect(response).to_contain_text('"balance": 7')

    assert problems == []
    assert await page.evaluate("window.violations") == []
    assert hosts == {urlsplit(server_url).netloc}


async def test_tokens_and_passwords_stay_in_memory(page: Page) -> None:
    session = await sign_up(page)
    await run(page, "Viewer")
    await expect(page.locator(".result-window")).to_contain_text(session["user"]["email"])
    # GraphiQL writes to storage half a second after a change.
    await page.wait_for_timeout(1000)
    stored = await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    for secret in (session["accessToken"], session["refreshToken"], "correct horse", "Bearer"):
        assert secret not in stored
    await page.reload()
    await expect(page.get_by_text("Not signed in")).to_be_visible()


async def test_signing_out_takes_the_token_out_of_the_headers(page: Page) -> None:
    await sign_up(page)
    await page.get_by_role("button", name="Headers").click()
    headers = page.locator(".graphiql-editor-tool")
    await expect(headers).to_contain_text("Bearer")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("Not signed in")).to_be_visible()
    await expect(headers).not_to_contain_text("Bearer")


@pytest.mark.parametrize("width", [420, 1360])
async def test_the_guide_leads_from_a_photo_to_the_picture_after(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 860})
    await page.reload()
    await sign_up(page)
    if width == 420:
        await page.get_by_role("button", name="Show Guide").click()
    await send_photo(page)
    assert await shown_width(page, "Before") > 0
    await page.get_by_role("button", name="Recolour it").click()
    result = page.locator(".tallygraph-result")
    await expect(result).to_have_attribute("data-status", "SUCCEEDED", timeout=30_000)
    await expect(result).to_contain_text("Credits spent: 1")
    assert await shown_width(page, "After") == await shown_width(page, "Before")
    links = [
        await page.get_by_role("link", name=name).get_attribute("href")
        for name in ("Before", "After")
    ]
    assert len(set(links)) == 2
    assert await page.evaluate("window.violations") == []
    assert await page.evaluate(OVERFLOWING) == []


async def test_a_generation_of_a_tab_is_shown_in_the_guide(page: Page) -> None:
    await sign_up(page)
    await send_photo(page)
    await run(page, "CreateGeneration")
    result = page.locator(".tallygraph-result")
    await expect(result).to_have_attribute("data-status", "SUCCEEDED", timeout=30_000)
    assert await shown_width(page, "After") > 0
    await page.get_by_role("button", name="Sign out").click()
    await expect(result).to_have_count(0)


async def test_the_examples_variables_are_marked_only_where_they_are_wrong(page: Page) -> None:
    await sign_up(page)
    await send_photo(page)
    for title in TITLES:
        await tab(page, title).click()
        await page.wait_for_timeout(MARKS_MILLISECONDS)
        assert await page.locator(MARKS).count() == 0, title
    await tab(page, "CreateGeneration").click()
    variables = page.get_by_role("region", name="Variables").get_by_role("textbox")
    await variables.focus()
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type('{"input": 1}')
    await expect(page.locator(MARKS)).not_to_have_count(0, timeout=20_000)


@pytest.mark.parametrize("width", [420, 1360, 1920])
async def test_every_tab_is_reached_and_nothing_overflows(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 860})
    await page.reload()
    for title in TITLES:
        await tab(page, title).click(timeout=30_000)
        await expect(page.locator(".graphiql-query-editor")).to_contain_text(f" {title}")
        await expect(tab(page, title)).to_be_in_viewport(ratio=1)
        assert await page.evaluate(WRAPPED_COMMENTS) == [], title
        assert await page.evaluate(OVERFLOWING) == [], title
    hidden = [title for title in TITLES if not await in_sight(tab(page, title), width)]
    # A narrow screen scrolls its row of tabs; elsewhere all are in sight at once.
    assert (hidden == []) is (width > 420)


async def show_tabs_of(page: Page, named: str | None) -> None:
    """Opens the page at a server that says which seed it has loaded."""

    async def answer(route: Route) -> None:
        await route.fulfill(json={"seed": named})

    await page.route("**/graphiql/seed.json", answer)
    await page.set_viewport_size({"width": 1500, "height": 860})
    await page.reload()


async def take(page: Page, title: str) -> None:
    """Goes to a tab, whose comment fits into its lines."""
    await tab(page, title).click(timeout=30_000)
    await expect(page.locator(".graphiql-query-editor")).to_contain_text(f" {title}")
    assert await page.evaluate(WRAPPED_COMMENTS) == [], title


async def test_a_server_with_a_survey_shows_its_tabs(page: Page) -> None:
    async def answer(route: Route) -> None:
        if "{ surveys { id } }" in (route.request.post_data or ""):
            await route.fulfill(json={"data": {"surveys": [{"id": "survey_attuned-0.4"}]}})
        else:
            await route.continue_()

    # It was seeded before servers kept by which seed.
    await page.route("**/graphql", answer)
    await show_tabs_of(page, None)
    await take_unmarked(page, SURVEY_TITLES)
    assert await tab(page, "Viewer").count() == 0


async def take_unmarked(page: Page, titles: Sequence[str]) -> None:
    """Goes to each tab; its editors find nothing wrong with it."""
    for title in titles:
        await take(page, title)
        await page.wait_for_timeout(MARKS_MILLISECONDS)
        assert await page.locator(MARKS).count() == 0, title


@pytest.mark.parametrize("seed", SEED_TITLES)
async def test_a_server_shows_the_tabs_of_what_it_has_loaded(page: Page, seed: str) -> None:
    await show_tabs_of(page, seed)
    for title in SEED_TITLES[seed]:
        await expect(tab(page, title)).to_be_visible(timeout=30_000)
    await take(page, SEED_TITLES[seed][-1])
    assert await tab(page, "Viewer").count() == 0


@pytest.mark.nightly
@pytest.mark.parametrize("seed", SEED_TITLES)
async def test_no_tab_of_what_is_loaded_is_marked(page: Page, seed: str) -> None:
    await show_tabs_of(page, seed)
    await take_unmarked(page, SEED_TITLES[seed])


@cache
def built_schema() -> GraphQLSchema:
    """The schema, made once."""
    return build_schema()._schema


@pytest.mark.parametrize(
    ("file", "count"),
    [("examples.ts", 9), ("attuned.ts", 10), ("vectabase.ts", 10), ("voicefx.ts", 8)],
)
def test_every_example_is_a_valid_operation(file: str, count: int) -> None:
    schema = built_schema()
    operations = re.findall(r"query: `(.*?)`", (SOURCE / file).read_text(), re.DOTALL)
    assert [validate(schema, parse(one)) for one in operations] == [[]] * count


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_guide_can_be_read_in_light_and_in_the_dark(
    page: Page, scheme: Literal["light", "dark"]
) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.reload()
    await sign_up(page)
    await send_photo(page)
    found = await page.evaluate(CONTRAST)
    assert found["texts"] > 10
    assert found["pale"] == []
    assert (found["page"] > 0.5) is (scheme == "light")


async def in_sight(element: Locator, width: int) -> bool:
    box = await element.bounding_box()
    return box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width


async def test_the_page_learns_what_is_loaded_and_keeps_no_copy() -> None:
    answer = await get("/graphiql/seed.json")
    assert (answer.json(), answer.headers["cache-control"]) == ({"seed": "vectabase"}, "no-cache")
    assert (await get("/graphiql/seed.json", Settings(graphiql=False))).status_code == 404


async def test_icons_answer() -> None:
    for path in ("/favicon.ico", linked_icon()):
        answer = await get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.text.startswith("<svg")


def linked_icon() -> str:
    found = re.search(r'rel="icon"[^>]*href="([^"]+)"', (STATIC / "index.html").read_text())
    assert found
    return found[1]


async def get(path: str, settings: Settings | None = None) -> httpx.Response:
    async def seed() -> str | None:
        return "vectabase"

    app = Starlette(routes=routes(settings or Settings(), seed))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        return await client.get(path)


async def test_who_opens_the_api_in_a_browser_is_led_to_the_playground(server_url: str) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with httpx.AsyncClient(base_url=server_url) as http:
        led = await http.get("/graphql", headers=browser)
        asked = await http.get("/graphql?query={__typename}", headers=browser)
        script = await http.get("/graphql")
    assert (led.status_code, led.headers["location"]) == (303, "/graphiql")
    assert asked.json() == {"data": {"__typename": "Query"}}
    assert script.status_code == 400


@pytest.mark.parametrize("path", ["/graphiql", "/graphiql/"])
async def test_the_page_is_confined_and_never_stale(path: str) -> None:
    answer = await get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


async def test_assets_are_typed_and_cached_for_ever() -> None:
    for asset in (STATIC / "assets").iterdir():
        answer = await get(f"/graphiql/assets/{asset.name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] != "application/octet-stream", asset.name
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["none.js", "..%2Findex.html", "%2e%2e%2froutes.py", "%00"])
async def test_no_name_leads_out_of_the_assets(name: str) -> None:
    assert (await get(f"/graphiql/assets/{name}")).status_code == 404


async def test_a_deployment_can_turn_it_off() -> None:
    assert (await get("/graphiql", Settings(graphiql=False))).status_code == 404


def test_the_built_files_are_few_enough_and_licensed() -> None:
    total_bytes = sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file())
    assert total_bytes <= 8 * 1_048_576
    licenses = (STATIC / "LICENSES.txt").read_text()
    for package in ("graphiql", "monaco-editor", "react", "graphql-ws"):
        assert f"\n{package} " in licenses
