"""More of the pages for admins: passkeys, what is under way, and the address with a slash."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pyotp import TOTP

from db.core.pool import Database
from graph.live.bus import WakeBus
from server.app import Server
from settings import Settings

from ..authenticator import Authenticator
from ..conftest import MakeUser
from .conftest import Ask
from .test_admin_pages import (
    BASE,
    HOST,
    PASSWORD,
    Account,
    Browser,
    browser_of,
    new_account,
    sign_in,
)

WORK = """{ jobQueue { entrypoint waiting deferred running waitingSince }
  openHolds(atMost: 200) { userId amount reference heldAt expiresAt } }"""


@pytest.fixture(scope="module")
async def pages(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """A server that has the pages, and passkeys."""
    wanted = settings.model_copy(
        update={
            "admin_ui": True,
            "public_url": BASE,
            "passkey_rp_id": HOST,
            "failed_sign_ins_per_address": 10_000,
        }
    )
    server = Server(wanted, database, None, WakeBus.memory())  # type: ignore[arg-type]
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def browser(pages: Server) -> AsyncIterator[Browser]:
    """A browser of nobody's."""
    async with browser_of(pages.app) as http:
        yield Browser(http)


async def with_passkey(
    pages: Server, owner: asyncpg.Connection, *, has_totp: bool = False
) -> tuple[Account, Authenticator]:
    """An admin who has a passkey, and the device that it is on."""
    device = Authenticator(origin=BASE)
    email = f"{uuid4()}@example.test"

    async def ask(text: str, token: str = "", **variables: Any) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with browser_of(pages.app) as http:
            sent = {"query": text, "variables": variables}
            answer = await http.post("/graphql", json=sent, headers=headers)
        return answer.json()["data"]

    made = await ask(
        f'mutation {{ signUp(input: {{email: "{email}", password: "{PASSWORD}"}}) {{'
        " session { accessToken user { id } } } }"
    )
    session = made["signUp"]["session"]
    token = session["accessToken"]
    begun = await ask("mutation { beginPasskeyRegistration { options errors { code } } }", token)
    credential = device.register(begun["beginPasskeyRegistration"]["options"])
    finished = await ask(
        "mutation($credential: JSON!) { finishPasskeyRegistration(input: {credential: $credential})"
        " { errors { code message } } }",
        token,
        credential=credential,
    )
    assert finished["finishPasskeyRegistration"]["errors"] == []
    if has_totp:
        begun = await ask("mutation { beginTotp { secret errors { code } } }", token)
        code = TOTP(begun["beginTotp"]["secret"]).now()
        confirm = "mutation($code: String!) { confirmTotp(input: {code: $code}) { recoveryCodes } }"
        assert (await ask(confirm, token, code=code))["confirmTotp"]["recoveryCodes"]
    user_id = UUID(session["user"]["id"].removeprefix("user_"))
    await owner.execute("update users set role = 'admin' where id = $1", user_id)
    return Account(user_id, email, []), device


async def signed(browser: Browser, device: Authenticator) -> httpx.Response:
    """What the page's script does: asks what for, has it signed, sends the form."""
    begun = await browser.post("/admin/passkey/begin")
    assert begun.status_code == 200, begun.text
    credential = device.sign(begun.json())
    return await browser.post("/admin/passkey/finish", {"credential": json.dumps(credential)})


async def test_a_passkey_alone_opens_the_pages(
    pages: Server, browser: Browser, owner: asyncpg.Connection
) -> None:
    _, device = await with_passkey(pages, owner)
    await browser.get("/admin/sign-in")
    response = await signed(browser, device)
    assert (response.status_code, response.headers.get("location")) == (303, "/admin")
    assert (await browser.get("/admin")).status_code == 200


async def test_a_passkey_is_the_second_factor_behind_a_password(
    pages: Server, browser: Browser, owner: asyncpg.Connection
) -> None:
    account, device = await with_passkey(pages, owner, has_totp=True)
    first = await sign_in_with_password(browser, account)
    assert first.headers["location"] == "/admin/sign-in/code"
    assert "passkey" in (await browser.get("/admin/sign-in/code")).text
    assert (await signed(browser, device)).headers["location"] == "/admin"
    assert (await browser.get("/admin/users")).status_code == 200


async def sign_in_with_password(browser: Browser, account: Account) -> httpx.Response:
    """What address and password lead to."""
    await browser.get("/admin/sign-in")
    return await browser.post("/admin/sign-in", {"email": account.email, "password": PASSWORD})


@pytest.mark.parametrize("forged", [{"origin": "https://evil.example"}, {"flags": 1}])
async def test_a_forged_passkey_opens_nothing(
    pages: Server, browser: Browser, owner: asyncpg.Connection, forged: dict[str, Any]
) -> None:
    _, device = await with_passkey(pages, owner)
    await browser.get("/admin/sign-in")
    begun = await browser.post("/admin/passkey/begin")
    credential = device.sign(begun.json(), **forged)
    response = await browser.post("/admin/passkey/finish", {"credential": json.dumps(credential)})
    assert response.status_code == 403
    assert (await browser.get("/admin")).headers["location"] == "/admin/sign-in"


async def test_the_address_with_a_slash_leads_to_the_pages(browser: Browser) -> None:
    response = await browser.get("/admin/")
    assert (response.status_code, response.headers["location"]) == (308, "/admin")


async def test_what_is_under_way_is_shown_to_admins(
    pages: Server, browser: Browser, owner: asyncpg.Connection, ask: Ask, make_user: MakeUser
) -> None:
    holder = await make_user()
    await owner.execute("select app.grant_credits($1, 'PURCHASE', 9)", holder.user_id)
    held = "select app.hold_credits($1, 4, 'a photo', interval '1 minute')"
    await owner.execute(held, holder.user_id)
    await owner.execute("select app.enqueue('a_test_of_work', '{}', $1)", str(uuid4()))
    nobody = await make_user()
    refused = await ask(WORK, actor=nobody)
    assert refused["data"] == {"jobQueue": None, "openHolds": None}
    assert {one["extensions"]["code"] for one in refused["errors"]} == {"FORBIDDEN"}
    account = await new_account(pages, owner, is_admin=True)
    assert (await sign_in(browser, account)).headers["location"] == "/admin"
    page = (await browser.get("/admin/work")).text
    assert re.search(r"a_test_of_work</td>\s*<td[^>]*>1<", page.replace("\n", ""))
    assert f"/admin/users/user_{holder.user_id}" in page
    assert "a photo" in page
    assert 'href="/admin/work"' in (await browser.get("/admin")).text
