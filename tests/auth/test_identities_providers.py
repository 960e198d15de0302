"""Apple, Facebook and Discord, each by its own ways; and the settings that name providers."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr, ValidationError

from auth.providers.configured import configured_providers
from settings import Settings, SettingsError
from tests.auth.sign_in import EXCHANGE, ID_TOKEN, SIGN_UP, Browser, Place, an_address, user_id
from tests.fakes.providers import CLIENT_ID


async def session_of(place: Place, code: str) -> dict[str, Any]:
    done = await place.do(EXCHANGE, code=code)
    assert done["errors"] == [], done
    return done


async def from_apple(
    place: Place, browser: Browser, user: str | None = None, **claims: Any
) -> dict[str, Any]:
    """The whole way to Apple and back, by its POST."""
    taken = await browser.start("apple")
    assert taken["response_mode"] == "form_post"
    assert taken["scope"] == "openid email name"
    assert "code_challenge" not in taken
    code = place.apple.arrive(taken["nonce"], **claims)
    sent = {"code": code, "state": taken["state"], **({"user": user} if user else {})}
    answer = await browser.come_back("apple", "POST", **sent)
    assert answer.status_code == 302, answer.text
    return await session_of(place, answer.headers["location"].partition("code=")[2])


async def test_apple_comes_back_by_a_post_and_names_people_once(place: Place) -> None:
    person = {"sub": secrets.token_hex(8), "email": an_address(), "email_verified": "true"}
    user = json.dumps({"name": {"firstName": "Ada", "lastName": "Lovelace"}, "email": "x"})
    first = await from_apple(place, place.browser(), user, **person)
    again = await from_apple(place, place.browser(), **person)
    assert user_id(first) == user_id(again)
    for session in (first, again):
        assert session["session"]["user"]["displayName"] == "Ada Lovelace"
        assert session["session"]["user"]["email"] == person["email"]
    (node,) = (await place.viewer(again["session"]["accessToken"]))["identities"]["nodes"]
    assert node["name"] == "Ada Lovelace"


@pytest.mark.parametrize("user", ["", "{", "[]", "7", '{"name": 7}', '{"name": {"firstName": 7}}'])
async def test_apple_may_say_nonsense_about_a_name(place: Place, user: str) -> None:
    session = await from_apple(place, place.browser(), user)
    assert session["session"]["user"]["displayName"] is None


async def test_apples_code_of_another_browser_is_refused_by_its_nonce(place: Place) -> None:
    """Apple knows no PKCE, so a stolen code gets as far as the ID token."""
    victim, attacker = place.browser(), place.browser()
    stolen = place.apple.arrive((await victim.start("apple"))["nonce"])
    taken = await attacker.start("apple")
    answer = await attacker.come_back("apple", "POST", code=stolen, state=taken["state"])
    assert "error=PROVIDER_REFUSED" in answer.headers["location"]


async def test_apples_apps_bring_tokens_for_their_bundle(place: Place) -> None:
    nonce = secrets.token_hex(8)
    token = place.apple.id_token(aud="com.example.app", nonce=nonce, email=an_address())
    done = await place.do(ID_TOKEN, provider="apple", idToken=token, nonce=nonce)
    assert done["errors"] == []


async def test_facebook_never_links_by_an_address(place: Place) -> None:
    address = an_address()
    member = await place.do(SIGN_UP, email=address)
    users = set()
    person = {"id": str(secrets.randbelow(10**15)), "name": "Ada", "email": address}
    for _ in range(2):
        browser = place.browser()
        taken = await browser.start("facebook")
        code = place.facebook.arrive(taken["code_challenge"], person)
        session = await session_of(place, await browser.sign_in("facebook", code, taken["state"]))
        users.add(user_id(session))
    assert len(users | {user_id(member)}) == 2
    viewer = await place.viewer(session["session"]["accessToken"])
    assert (viewer["email"], viewer["displayName"]) == (None, "Ada")
    (node,) = viewer["identities"]["nodes"]
    assert (node["email"], node["isEmailVerified"]) == (address, False)
    asked = [one for one in place.facebook.stub.asked if one.path.endswith("/me")]
    # The token is in no URL, where it would be logged.
    assert asked
    assert all("access_token" not in one.given for one in asked)


@pytest.mark.parametrize("verified", [True, False, None, "true"])
async def test_requirement_4_2_discord_says_whether_an_address_is_verified(
    place: Place, verified: object
) -> None:
    address = an_address()
    person = {"id": str(secrets.randbelow(10**17)), "username": "ada", "global_name": "Ada",
              "email": address, "verified": verified}  # fmt: skip
    browser = place.browser()
    taken = await browser.start("discord")
    assert taken["scope"] == "identify email"
    code = place.discord.arrive(taken["code_challenge"], person)
    session = await session_of(place, await browser.sign_in("discord", code, taken["state"]))
    user = session["session"]["user"]
    assert user["email"] == (address if verified is True else None)
    assert user["displayName"] == "Ada"


@pytest.mark.parametrize("provider", ["facebook", "discord"])
@pytest.mark.parametrize("person", [{}, {"id": 7}, {"id": ""}, {"id": ["1"]}, []])
async def test_a_person_without_an_id_is_nobody(
    place: Place, provider: str, person: object
) -> None:
    browser = place.browser()
    taken = await browser.start(provider)
    code = getattr(place, provider).arrive(taken["code_challenge"], person)
    answer = await browser.come_back(provider, code=code, state=taken["state"])
    assert "error=PROVIDER_FAILED" in answer.headers["location"]


async def test_discord_gives_apps_no_tokens(place: Place) -> None:
    given = {"provider": "discord", "idToken": "x", "nonce": "x"}
    assert await place.code_of(ID_TOKEN, **given) == "BAD_USER_INPUT"


def test_without_settings_there_is_no_provider(settings: Settings) -> None:
    assert configured_providers(settings) == {}


def test_other_issuers_in_the_place_of_facebook_and_discord(settings: Settings) -> None:
    """They are asked as any OpenID issuer; and Facebook's addresses still prove nothing."""
    url = "https://login.example.com/"
    named = {"facebook_client_id": "a", "facebook_issuer": url, "discord_client_id": "b",
             "discord_issuer": url, "google_client_id": "c"}  # fmt: skip
    found = configured_providers(settings.model_copy(update=named))
    assert list(found) == ["google", "facebook", "discord"]
    assert found["facebook"].issuer == found["discord"].issuer == url
    assert found["facebook"]._vouches_for_emails is False  # type: ignore[attr-defined]
    assert found["discord"]._vouches_for_emails is True  # type: ignore[attr-defined]
    assert found["google"].issuer == "https://accounts.google.com"


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )


APPLE = {"apple_client_id": "a", "apple_team_id": "t", "apple_key_id": "k"}
WRONG: dict[str, dict[str, Any]] = {
    "needs APPLE_TEAM_ID": {"apple_client_id": "a", "apple_private_key": SecretStr("x")},
    "must be a P-256 key": {**APPLE, "apple_private_key": SecretStr("a secret that is no key")},
    "APPLE_PRIVATE_KEY": {
        **APPLE,
        "apple_private_key": SecretStr(pem(rsa.generate_private_key(65537, 2048))),
    },
    "GOOGLE_ISSUER must begin with https": {
        "google_client_id": "a",
        "google_issuer": "http://accounts.google.com",
    },
    "DISCORD_API_URL must": {"discord_client_id": "a", "discord_api_url": "http://10.0.0.1/api"},
    "'google' is no name": {"oidc_providers": ["google"]},
    "'Acme' is no name": {"oidc_providers": ["Acme"]},
    "set NOBODY_ISSUER and NOBODY_CLIENT_ID": {"oidc_providers": ["nobody"]},
}


@pytest.mark.parametrize("told", WRONG)
def test_settings_that_are_wrong_are_named_and_not_shown(settings: Settings, told: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        configured_providers(settings.model_copy(update=WRONG[told]))
    assert told in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert "BEGIN" not in str(refusal.value)


def test_a_client_secret_may_be_ready_made(settings: Settings) -> None:
    ready = {"apple_client_id": CLIENT_ID, "apple_client_secret": SecretStr("made elsewhere")}
    apple = configured_providers(settings.model_copy(update=ready))["apple"]
    assert apple.client_secret() == "made elsewhere"  # type: ignore[attr-defined]
    made = {
        **ready,
        **APPLE,
        "apple_private_key": SecretStr(pem(ec.generate_private_key(ec.SECP256R1()))),
    }
    apple = configured_providers(settings.model_copy(update=made))["apple"]
    assert apple.client_secret().count(".") == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "origin",
    ["app.example.com", "https://app.example.com/", "https://a.example/b", "https://*.a.example",
     "https://a@b.example", "javascript:alert(1)", "https://"],
)  # fmt: skip
def test_redirect_origins_are_origins(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("REDIRECT_ORIGINS", origin)
    with pytest.raises(ValidationError, match=r"(?s)redirect_origins.*is no origin"):
        Settings()


def test_secrets_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_CLIENT_SECRET", "APPLE_PRIVATE_KEY", "DISCORD_CLIENT_SECRET"):
        monkeypatch.setenv(name, "canary")
    assert "canary" not in repr(Settings())
    assert Settings().google_client_secret.get_secret_value() == "canary"
