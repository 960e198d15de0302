"""The pages for admins: who gets in, what they see and do there, and how attacks end."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pyotp import TOTP

from db.accounts.assurance import Assurance, SignInMethod
from db.core.pool import Database
from db.vault.sealing import Vault
from graph.live.bus import WakeBus
from server.admin.actions import ACTIONS
from server.admin.cookie import IDLE_SECONDS, LONGEST_SECONDS
from server.admin.details import PAGES
from server.admin.views import LISTS
from server.app import Server
from settings import Settings

from ..conftest import MakeUser

PASSWORD = "correct horse battery"
HOST = "admin.example.test"
BASE = f"https://{HOST}"
COOKIE = "__Host-tallygraph_admin"
PLACE = "cookie of /admin"


@dataclass
class Browser:
    """A client that keeps cookies and sends forms as browsers do."""

    http: httpx.AsyncClient
    # Where the last form was seen: each page has the key of its browser.
    key: str = ""

    async def get(self, path: str) -> httpx.Response:
        """Opens a page."""
        response = await self.http.get(path)
        self._note(response)
        return response

    async def post(
        self, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """Sends a form of the page that was opened last."""
        sent = {"form_key": self.key, **(form or {})}
        response = await self.http.post(path, data=sent, headers={"origin": BASE, **headers})
        self._note(response)
        return response

    def _note(self, response: httpx.Response) -> None:
        found = re.search(r'name="form_key" value="([^"]+)"', response.text)
        if found:
            self.key = found[1]

    @property
    def cookie(self) -> str:
        """What the browser holds."""
        return self.http.cookies[COOKIE]

    def copy(self, app: Any) -> Browser:
        """Another browser with the same cookie, as a thief has it."""
        http = browser_of(app)
        http.cookies.set(COOKIE, self.cookie, HOST, "/")
        return Browser(http, self.key)


@dataclass
class Account:
    """Somebody who can sign in."""

    id: UUID
    email: str
    recovery_codes: list[str]


def browser_of(app: Any) -> httpx.AsyncClient:
    """A client without any cookie yet."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE)


@pytest.fixture(scope="module")
async def pages(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """A server that has the pages."""
    wanted = settings.model_copy(
        update={"admin_ui": True, "public_url": BASE, "failed_sign_ins_per_address": 10_000}
    )
    server = Server(wanted, database, None, WakeBus.memory())  # type: ignore[arg-type]
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def stranger(pages: Server) -> AsyncIterator[Browser]:
    """A browser of nobody's."""
    async with browser_of(pages.app) as http:
        yield Browser(http)


async def new_account(
    pages: Server, owner: asyncpg.Connection, *, is_admin: bool, has_second_factor: bool = True
) -> Account:
    """An account, made by the API; the role is the database owner's to give."""
    email = f"{uuid4()}@example.test"

    async def ask(text: str, token: str = "") -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with browser_of(pages.app) as http:
            answer = await http.post("/graphql", json={"query": text}, headers=headers)
        return answer.json()["data"]

    signed_up = await ask(
        f'mutation {{ signUp(input: {{email: "{email}", password: "{PASSWORD}"}}) {{'
        " session { accessToken user { id } } errors { code } } }"
    )
    session = signed_up["signUp"]["session"]
    codes: list[str] = []
    if has_second_factor:
        token = session["accessToken"]
        begun = await ask("mutation { beginTotp { secret errors { code } } }", token)
        code = TOTP(begun["beginTotp"]["secret"]).now()
        confirm = f'mutation {{ confirmTotp(input: {{code: "{code}"}}) {{ recoveryCodes }} }}'
        codes = (await ask(confirm, token))["confirmTotp"]["recoveryCodes"]
    user_id = UUID(session["user"]["id"].removeprefix("user_"))
    if is_admin:
        await owner.execute("update users set role = 'admin' where id = $1", user_id)
    return Account(user_id, email, codes)


async def sign_in(browser: Browser, account: Account) -> httpx.Response:
    """Address and password, then a recovery code; what the last step answers."""
    await browser.get("/admin/sign-in")
    response = await browser.post("/admin/sign-in", {"email": account.email, "password": PASSWORD})
    if response.headers.get("location") != "/admin/sign-in/code":
        return response
    await browser.get("/admin/sign-in/code")
    return await browser.post("/admin/sign-in/code", {"code": account.recovery_codes.pop()})


@pytest.fixture
async def admin_account(pages: Server, owner: asyncpg.Connection) -> Account:
    """An admin with a second factor."""
    return await new_account(pages, owner, is_admin=True)


@pytest.fixture
async def admin(stranger: Browser, admin_account: Account) -> Browser:
    """The browser of an admin who is signed in."""
    response = await sign_in(stranger, admin_account)
    assert response.headers["location"] == "/admin"
    await stranger.get("/admin/users")
    return stranger


def opened(pages: Server, cookie: str) -> dict[str, Any]:
    """What is sealed in a cookie."""
    sealed = base64.urlsafe_b64decode(f"{cookie}==")
    held: dict[str, Any] = json.loads(Vault(pages.services.settings).open_at(PLACE, "", sealed))
    return held


def holding(pages: Server, held: dict[str, Any]) -> Browser:
    """A browser whose cookie has this in it."""
    sealed = Vault(pages.services.settings).seal_at(PLACE, "", json.dumps(held))
    browser = Browser(browser_of(pages.app), held["form_key"])
    value = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    browser.http.cookies.set(COOKIE, value, HOST, "/")
    return browser


async def open_sessions(owner: asyncpg.Connection, account: Account) -> int:
    """How many sessions of an account's are open."""
    count: int = await owner.fetchval(
        "select count(*) from sessions where user_id = $1 and revoked_at is null", account.id
    )
    return count


def path_of(pattern: str, row_id: str) -> str:
    return pattern.replace("{id}", row_id)


def test_the_pages_are_off_unless_they_are_wanted(settings: Settings) -> None:
    assert settings.admin_ui is False


async def test_nobody_finds_the_pages_where_they_are_off(
    database: Database, settings: Settings
) -> None:
    server = Server(settings, database, None, WakeBus.memory())  # type: ignore[arg-type]
    async with browser_of(server.app) as http:
        answers = [await http.get(path) for path in ("/admin", "/admin/sign-in", "/admin/users")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def test_a_stranger_is_led_to_the_sign_in_from_every_page(stranger: Browser) -> None:
    await stranger.get("/admin/sign-in")
    gets = [view.path for view in LISTS] + [path_of(path, "user_x") for path in PAGES]
    answers = [await stranger.get(path) for path in ("/admin", "/admin/nothing", *gets)]
    answers += [await stranger.post(path_of(path, "user_x")) for path in ACTIONS]
    assert {(a.status_code, a.headers["location"]) for a in answers} == {(303, "/admin/sign-in")}
    assert {a.text for a in answers} == {""}


async def test_every_page_opens_for_an_admin(admin: Browser) -> None:
    dashboard = await admin.get("/admin")
    assert "Credits used, 30 days" in dashboard.text
    for path in [view.path for view in LISTS] + ["/admin/switches", "/admin/alerts"]:
        page = await admin.get(path)
        assert page.status_code == 200, (path, page.text)
    headers = dashboard.headers
    policy = headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert not re.search(
        r"<script(?! src=\"/admin/static/)|\son\w+=|\sstyle=|https?://", dashboard.text
    )


async def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(admin: Browser) -> None:
    response = await admin.get("/admin")
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert set(attributes) == {"HttpOnly", "Max-Age=1800", "Path=/", "SameSite=strict", "Secure"}


async def test_without_a_second_factor_an_admin_is_told_what_to_do(
    pages: Server, stranger: Browser, owner: asyncpg.Connection
) -> None:
    account = await new_account(pages, owner, is_admin=True, has_second_factor=False)
    before = await open_sessions(owner, account)
    page = await sign_in(stranger, account)
    assert page.status_code == 403
    assert "A second factor is needed" in page.text
    assert "beginTotp" in page.text
    assert await open_sessions(owner, account) == before
    assert (await stranger.get("/admin")).headers["location"] == "/admin/sign-in"


async def test_a_member_is_let_out_again(
    pages: Server, stranger: Browser, owner: asyncpg.Connection
) -> None:
    account = await new_account(pages, owner, is_admin=False)
    before = await open_sessions(owner, account)
    page = await sign_in(stranger, account)
    assert page.status_code == 403
    assert "not an administrator" in page.text
    assert await open_sessions(owner, account) == before
    assert (await stranger.get("/admin/users")).headers["location"] == "/admin/sign-in"


async def test_a_wrong_password_looks_the_same_for_whoever_has_an_account(
    stranger: Browser, admin_account: Account
) -> None:
    texts = []
    for email in (admin_account.email, f"{uuid4()}@example.test"):
        await stranger.get("/admin/sign-in")
        page = await stranger.post("/admin/sign-in", {"email": email, "password": "wrong one"})
        assert page.status_code == 403
        texts.append(page.text.replace(email, ""))
    assert texts[0] == texts[1]


async def test_a_wrong_code_opens_nothing(stranger: Browser, admin_account: Account) -> None:
    admin_account.recovery_codes.append("AAAA-AAAA-AAAA-AAAA")
    page = await sign_in(stranger, admin_account)
    assert page.status_code == 403
    assert "This code is not right" in page.text
    assert (await stranger.get("/admin")).headers["location"] == "/admin/sign-in"


async def test_a_stolen_cookie_is_worth_nothing_after_the_sign_out(
    pages: Server, admin: Browser
) -> None:
    thief = admin.copy(pages.app)
    assert (await thief.get("/admin/users")).status_code == 200
    assert (await admin.post("/admin/sign-out")).headers["location"] == "/admin/sign-in"
    assert (await thief.get("/admin/users")).headers["location"] == "/admin/sign-in"


async def test_the_cookie_shows_and_gives_its_bearer_nothing(pages: Server, admin: Browser) -> None:
    sealed = base64.urlsafe_b64decode(f"{admin.cookie}==")
    assert b"eyJ" not in sealed
    async with browser_of(pages.app) as http:
        headers = {"authorization": f"Bearer {admin.cookie}"}
        answer = await http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
        assert answer.status_code == 401
        for broken in (admin.cookie[:-4] + "AAAA", "x", "é" * 9, admin.cookie * 3):
            answer = await http.get("/admin", headers={"cookie": f"{COOKIE}={broken}".encode()})
            assert answer.headers["location"] == "/admin/sign-in"


@pytest.mark.parametrize(
    ("field", "seconds"), [("used_at", IDLE_SECONDS), ("began_at", LONGEST_SECONDS)]
)
async def test_a_session_ends_unused_and_after_half_a_day(
    pages: Server, admin: Browser, field: str, seconds: int
) -> None:
    held = opened(pages, admin.cookie)
    for age, status in ((seconds - 60, 200), (seconds + 1, 303)):
        browser = holding(pages, {**held, field: int(time.time()) - age})
        assert (await browser.get("/admin/users")).status_code == status


async def test_forms_of_other_sites_change_nothing(
    pages: Server, admin: Browser, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user(credits=0)
    path = f"/admin/users/user_{user.user_id}/lock"
    refused = [
        await admin.post(path, {"form_key": ""}),
        await admin.post(path, {"form_key": "x" * 32}),
        await admin.post(path, origin="https://evil.example"),
        await admin.post(path, origin="null"),
        await admin.post(path, origin="http://admin.example.test"),
        await admin.http.post(path, data={"form_key": admin.key}),
        await admin.http.post(path, content=b"\xff=1", headers={"origin": BASE}),
        await admin.http.post(path, json={"form_key": admin.key}, headers={"origin": BASE}),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    status = "select status from users where id = $1"
    assert await owner.fetchval(status, user.user_id) == "active"
    done = await admin.post(path)
    assert done.headers["location"] == f"/admin/users/user_{user.user_id}"
    assert await owner.fetchval(status, user.user_id) == "locked"


async def test_the_key_of_another_browser_is_no_key(pages: Server, admin: Browser) -> None:
    async with browser_of(pages.app) as http:
        other = Browser(http)
        await other.get("/admin/sign-in")
        answer = await admin.post("/admin/sign-out", {"form_key": other.key})
    assert answer.status_code == 403
    assert (await admin.get("/admin/users")).status_code == 200


async def test_what_people_are_called_is_never_markup(
    admin: Browser, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user, name = (
        await make_user(credits=0),
        "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    )
    await owner.execute("update users set display_name = $2 where id = $1", user.user_id, name)
    shown = [
        await admin.get(f"/admin/users?search=user_{user.user_id}"),
        await admin.get(f"/admin/users/user_{user.user_id}"),
        await admin.get("/admin/users?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"),
        await admin.get("/admin/confirm?to=/admin/%22%3E%3Cscript%3Ealert(1)%3C/script%3E"),
    ]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown[0].text
    for page in shown:
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text


@pytest.mark.parametrize("kind", ["users", "orders", "webhooks", "jobs"])
async def test_ids_of_other_kinds_find_nothing(admin: Browser, kind: str) -> None:
    viewer = (await admin.get("/admin/users")).text
    own_id = re.search(r'href="/admin/users/(user_[0-9a-f-]+)"', viewer)
    assert own_id is not None
    wrong = ["x", "user_x", f"order_{uuid4()}", f"totp_{uuid4()}", "..%2fswitches", "%00"]
    if kind != "users":
        wrong.append(own_id[1])
    for row_id in wrong:
        page = await admin.get(f"/admin/{kind}/{row_id}")
        assert page.status_code == 404, (row_id, page.text)
        assert "There is nothing here" in page.text


async def test_credits_are_given_once_for_a_form_sent_twice(
    admin: Browser, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user(credits=0)
    path = f"/admin/users/user_{user.user_id}"
    page = await admin.get(path)
    key = re.search(r'name="idempotency_key" value="([^"]+)"', page.text)
    assert key is not None
    form = {"idempotency_key": key[1], "amount": "25", "reason": "a gift"}
    for _ in range(2):
        await admin.post(f"{path}/credits", form)
        page = await admin.get(path)
        assert "The credits are given." in page.text
    assert (
        await owner.fetchval("select balance from wallets where user_id = $1", user.user_id) == 25
    )
    assert "The credits are given." not in (await admin.get(path)).text
    await admin.post(f"{path}/credits", {**form, "amount": "many"})
    assert "write a whole number" in (await admin.get(path)).text
    noted = "select count(*) from audit_log where user_id = $1 and action = 'credits_granted'"
    assert await owner.fetchval(noted, user.user_id) <= 1


async def test_what_matters_most_wants_a_code_again(
    pages: Server,
    admin: Browser,
    admin_account: Account,
    owner: asyncpg.Connection,
    make_user: MakeUser,
) -> None:
    user = await make_user(credits=0)
    path = f"/admin/users/user_{user.user_id}"
    await owner.execute(
        "update sessions set authenticated_at = now() - interval '1 hour' where user_id = $1",
        admin_account.id,
    )
    stale = an_hour_later(pages, admin)
    answer = await stale.post(f"{path}/delete")
    assert urlsplit(answer.headers["location"]).path == "/admin/confirm"
    page = await stale.get(answer.headers["location"])
    assert "Is it still you?" in page.text
    wrong = await stale.post("/admin/confirm", {"to": path, "code": "AAAA-AAAA-AAAA-AAAA"})
    assert wrong.status_code == 403
    for to, leads_to in (("//evil.example/", "/admin"), (path, path)):
        right = await stale.post(
            "/admin/confirm", {"to": to, "code": admin_account.recovery_codes.pop()}
        )
        assert right.headers["location"] == leads_to
    await stale.post(f"{path}/delete")
    assert "The account will be deleted." in (await stale.get(path)).text


def an_hour_later(pages: Server, admin: Browser) -> Browser:
    """The same browser, whose token says that the sign-in was an hour ago."""
    held = opened(pages, admin.cookie)
    actor = pages.services.tokens.verify(held["access_token"])
    assert actor.user_id is not None
    assert actor.session_id is not None
    methods = (SignInMethod.PASSWORD, SignInMethod.RECOVERY_CODE)
    issued = pages.services.tokens.issue(
        actor.user_id,
        actor.session_id,
        is_anonymous=False,
        is_admin=True,
        assurance=Assurance(methods, datetime.now(UTC) - timedelta(hours=1)),
    )
    return holding(pages, {**held, "access_token": issued.token})


async def test_an_admin_no_more_sees_nothing_more(
    admin: Browser, admin_account: Account, owner: asyncpg.Connection
) -> None:
    await owner.execute("update users set role = 'user' where id = $1", admin_account.id)
    page = await admin.get("/admin/users")
    assert page.status_code == 403
    assert admin_account.email not in page.text
    assert await open_sessions(owner, admin_account) == 1  # the one of the sign-up
    assert (await admin.get("/admin/users")).headers["location"] == "/admin/sign-in"


async def test_a_token_that_is_over_is_renewed_unseen(pages: Server, admin: Browser) -> None:
    held = opened(pages, admin.cookie)
    browser = holding(pages, {**held, "access_token": "over"})
    assert (await browser.get("/admin/users")).status_code == 200
    now = opened(pages, browser.cookie)
    assert now["refresh_token"] != held["refresh_token"]
    assert now["form_key"] == held["form_key"]


async def test_large_forms_are_not_read(admin: Browser) -> None:
    answer = await admin.post("/admin/sign-out", {"more": "x" * 40_000})
    assert answer.status_code == 413
    assert (await admin.get("/admin/users")).status_code == 200


async def test_guesses_are_limited_as_anywhere(
    database: Database, settings: Settings, admin_account: Account
) -> None:
    wanted = settings.model_copy(
        update={"admin_ui": True, "public_url": BASE, "failed_sign_ins_per_address": 3}
    )
    server = Server(wanted, database, None, WakeBus.memory())  # type: ignore[arg-type]
    async with browser_of(server.app) as http:
        browser = Browser(http)
        await browser.get("/admin/sign-in")
        statuses = []
        for _ in range(5):
            form = {"email": f"{uuid4()}@example.test", "password": "wrong one"}
            page = await browser.post("/admin/sign-in", form)
            statuses.append(page.status_code)
    assert statuses[:3] == [403, 403, 403]
    assert statuses[-1] == 429
    assert "Too many attempts" in page.text


async def test_the_documents_of_all_pages_are_valid(pages: Server) -> None:
    for document in [view.document for view in LISTS] + [a.document for a in ACTIONS.values()]:
        await pages.engine.operation(document, None, "test")
