"""A server with every provider, and what people do with it in their browsers and apps."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
from pydantic import SecretStr

from auth.browser_sign_in import BrowserSignIn
from db.core.pool import Database
from server.services import Services
from settings import Settings
from tests.fakes.providers import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEY_ID,
    TEAM_ID,
    Apple,
    Issuer,
    PlainOAuth,
    challenge,
)
from tests.graph.live.test_streams import running

APP = "https://app.example.com"
BACK = f"{APP}/welcome?from=here"
SESSION = """session { accessToken refreshToken user { id email displayName isAnonymous } }
  bonusCredits errors { code path }"""
EXCHANGE = f"""mutation($code: String!, $verifier: String) {{
  done: exchangeSignInCode(input: {{code: $code, codeVerifier: $verifier}}) {{ {SESSION} }} }}"""
ID_TOKEN = f"""mutation($provider: String!, $idToken: String!, $nonce: String!) {{
  done: signInWithIdToken(input: {{provider: $provider, idToken: $idToken, nonce: $nonce}})
  {{ {SESSION} }} }}"""
LINK = """mutation($provider: String!, $idToken: String!, $nonce: String!) {
  done: linkIdentity(input: {provider: $provider, idToken: $idToken, nonce: $nonce}) {
    identity { id provider subject email } errors { code path } } }"""
LINK_CODE = """mutation($code: String!, $verifier: String!) {
  done: linkIdentityWithCode(input: {code: $code, codeVerifier: $verifier}) {
    identity { provider subject } errors { code } } }"""
UNLINK = """mutation($id: ID!) {
  done: unlinkIdentity(input: {id: $id}) { unlinkedId errors { code path } } }"""
SIGN_UP = f"""mutation($email: String!) {{
  done: signUp(input: {{email: $email, password: "correct horse battery"}}) {{ {SESSION} }} }}"""
SIGN_IN = f"""mutation($email: String!) {{
  done: signIn(input: {{email: $email, password: "correct horse battery"}}) {{ {SESSION} }} }}"""
GUEST = f"mutation {{ done: signInAnonymously {{ {SESSION} }} }}"
WHO = """{ viewer { id email displayName isAnonymous
  identities { nodes { id provider subject email isEmailVerified name } } } }"""


@dataclass
class Place:
    """The server, the providers that it knows, and the settings that name them."""

    http: httpx.AsyncClient
    services: Services
    settings: Settings
    acme: Issuer
    apple: Apple
    facebook: PlainOAuth
    discord: PlainOAuth

    @property
    def browsers(self) -> BrowserSignIn:
        return self.services.of(BrowserSignIn.of)

    async def ask(self, text: str, token: str = "", **variables: Any) -> dict[str, Any]:
        """The response to a document."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.post(
            "/graphql", json={"query": text, "variables": variables}, headers=headers
        )
        found: dict[str, Any] = answer.json()
        return found

    async def do(self, text: str, token: str = "", **variables: Any) -> dict[str, Any]:
        """What a mutation named `done` gives."""
        answer = await self.ask(text, token, **variables)
        assert "errors" not in answer, answer
        done: dict[str, Any] = answer["data"]["done"]
        return done

    async def code_of(self, text: str, token: str = "", **variables: Any) -> str:
        """The code of what refuses a mutation, wherever it stands."""
        answer = await self.ask(text, token, **variables)
        told = answer.get("errors") or answer["data"]["done"]["errors"]
        assert len(told) == 1, answer
        return str(told[0].get("code") or told[0]["extensions"]["code"])

    async def viewer(self, token: str) -> dict[str, Any]:
        viewer: dict[str, Any] = (await self.ask(WHO, token))["data"]["viewer"]
        return viewer

    def a_token(self, **claims: Any) -> dict[str, str]:
        """The variables that sign in with an ID token of acme's."""
        nonce = secrets.token_urlsafe(16)
        return {
            "provider": "acme",
            "idToken": self.acme.id_token(**{"nonce": nonce, **claims}),
            "nonce": nonce,
        }

    async def enter(self, token: str = "", **claims: Any) -> dict[str, Any]:
        """The session of somebody who comes from acme; and no error."""
        done = await self.do(ID_TOKEN, token, **self.a_token(**claims))
        assert done["errors"] == [], done
        return done

    def browser(self) -> Browser:
        return Browser(self)


class Browser:
    """One browser: its cookies, which it sends back wherever they are Secure or not."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.cookies: dict[str, str] = {}
        self.set_cookie = ""

    async def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.place.http.request(method, path, headers={"cookie": cookies}, **given)
        self.place.http.cookies.clear()
        for cookie in answer.headers.get_list("set-cookie"):
            self.set_cookie = cookie
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def start(self, provider: str, back: str = BACK, **query: str) -> dict[str, str]:
        """Leaves for a provider: what it takes along."""
        answer = await self.ask(
            "GET", f"/auth/{provider}/start", params={"redirect_to": back, **query}
        )
        assert answer.status_code == 302, answer.text
        return parameters(answer.headers["location"])

    async def come_back(self, provider: str, method: str = "GET", **answer: str) -> httpx.Response:
        """Comes back from a provider."""
        given = {"data" if method == "POST" else "params": answer}
        return await self.ask(method, f"/auth/{provider}/callback", **given)

    async def sign_in(self, provider: str, code: str, state: str, method: str = "GET") -> str:
        """The code that the app receives."""
        answer = await self.come_back(provider, method, code=code, state=state)
        assert answer.status_code == 302, answer.text
        location = answer.headers["location"]
        assert location.startswith(f"{BACK}&code="), location
        return parameters(location)["code"]

    async def arrive_from_acme(self, **claims: Any) -> str:
        """The whole way to acme and back, in one."""
        query = claims.pop("query", {})
        taken = await self.start("acme", **query)
        code = self.place.acme.arrive(taken["nonce"], **claims)
        return await self.sign_in("acme", code, taken["state"])


def parameters(url: str) -> dict[str, str]:
    """The parameters of a URL, each once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


def verifier() -> tuple[str, dict[str, str]]:
    """A PKCE verifier of an app, and what it sends along with its browser."""
    made = secrets.token_urlsafe(32)
    return made, {"code_challenge": challenge(made), "code_challenge_method": "S256"}


def user_id(done: dict[str, Any]) -> UUID:
    return UUID(done["session"]["user"]["id"].partition("_")[2])


def an_address() -> str:
    return f"{secrets.token_hex(8)}@example.com"


@asynccontextmanager
async def sign_in_server(
    database: Database,
    settings: Settings,
    google_url: str,
    acme: Issuer,
    apple: Apple,
    facebook: PlainOAuth,
    discord: PlainOAuth,
) -> AsyncIterator[Place]:
    """A server that offers all of them. ACME_… are variables, as for any further issuer."""
    secret = SecretStr(CLIENT_SECRET)
    configured = settings.model_copy(
        update={
            "provider_sign_ins_per_address": 100_000,
            "redirect_origins": [APP, "com.example.app://sign-in"],
            "google_client_id": CLIENT_ID,
            "google_client_secret": secret,
            "google_issuer": google_url,
            "apple_client_id": CLIENT_ID,
            "apple_issuer": apple.url,
            "apple_app_client_ids": ["com.example.app"],
            "apple_team_id": TEAM_ID,
            "apple_key_id": KEY_ID,
            "apple_private_key": SecretStr(apple.private_key.replace("\n", "\\n")),
            "facebook_client_id": CLIENT_ID,
            "facebook_client_secret": secret,
            "facebook_api_url": facebook.stub.url,
            "discord_client_id": CLIENT_ID,
            "discord_client_secret": secret,
            "discord_api_url": discord.stub.url,
            "oidc_providers": ["acme"],
        }
    )
    async with running(database, configured) as live:
        yield Place(live.http, live.server.services, configured, acme, apple, facebook, discord)
