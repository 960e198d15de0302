"""Signing in at a provider: an identity opens its account once, and comes back to it ever after."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from urllib.parse import urlencode

import httpx
import pytest

from auth.identities import Caller, Identities
from auth.sessions import SignedIn
from db.core.errors import RateLimited
from tests.auth.services import AuthServices
from tests.auth.sign_in import (
    APP,
    BACK,
    EXCHANGE,
    GUEST,
    ID_TOKEN,
    LINK,
    LINK_CODE,
    SIGN_UP,
    UNLINK,
    Place,
    an_address,
    parameters,
    user_id,
    verifier,
)
from tests.fakes.providers import CLIENT_ID, TokenProvider


async def agree(issuer: str, taken: dict[str, str], person: str) -> dict[str, str]:
    """Somebody agrees on the provider's page: what their browser brings back."""
    async with httpx.AsyncClient() as provider:
        answer = await provider.post(
            f"{issuer}/oauth2/authorize?{urlencode(taken)}", data={"sub": person}
        )
    assert answer.status_code == 302, answer.text
    return parameters(answer.headers["location"])


async def known_at(issuer: str, **claims: object) -> str:
    """A person whom the mock knows."""
    person = secrets.token_hex(8)
    async with httpx.AsyncClient() as provider:
        answer = await provider.put(f"{issuer}/users/{person}", json=claims)
    assert answer.status_code == 204
    return person


async def test_a_browser_signs_in_by_an_openid_issuer(place: Place, mock_issuer: str) -> None:
    address = an_address()
    person = await known_at(mock_issuer, email=address, email_verified=True, name="Ada L.")
    users = set()
    for _ in range(2):
        browser = place.browser()
        taken = await browser.start("google")
        assert taken["client_id"] == CLIENT_ID
        assert taken["redirect_uri"].endswith("/auth/google/callback")
        assert taken["code_challenge_method"] == "S256"
        brought = await agree(mock_issuer, taken, person)
        code = await browser.sign_in("google", brought["code"], brought["state"])
        done = await place.do(EXCHANGE, code=code)
        assert done["errors"] == []
        users.add(user_id(done))
        viewer = await place.viewer(done["session"]["accessToken"])
        assert (viewer["email"], viewer["displayName"]) == (address, "Ada L.")
        assert viewer["isAnonymous"] is False
        (identity,) = viewer["identities"]["nodes"]
        assert (identity["provider"], identity["subject"]) == ("google", person)
        assert (identity["email"], identity["isEmailVerified"]) == (address, True)
    assert len(users) == 1


async def test_an_app_signs_in_by_an_id_token(place: Place, mock_issuer: str) -> None:
    """The app goes to the provider by itself, with a nonce of its own."""
    person, nonce = await known_at(mock_issuer, email=an_address()), secrets.token_urlsafe(16)
    taken = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": "com.example.app://sign-in",
        "scope": "openid email",
        "nonce": nonce,
    }
    brought = await agree(mock_issuer, taken, person)
    form = {"grant_type": "authorization_code", "code": brought["code"], "client_id": CLIENT_ID,
            "client_secret": "x", "redirect_uri": taken["redirect_uri"]}  # fmt: skip
    async with httpx.AsyncClient() as provider:
        token = (await provider.post(f"{mock_issuer}/oauth2/token", data=form)).json()["id_token"]
    given = {"provider": "google", "idToken": token}
    assert await place.code_of(ID_TOKEN, nonce="another", **given) == "INVALID_CREDENTIALS"
    done = await place.do(ID_TOKEN, nonce=nonce, **given)
    assert done["errors"] == []
    # Nobody has verified the address, so it is the identity's and not the account's.
    assert done["session"]["user"]["email"] is None


KEY = """mutation($name: String!) {
  done: createApiKey(input: {name: $name, scopes: [READ]}) { errors { code } } }"""
TOTP = "mutation { done: beginTotp { errors { code } uri } }"
PASSKEY = """mutation {
  done: beginPasskeyRegistration(input: {}) { errors { code } options } }"""


async def test_who_has_no_address_has_keys_and_second_factors(place: Place) -> None:
    """Not every provider tells one."""
    done = await place.enter(sub=secrets.token_hex(8))
    token = done["session"]["accessToken"]
    viewer = await place.viewer(token)
    assert viewer["email"] is None
    assert (await place.do(KEY, token, name="A bot"))["errors"] == []
    assert (await place.do(PASSKEY, token))["errors"] == []
    assert (await place.do(TOTP, token))["errors"] == []


async def test_a_code_works_once(place: Place) -> None:
    code = await place.browser().arrive_from_acme()
    answers = await asyncio.gather(*(place.do(EXCHANGE, code=code) for _ in range(5)))
    assert sum(answer["session"] is not None for answer in answers) == 1
    refused = [answer["errors"] for answer in answers if answer["session"] is None]
    assert refused == [[{"code": "CODE_INVALID", "path": ["input", "code"]}]] * 4


async def test_a_code_lasts_a_minute(place: Place, services: AuthServices) -> None:
    code = await place.browser().arrive_from_acme()
    await services.all("update sign_in_codes set expires_at = now() returning 1")
    assert await place.code_of(EXCHANGE, code=code) == "CODE_INVALID"


@pytest.mark.parametrize("code", ["", "x", "tgo_", "tgo_" + "x" * 43, "tgo_é" + "x" * 42])
async def test_codes_that_nobody_gave(place: Place, code: str) -> None:
    assert await place.code_of(EXCHANGE, code=code) == "CODE_INVALID"


async def test_an_identity_that_comes_twice_at_once_opens_one_account(place: Place) -> None:
    person = {"sub": secrets.token_hex(8), "email": an_address(), "email_verified": True}
    sessions = await asyncio.gather(*(place.enter(**person) for _ in range(6)))
    assert len({user_id(session) for session in sessions}) == 1
    assert sum(session["bonusCredits"] is not None for session in sessions) == 1


async def test_a_new_account_has_its_bonus_once(place: Place, services: AuthServices) -> None:
    person = {"sub": secrets.token_hex(8)}
    first, second = [await place.enter(**person) for _ in range(2)]
    assert (first["bonusCredits"], second["bonusCredits"]) == (10, None)
    actions = await services.audit(user_id(first))
    assert actions == ["sign_up", "sign_in"]


ORGANIZATIONS = """{ viewer { selectedOrganization { id name }
  memberships { nodes { role organization { id name } } } } }"""


@pytest.mark.parametrize("told", [{"name": "Ada L."}, {}], ids=["with a name", "with nothing"])
async def test_an_identity_that_is_new_owns_a_first_organization_where_the_terms_say_so(
    place: Place, services: AuthServices, told: dict[str, str]
) -> None:
    person = {"sub": secrets.token_hex(8), **told}
    change = "update sign_up_terms set founds_organization = {} returning id"
    await services.all(change.format("true"))
    try:
        answers = [await place.enter(**person) for _ in range(2)]
    finally:
        await services.all(change.format("false"))
    viewers = [
        (await place.ask(ORGANIZATIONS, one["session"]["accessToken"]))["data"]["viewer"]
        for one in answers
    ]
    assert viewers[0] == viewers[1], "who comes back has it still, and no other"
    (membership,) = viewers[0]["memberships"]["nodes"]
    made = viewers[0]["selectedOrganization"]
    assert membership == {"role": "OWNER", "organization": made}
    assert made["name"] == told.get("name", made["name"]) != ""


async def test_bonuses_of_an_address_have_their_budget_here_too(place: Place) -> None:
    none = place.settings.model_copy(update={"sign_up_bonuses_per_hour": 0})
    identities = Identities(replace(place.services, settings=none))
    identities.browsers.providers["fake"] = TokenProvider()
    given = ("fake", secrets.token_hex(8), "nonce", Caller(network="a"))
    signed_in = await identities.sign_in_with_token(*given)
    assert isinstance(signed_in, SignedIn)
    assert signed_in.bonus_credits == 0


async def test_an_address_opens_only_so_many_accounts(place: Place) -> None:
    few = place.settings.model_copy(update={"accounts_per_hour": 1})
    identities = Identities(replace(place.services, settings=few))
    identities.browsers.providers["fake"] = TokenProvider()
    network, first = secrets.token_hex(8), secrets.token_hex(8)
    await identities.sign_in_with_token("fake", first, "nonce", Caller(network))
    with pytest.raises(RateLimited):
        await identities.sign_in_with_token("fake", secrets.token_hex(8), "n", Caller(network))


async def test_a_guest_becomes_a_member_and_keeps_everything(place: Place) -> None:
    guest = await place.do(GUEST)
    token, address = guest["session"]["accessToken"], an_address()
    member = await place.enter(token, email=address, email_verified=True)
    assert user_id(member) == user_id(guest)
    assert member["session"]["user"]["email"] == address
    assert member["session"]["user"]["isAnonymous"] is False
    assert guest["bonusCredits"] + member["bonusCredits"] == 10
    # The guest's own sessions end with it.
    assert (await place.http.post("/graphql", json={"query": "{ viewer { id } }"},
            headers={"authorization": f"Bearer {token}"})).status_code == 401  # fmt: skip


async def test_a_guest_whose_identity_has_an_account_signs_in_to_it(place: Place) -> None:
    person = {"sub": secrets.token_hex(8)}
    member, guest = await place.enter(**person), await place.do(GUEST)
    token = guest["session"]["accessToken"]
    again = await place.enter(token, **person)
    assert user_id(again) == user_id(member)
    assert (await place.viewer(token))["isAnonymous"] is True


@pytest.mark.parametrize("proves_it", [True, False])
async def test_a_guest_is_converted_by_a_code_of_their_own_only(
    place: Place, proves_it: bool
) -> None:
    guest = await place.do(GUEST)
    made, query = verifier()
    given = {"verifier": made} if proves_it else {}
    code = await place.browser().arrive_from_acme(query=query if proves_it else {})
    done = await place.do(EXCHANGE, guest["session"]["accessToken"], code=code, **given)
    assert (user_id(done) == user_id(guest)) is proves_it


async def test_linking_and_unlinking(place: Place) -> None:
    member = (await place.do(SIGN_UP, email=an_address()))["session"]
    token = member["accessToken"]
    person = {"sub": secrets.token_hex(8)}
    linked = await place.do(LINK, token, **place.a_token(**person))
    assert linked["errors"] == []
    again = await place.do(LINK, token, **place.a_token(**person))
    assert again["identity"] == linked["identity"]
    assert (await place.enter(**person))["session"]["user"]["id"] == member["user"]["id"]
    identity = linked["identity"]["id"]
    assert await place.do(UNLINK, token, id=identity) == {"unlinkedId": identity, "errors": []}
    assert await place.code_of(UNLINK, token, id=identity) == "NOT_FOUND"
    assert (await place.enter(**person))["session"]["user"]["id"] != member["user"]["id"]


async def test_linking_with_a_code(place: Place) -> None:
    token = (await place.do(SIGN_UP, email=an_address()))["session"]["accessToken"]
    made, query = verifier()
    person = secrets.token_hex(8)
    code = await place.browser().arrive_from_acme(query=query, sub=person)
    linked = await place.do(LINK_CODE, token, code=code, verifier=made)
    assert linked == {"identity": {"provider": "acme", "subject": person}, "errors": []}
    assert await place.code_of(LINK_CODE, token, code=code, verifier=made) == "CODE_INVALID"


async def test_an_identity_of_another_account_is_not_linked(place: Place) -> None:
    person = {"sub": secrets.token_hex(8)}
    await place.enter(**person)
    token = (await place.do(SIGN_UP, email=an_address()))["session"]["accessToken"]
    assert await place.code_of(LINK, token, **place.a_token(**person)) == "IDENTITY_IN_USE"


async def test_guests_link_nothing(place: Place) -> None:
    token = (await place.do(GUEST))["session"]["accessToken"]
    assert await place.code_of(LINK, token, **place.a_token()) == "FORBIDDEN"


async def test_the_last_way_in_stays(place: Place) -> None:
    token = (await place.enter())["session"]["accessToken"]
    linked = (await place.do(LINK, token, **place.a_token()))["identity"]["id"]
    first = (await place.viewer(token))["identities"]["nodes"][0]["id"]
    # Both at once: one of them is the last.
    answers = await asyncio.gather(*(place.do(UNLINK, token, id=one) for one in (first, linked)))
    codes = [error["code"] for answer in answers for error in answer["errors"]]
    assert codes == ["LAST_IDENTITY"]
    assert len((await place.viewer(token))["identities"]["nodes"]) == 1


async def test_nobody_unlinks_what_is_anothers(place: Place) -> None:
    ada, eve = [(await place.enter())["session"]["accessToken"] for _ in range(2)]
    await place.do(LINK, eve, **place.a_token())
    identity = (await place.viewer(ada))["identities"]["nodes"][0]["id"]
    assert await place.code_of(UNLINK, eve, id=identity) == "NOT_FOUND"
    assert len((await place.viewer(ada))["identities"]["nodes"]) == 1


async def test_an_account_has_at_most_twenty(place: Place, services: AuthServices) -> None:
    member = await place.enter()
    await services.all(
        "insert into user_identities (user_id, provider, subject)"
        " select :user_id, 'acme', gen_random_uuid()::text from generate_series(2, 20) returning 1",
        user_id=user_id(member),
    )
    token = member["session"]["accessToken"]
    assert await place.code_of(LINK, token, **place.a_token()) == "LIMIT_EXCEEDED"


async def test_a_locked_account_is_not_signed_in_to(place: Place, services: AuthServices) -> None:
    person = {"sub": secrets.token_hex(8)}
    member = await place.enter(**person)
    await services.all(
        "update users set status = 'locked' where id = :id returning 1", id=user_id(member)
    )
    assert await place.code_of(ID_TOKEN, **place.a_token(**person)) == "INVALID_CREDENTIALS"
    code = await place.browser().arrive_from_acme(**person)
    assert await place.code_of(EXCHANGE, code=code) == "INVALID_CREDENTIALS"


async def test_the_app_keeps_its_own_parameters(place: Place) -> None:
    for back in (BACK, APP, f"{APP}/a?b=c&d=e", "com.example.app://sign-in?x=1"):
        browser = place.browser()
        taken = await browser.start("acme", back)
        code = place.acme.arrive(taken["nonce"])
        answer = await browser.come_back("acme", code=code, state=taken["state"])
        location = answer.headers["location"]
        assert location.startswith(f"{back}{'&' if '?' in back else '?'}code=tgo_")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
