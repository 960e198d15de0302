"""What comes back through a browser is believed only from the browser and the provider that began."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest

from auth.browser_sign_in import BrowserSignIn
from auth.shared_rates import SharedRates
from auth.token_sealing import seal, unseal
from db.core.errors import RateLimited
from db.identities.rules import answers_challenge, is_allowed_redirect
from tests.auth.services import AuthServices
from tests.auth.sign_in import (
    APP,
    EXCHANGE,
    GUEST,
    LINK_CODE,
    SIGN_UP,
    Place,
    an_address,
    parameters,
    user_id,
    verifier,
)
from tests.fakes.providers import challenge


def refused(answer: Any) -> str:
    """The code of a refusal that sends the browser nowhere."""
    assert answer.status_code == 400, answer.text
    assert "location" not in answer.headers
    return str(answer.json()["errors"][0]["extensions"]["code"])


def error_of(answer: Any) -> str:
    """The code of a refusal that sends the browser back to the app."""
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(f"{APP}/")
    found = parameters(answer.headers["location"])
    assert "code" not in found
    assert found["error_description"]
    return found["error"]


async def test_another_browser_does_not_end_what_one_began(place: Place) -> None:
    """Login CSRF: an attacker's answer, in the browser of somebody who is to use their account."""
    attacker, victim = place.browser(), place.browser()
    taken = await attacker.start("acme")
    code = place.acme.arrive(taken["nonce"])
    answer = {"code": code, "state": taken["state"]}
    assert refused(await victim.come_back("acme", **answer)) == "CODE_INVALID"
    await victim.start("acme")
    assert refused(await victim.come_back("acme", **answer)) == "CODE_INVALID"
    # It is still the attacker's own to end.
    assert (await attacker.come_back("acme", **answer)).status_code == 302


async def test_a_state_works_once(place: Place) -> None:
    browser = place.browser()
    taken = await browser.start("acme")
    answer = {"code": place.acme.arrive(taken["nonce"]), "state": taken["state"]}
    assert (await browser.come_back("acme", **answer)).status_code == 302
    assert refused(await browser.come_back("acme", **answer)) == "CODE_INVALID"


async def test_a_state_lasts_ten_minutes(place: Place, services: AuthServices) -> None:
    browser = place.browser()
    taken = await browser.start("acme")
    life = "select extract(epoch from max(expires_at) - now()) from oauth_states"
    assert 590 < await services.value(life) <= 600
    await services.all("update oauth_states set expires_at = now() returning 1")
    answer = await browser.come_back("acme", code="x", state=taken["state"])
    assert error_of(answer) == "CODE_INVALID"


@pytest.mark.parametrize("state", ["", "x", "x" * 43, "é" * 43, "x" * 100_000])
async def test_states_that_nobody_gave(place: Place, state: str) -> None:
    browser = place.browser()
    await browser.start("acme")
    assert refused(await browser.come_back("acme", "POST", code="x", state=state)) in {
        "CODE_INVALID",
        "BAD_USER_INPUT",
    }


async def test_two_tabs_of_one_browser_both_come_back(place: Place) -> None:
    browser = place.browser()
    first, second = await browser.start("acme"), await browser.start("acme")
    for taken in (first, second):
        assert await browser.sign_in("acme", place.acme.arrive(taken["nonce"]), taken["state"])


async def test_an_answer_of_another_provider_is_not_mixed_in(place: Place) -> None:
    """Mix-up: what one provider answered is brought to another's address, or under its name."""
    browser = place.browser()
    taken = await browser.start("acme")
    code = place.acme.arrive(taken["nonce"])
    answer = {"code": code, "state": taken["state"]}
    asked = len(place.discord.stub.asked)
    assert refused(await browser.come_back("discord", **answer)) == "CODE_INVALID"
    assert len(place.discord.stub.asked) == asked, "the code was given to the wrong provider"
    tokens = place.acme.stub.count("/token")
    other = await browser.come_back("acme", **answer, iss="https://evil.example")
    assert error_of(other) == "PROVIDER_REFUSED"
    assert place.acme.stub.count("/token") == tokens


async def test_a_provider_that_names_itself_has_to(place: Place) -> None:
    """RFC 9207: what is promised in the discovery document is missed when it is not there."""
    issuer = place.browsers.providers["acme"]._issuer  # type: ignore[attr-defined]
    place.acme.extra = {"authorization_response_iss_parameter_supported": True}
    issuer._document._document = None
    try:
        for named, expected in (({}, "PROVIDER_REFUSED"), ({"iss": place.acme.url}, "")):
            browser = place.browser()
            taken = await browser.start("acme")
            code = place.acme.arrive(taken["nonce"])
            answer = await browser.come_back("acme", code=code, state=taken["state"], **named)
            found = parameters(answer.headers["location"])
            assert found.get("error", "") == expected
    finally:
        place.acme.extra = {}
        issuer._document._document = None


async def test_a_code_of_another_sign_in_is_not_taken_at_the_provider(place: Place) -> None:
    """Code injection: the ID token behind a stolen code has the nonce of whoever it was stolen from."""
    attacker, victim = place.browser(), place.browser()
    stolen = place.acme.arrive((await victim.start("acme"))["nonce"])
    taken = await attacker.start("acme")
    answer = await attacker.come_back("acme", code=stolen, state=taken["state"])
    assert error_of(answer) == "PROVIDER_REFUSED"


async def test_a_code_of_another_sign_in_is_not_taken_where_pkce_guards_it(place: Place) -> None:
    attacker, victim = place.browser(), place.browser()
    taken = await victim.start("discord")
    stolen = place.discord.arrive(taken["code_challenge"], {"id": "1"})
    taken = await attacker.start("discord")
    answer = await attacker.come_back("discord", code=stolen, state=taken["state"])
    assert error_of(answer) == "PROVIDER_REFUSED"


async def test_an_app_takes_no_code_but_the_one_it_asked_for(place: Place) -> None:
    """The app's own PKCE: neither another's code nor one without a challenge gets in."""
    made, query = verifier()
    other, _ = verifier()
    for begun_with, given in (
        (query, None),
        (query, other),
        (query, "short"),
        (query, challenge(made)),
        # Downgrade: the attacker leaves the challenge out.
        ({}, made),
    ):
        code = await place.browser().arrive_from_acme(query=begun_with)
        assert await place.code_of(EXCHANGE, code=code, verifier=given) == "CODE_INVALID"
        # It is used up, so that nobody goes on guessing.
        assert await place.code_of(EXCHANGE, code=code, verifier=made) == "CODE_INVALID"
    code = await place.browser().arrive_from_acme(query=query)
    assert (await place.do(EXCHANGE, code=code, verifier=made))["errors"] == []


async def test_a_strangers_code_takes_nothing_from_guests_and_members(place: Place) -> None:
    guest = await place.do(GUEST)
    member = (await place.do(SIGN_UP, email=an_address()))["session"]["accessToken"]
    code = await place.browser().arrive_from_acme()
    stranger = await place.do(EXCHANGE, guest["session"]["accessToken"], code=code)
    assert user_id(stranger) != user_id(guest)
    code, (made, _) = await place.browser().arrive_from_acme(), verifier()
    assert await place.code_of(LINK_CODE, member, code=code, verifier=made) == "CODE_INVALID"
    assert (await place.viewer(member))["identities"]["nodes"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"code_challenge": "short"},
        {"code_challenge": "x" * 43, "code_challenge_method": "plain"},
        {"code_challenge_method": "S256"},
        {"code_challenge": "é" * 43},
    ],
)
async def test_challenges_that_are_none(place: Place, query: dict[str, str]) -> None:
    answer = await place.browser().ask(
        "GET", "/auth/acme/start", params={"redirect_to": APP, **query}
    )
    assert refused(answer) == "BAD_USER_INPUT"


EVIL = [
    "https://evil.example/", "https://app.example.com.evil.example/", "https://app.example.comevil",
    "https://app.example.com@evil.example/", "https://app.example.com:8443/", "http://app.example.com/",
    "//app.example.com/", "/welcome", "https:app.example.com", "https:///app.example.com/",
    "https://evil.example\\@app.example.com/", "https://app.example.com\\evil", "HTTPS://app.example.com/",
    "https://app.example.com/\r\nSet-Cookie: a=b", "https://app.example.com/ x", "https://app.example.com/#a",
    "javascript:alert(1)//https://app.example.com/", "data:text/html,x", "https://APP.example.com/",
    "https://app.example.com/?code=theirs", "https://app.example.com/?a&error=x", "https://app.example.com/é",
    "com.example.app://evil", "com.example.app://sign-in.evil", "http://localhost.evil.example/",
    "http://localhost@evil.example/", "http://127.0.0.1.evil.example/", "https://app.example.com/" + "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", EVIL)
async def test_no_browser_is_sent_to_where_it_should_not_go(place: Place, url: str) -> None:
    answer = await place.browser().ask("GET", "/auth/acme/start", params={"redirect_to": url})
    assert refused(answer) == "REDIRECT_NOT_ALLOWED"
    assert "set-cookie" not in answer.headers


def test_where_browsers_may_go() -> None:
    origins = [APP, "com.example.app://sign-in"]
    for url in (APP, f"{APP}/", f"{APP}/a/b?c=d", f"{APP}?x", "com.example.app://sign-in/x"):
        assert is_allowed_redirect(url, origins, lets_demo_in=False), url
    for url in ("http://localhost:3000/", "http://127.0.0.1", "https://localhost/?a=b"):
        assert is_allowed_redirect(url, origins, lets_demo_in=True), url
        assert not is_allowed_redirect(url, origins, lets_demo_in=False), url


async def test_cookies_say_no_more_than_they_must(place: Place) -> None:
    browser = place.browser()
    await browser.start("acme")
    lax = browser.set_cookie.lower().split("; ")
    assert {"httponly", "samesite=lax", "path=/", "max-age=600"} <= set(lax)
    await browser.start("apple")
    none = browser.set_cookie.lower().split("; ")
    assert {"httponly", "samesite=none", "secure", "path=/", "max-age=600"} <= set(none)
    assert len(browser.cookies) == 2
    assert len(set(browser.cookies.values())) == 2


async def test_nothing_that_is_stored_can_be_used(place: Place, services: AuthServices) -> None:
    browser, address = place.browser(), an_address()
    taken = await browser.start("acme")
    states = await services.all("select * from oauth_states")
    code = await browser.sign_in(
        "acme", place.acme.arrive(taken["nonce"], email=address), taken["state"]
    )
    codes = await services.all("select * from sign_in_codes")
    stored = repr([tuple(row) for row in (*states, *codes)])
    secrets_of_it = (taken["state"], taken["nonce"], code, address, *browser.cookies.values())
    assert [one for one in secrets_of_it if one in stored] == []


def test_a_seal_opens_with_its_own_token_only() -> None:
    sealed = seal("one", b"text", purpose="a")
    assert unseal("one", sealed, purpose="a") == b"text"
    assert unseal("two", sealed, purpose="a") is None
    assert unseal("one", sealed, purpose="b") is None
    assert unseal("one", sealed[:-1] + bytes([sealed[-1] ^ 1]), purpose="a") is None


def test_a_verifier_answers_its_challenge_only() -> None:
    made = secrets.token_urlsafe(32)
    assert answers_challenge(challenge(made), made)
    assert answers_challenge(None, None)
    assert not answers_challenge(challenge(made), made + "x")
    assert not answers_challenge(challenge(made), None)
    assert not answers_challenge(None, made)


async def test_beginning_has_a_budget_for_each_address(place: Place) -> None:
    """In all processes together."""
    few = place.settings.model_copy(update={"provider_sign_ins_per_address": 2})
    rates, others = SharedRates(b"key"), SharedRates(b"key")
    browsers, elsewhere = (
        BrowserSignIn(replace(place.services, settings=few, rates=one)) for one in (rates, others)
    )
    given: Any = {"code_challenge": None, "method": None, "browser": None}
    for network in ("a", "a", "b"):
        await browsers.begin("discord", APP, network=network, **given)
    others.hear(rates.report() or "")
    for process in (browsers, elsewhere):
        with pytest.raises(RateLimited) as refusal:
            await process.begin("discord", APP, network="a", **given)
        assert 0 < refusal.value.retry_after_seconds <= 30
        await process.begin("discord", APP, network="c", **given)


async def test_a_code_is_sealed_to_its_app_and_not_to_json(place: Place) -> None:
    """What a provider says of a name cannot become another field of the identity."""
    name = json.dumps({"subject": "another"})
    subject = secrets.token_hex(8)
    code = await place.browser().arrive_from_acme(sub=subject, name=name)
    done = await place.do(EXCHANGE, code=code)
    (node,) = (await place.viewer(done["session"]["accessToken"]))["identities"]["nodes"]
    assert (node["subject"], node["name"]) == (subject, name)
