"""Accounts end to end: a mailed code, an organization by invitation, a second factor, a key, an archive, and leaving."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pyotp
import pytest

from tests.running import RunningServer, running_server

from .client import Client
from .mailbox import Mailbox

PASSWORD, NEW_PASSWORD = "violet lantern 7", "amber window 9"
SESSION = "session { accessToken refreshToken user { id email isAnonymous } }"
SIGN_UP = f"""mutation($email: String!, $password: String!) {{
  signUp(input: {{email: $email, password: $password}}) {{ {SESSION} errors {{ code }} }} }}"""
CONFIRM = f"""mutation($email: String!, $code: String!) {{
  confirmEmail(input: {{email: $email, code: $code}}) {{ {SESSION} errors {{ code }} }} }}"""
SIGN_IN = f"""mutation($email: String!, $password: String!) {{
  signIn(input: {{email: $email, password: $password}}) {{
    {SESSION} secondFactor {{ challengeId methods }} errors {{ code }} }} }}"""
ASK_RESET = "mutation($email: String!) { requestPasswordReset(input: {email: $email}) { sent } }"
RESET = f"""mutation($email: String!, $code: String!, $password: String!) {{
  resetPassword(input: {{email: $email, code: $code, newPassword: $password}}) {{
    {SESSION} errors {{ code }} }} }}"""
SECOND = f"""mutation($id: ID!, $code: String!) {{
  verifySecondFactor(input: {{challengeId: $id, code: $code}}) {{ {SESSION} errors {{ code }} }} }}"""
INVITE = """mutation($organization: ID!, $email: String!) {
  inviteMember(input: {organizationId: $organization, email: $email, role: ADMIN}) {
    invitation { id } errors { code } } }"""
ACCEPT = """mutation($token: String!) { acceptInvitation(input: {token: $token}) {
  organization { id name members { nodes { user { email } role } } } errors { code } } }"""
WATCH = """subscription($id: ID!) { organizationChanged(id: $id) {
  organization { id name members { nodes { user { email } role } } } } }"""
VIEWER = "{ viewer { id email } }"


@pytest.fixture(scope="module")
def confirming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A product that confirms addresses, as production does, and has no mail server."""
    folder = tmp_path_factory.mktemp("confirming") / "data"
    with running_server(
        folder,
        CONFIRM_EMAIL="true",
        LINK_URL="https://app.example.test/{purpose}?token={token}",
    ) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def with_session(client: Client, payload: dict[str, Any]) -> None:
    """Goes on with the session that a payload has."""
    assert payload["errors"] == [], payload
    session = payload["session"]
    client.token, client.refresh_token = session["accessToken"], session["refreshToken"]
    client.user_id = session["user"]["id"]


async def signed_up(
    server: RunningServer, http: httpx.AsyncClient, email: str
) -> tuple[Client, Mailbox]:
    """Somebody who signed up and gave the code that was mailed."""
    client, mailbox = Client(server.url, http), Mailbox(server.data_directory, email)
    started = await client.ask(SIGN_UP, {"email": email, "password": PASSWORD})
    assert started["signUp"] == {"session": None, "errors": []}
    code = await mailbox.code()
    wrong = str((int(code) + 1) % 1_000_000).zfill(6)
    refused = await client.ask(CONFIRM, {"email": email, "code": wrong})
    assert refused["confirmEmail"]["errors"] == [{"code": "CODE_INVALID"}]
    confirmed = await client.ask(CONFIRM, {"email": email, "code": code})
    with_session(client, confirmed["confirmEmail"])
    again = await client.ask(CONFIRM, {"email": email, "code": code})
    assert again["confirmEmail"]["errors"] == [{"code": "CODE_INVALID"}], "a code works once"
    return client, mailbox


async def test_two_people_meet_in_an_organization_by_a_mailed_invitation(
    confirming: RunningServer, http: httpx.AsyncClient
) -> None:
    ada, _ = await signed_up(confirming, http, "ada@example.test")
    eve, letters = await signed_up(confirming, http, "eve@example.test")
    made = await ada.ask(
        'mutation { createOrganization(input: {name: "Analytical", idempotencyKey: "1"}) { organization { id } errors { code } } }'
    )
    organization = made["createOrganization"]["organization"]["id"]
    hidden = await eve.ask(
        "query($id: ID!) { organization(id: $id) { name } }", {"id": organization}
    )
    assert hidden == {"organization": None}
    async with ada.socket() as socket:
        await socket.subscribe("o", WATCH, {"id": organization})
        await socket.next_data("o")
        invited = await ada.ask(INVITE, {"organization": organization, "email": "eve@example.test"})
        assert invited["inviteMember"]["errors"] == []
        token = await letters.token()
        accepted = await eve.ask(ACCEPT, {"token": token})
        shown = accepted["acceptInvitation"]["organization"]
        assert {m["user"]["email"]: m["role"] for m in shown["members"]["nodes"]} == {
            "ada@example.test": "OWNER",
            "eve@example.test": "ADMIN",
        }
        while len((await socket.next_data("o"))["organization"]["members"]["nodes"]) < 2:
            pass
    left = (
        "mutation($id: ID!) { leaveOrganization(input: {organizationId: $id}) { errors { code } } }"
    )
    stays = await ada.ask(left, {"id": organization})
    assert stays["leaveOrganization"]["errors"] == [{"code": "LAST_OWNER"}]
    gone = await eve.ask(left, {"id": organization})
    assert gone["leaveOrganization"]["errors"] == []
    hidden = await eve.ask(
        "query($id: ID!) { organization(id: $id) { name } }", {"id": organization}
    )
    assert hidden == {"organization": None}


async def test_a_forgotten_password_is_reset_and_ends_what_was_open(
    confirming: RunningServer, http: httpx.AsyncClient
) -> None:
    ada, letters = await signed_up(confirming, http, "bea@example.test")
    other = Client(confirming.url, http)
    with_session(
        other,
        (await other.ask(SIGN_IN, {"email": "Bea@Example.test", "password": PASSWORD}))["signIn"],
    )
    lost = Client(confirming.url, http)
    assert (await lost.ask(ASK_RESET, {"email": "nobody@example.test"})) == (
        await lost.ask(ASK_RESET, {"email": "bea@example.test"})
    )
    variables = {
        "email": "bea@example.test",
        "code": await letters.code(),
        "password": NEW_PASSWORD,
    }
    with_session(lost, (await lost.ask(RESET, variables))["resetPassword"])
    assert (await lost.ask(VIEWER))["viewer"]["email"] == "bea@example.test"
    assert (await ada.post(VIEWER)).status_code == 401
    assert (await other.post(VIEWER)).status_code == 401
    refused = await other.ask(SIGN_IN, {"email": "bea@example.test", "password": PASSWORD})
    assert refused["signIn"]["errors"] == [{"code": "INVALID_CREDENTIALS"}]


async def test_an_authenticator_app_is_asked_for_from_then_on(
    confirming: RunningServer, http: httpx.AsyncClient
) -> None:
    ada, _ = await signed_up(confirming, http, "cleo@example.test")
    secret = (await ada.ask("mutation { beginTotp { secret errors { code } } }"))["beginTotp"][
        "secret"
    ]
    confirm = (
        "mutation($c: String!) { confirmTotp(input: {code: $c}) { recoveryCodes errors { code } } }"
    )
    codes = (await ada.ask(confirm, {"c": pyotp.TOTP(secret).now()}))["confirmTotp"][
        "recoveryCodes"
    ]
    assert len(codes) == 10
    phone = Client(confirming.url, http)
    first = await phone.ask(SIGN_IN, {"email": "cleo@example.test", "password": PASSWORD})
    assert first["signIn"]["session"] is None
    challenge = first["signIn"]["secondFactor"]["challengeId"]
    wrong = await phone.ask(SECOND, {"id": challenge, "code": "000000"})
    assert wrong["verifySecondFactor"]["errors"] == [{"code": "CODE_INVALID"}]
    right = await phone.ask(SECOND, {"id": challenge, "code": codes[0]})
    with_session(phone, right["verifySecondFactor"])
    assert (await phone.ask(VIEWER))["viewer"]["id"] == ada.user_id


async def test_a_key_acts_within_its_scopes_until_it_is_revoked(
    confirming: RunningServer, http: httpx.AsyncClient
) -> None:
    ada, _ = await signed_up(confirming, http, "dora@example.test")
    made = await ada.ask(
        'mutation { createApiKey(input: {name: "bot", scopes: [READ]}) { secret apiKey { id } errors { code } } }'
    )
    bot = Client(confirming.url, http, token=made["createApiKey"]["secret"])
    assert bot.token is not None
    assert bot.token.startswith("tgk_")
    assert (await bot.ask(VIEWER))["viewer"]["id"] == ada.user_id
    forbidden = (await bot.post("mutation { signOutEverywhere { errors { code } } }")).json()
    assert forbidden["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    revoke = "mutation($id: ID!) { revokeApiKey(input: {id: $id}) { errors { code } } }"
    await ada.ask(revoke, {"id": made["createApiKey"]["apiKey"]["id"]})
    assert (await bot.post(VIEWER)).status_code == 401


async def test_everything_is_exported_and_an_account_that_is_left_can_be_kept(
    confirming: RunningServer, http: httpx.AsyncClient
) -> None:
    ada, _ = await signed_up(confirming, http, "fay@example.test")
    await ada.ask(
        'mutation { createProfile(input: {localId: 1, name: "Muse of Fay", analysis: {}, chatHistory: []}) { errors { code } } }'
    )
    asked = await ada.ask("mutation { exportMyData { export { id status } errors { code } } }")
    assert asked["exportMyData"]["errors"] == []
    exports = "{ viewer { exports { nodes { id status url } } } }"
    while (found := (await ada.ask(exports))["viewer"]["exports"]["nodes"][0])["status"] != "READY":
        assert found["status"] in {"QUEUED", "RUNNING"}
    archive = zipfile.ZipFile(io.BytesIO((await http.get(found["url"])).content))
    texts = {name: archive.read(name) for name in archive.namelist() if name.endswith(".json")}
    assert any(b"Muse of Fay" in text for text in texts.values())
    assert any(b"fay@example.test" in text for text in texts.values())
    assert not any(b"argon2" in text for text in texts.values())
    assert all(json.loads(text) is not None for text in texts.values())
    leave = "mutation($p: String) { deleteAccount(input: {password: $p}) { deletesAt errors { code } } }"
    left = await ada.ask(leave, {"p": PASSWORD})
    assert left["deleteAccount"]["errors"] == []
    assert left["deleteAccount"]["deletesAt"]
    assert (await ada.post(VIEWER)).status_code == 401
    back = Client(confirming.url, http)
    with_session(
        back,
        (await back.ask(SIGN_IN, {"email": "fay@example.test", "password": PASSWORD}))["signIn"],
    )
    kept = await back.ask("{ viewer { profiles { nodes { name } } } }")
    assert kept["viewer"]["profiles"]["nodes"] == [{"name": "Muse of Fay"}]
