"""An ID token counts when its issuer made it for us, for this person, now, and once; and keys rotate."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from auth.providers import http as provider_http
from auth.providers.discovery import LOOK_AGAIN_SECONDS, Issuer
from auth.providers.id_tokens import IdTokens
from db.core.errors import DomainError
from tests.auth.sign_in import BACK, GUEST, ID_TOKEN, LINK, SIGN_UP, Place, an_address, parameters
from tests.fakes.http_stub import Stub, StubRequest, stub_server
from tests.fakes.providers import CLIENT_ID, CLIENT_SECRET, SigningKey
from tests.fakes.providers import Issuer as FakeIssuer

NONCE = "a nonce"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeIssuer]:
    with stub_server() as stub:
        yield FakeIssuer(stub, [SigningKey("rsa"), SigningKey("ec", "ES256"), SigningKey("rsa-2")])


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(fake: FakeIssuer, clock: Clock) -> IdTokens:
    return IdTokens("fake", Issuer("fake", fake.url, clock=clock), "https://other-name.example")


async def verdict(tokens: IdTokens, token: str, nonce: str = NONCE) -> str:
    """The subject of a good token, or the code of its refusal."""
    try:
        return str((await tokens.verify(token, {CLIENT_ID, "app-1"}, nonce))["sub"])
    except DomainError as refusal:
        return refusal.code.value


def with_head(token: str, **head: Any) -> str:
    """The token with another head, its signature as it was."""
    old = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    made = base64.urlsafe_b64encode(json.dumps({**old, **head}).encode()).rstrip(b"=").decode()
    return f"{made}.{token.partition('.')[2]}"


def signed_with_secret(fake: FakeIssuer, secret: str) -> str:
    """Signed with what the client knows, or with the public key, as HMAC's."""
    claims = fake.claims(nonce=NONCE)
    header = {"alg": "HS256", "kid": "rsa"}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), secret.encode())
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


GOOD: dict[str, Callable[[FakeIssuer], str]] = {
    "RSA": lambda fake: fake.keys[0].sign(fake.claims(sub="1", nonce=NONCE)),
    "EC": lambda fake: fake.keys[1].sign(fake.claims(sub="1", nonce=NONCE)),
    "an app of ours": lambda fake: fake.id_token(sub="1", nonce=NONCE, aud="app-1"),
    "one audience in a list": lambda fake: fake.id_token(sub="1", nonce=NONCE, aud=[CLIENT_ID]),
    "another name": lambda fake: fake.id_token(sub="1", nonce=NONCE, iss="https://other-name.example"),
    "the hash of the nonce": lambda fake: fake.id_token(
        sub="1", nonce=hashlib.sha256(NONCE.encode()).hexdigest()
    ),
    "a clock that is slow": lambda fake: fake.id_token(sub="1", nonce=NONCE, iat=int(time.time()) + 20),
    "just over": lambda fake: fake.id_token(sub="1", nonce=NONCE, exp=int(time.time()) - 20),
}  # fmt: skip
NOW = time.time
BAD: dict[str, Callable[[FakeIssuer], str]] = {
    "nothing": lambda fake: "",
    "no token": lambda fake: "x.y.z",
    "too long": lambda fake: fake.id_token(nonce=NONCE, more="x" * 20_000),
    "no algorithm": lambda fake: jwt.encode(fake.claims(nonce=NONCE), None, algorithm="none"),
    "an algorithm that is not its key's": lambda fake: with_head(fake.id_token(nonce=NONCE), alg="ES256"),
    "a secret that clients know": lambda fake: signed_with_secret(fake, CLIENT_SECRET),
    "the public key as a secret": lambda fake: signed_with_secret(fake, json.dumps(fake.keys[0].jwk)),
    "another key": lambda fake: SigningKey("rsa", private=SigningKey("other").private).sign(
        fake.claims(nonce=NONCE)
    ),
    "an unknown key": lambda fake: SigningKey("unknown").sign(fake.claims(nonce=NONCE)),
    "a key of its own": lambda fake: SigningKey("mine").sign(
        fake.claims(nonce=NONCE), jwk=SigningKey("mine").jwk, jku="https://evil.example/jwks"
    ),
    "an extension": lambda fake: fake.keys[0].sign(fake.claims(nonce=NONCE), crit=["b64"]),
    "a key's id that is no text": lambda fake: with_head(fake.id_token(nonce=NONCE), kid=["rsa"]),
    "no key's id, of two keys": lambda fake: jwt.encode(
        fake.claims(nonce=NONCE), fake.keys[0].private, algorithm="RS256"
    ),
    "another issuer": lambda fake: fake.id_token(nonce=NONCE, iss="https://evil.example"),
    "an issuer that begins alike": lambda fake: fake.id_token(nonce=NONCE, iss=f"{fake.url}.evil.example"),
    "another app": lambda fake: fake.id_token(nonce=NONCE, aud="somebody else's app"),
    "two audiences": lambda fake: fake.id_token(nonce=NONCE, aud=[CLIENT_ID, "somebody else's app"]),
    "no audience": lambda fake: fake.id_token(nonce=NONCE, aud=[]),
    "another nonce": lambda fake: fake.id_token(nonce="another"),
    "no nonce": lambda fake: fake.id_token(),
    "a nonce that is no text": lambda fake: fake.id_token(nonce=[NONCE]),
    "expired": lambda fake: fake.id_token(nonce=NONCE, exp=int(NOW()) - 60),
    "of tomorrow": lambda fake: fake.id_token(nonce=NONCE, iat=int(NOW()) + 86_400),
    "not yet good": lambda fake: fake.id_token(nonce=NONCE, nbf=int(NOW()) + 86_400),
    "good for ever": lambda fake: fake.id_token(nonce=NONCE, exp=2**50),
    "times that are no numbers": lambda fake: fake.id_token(nonce=NONCE, exp="9" * 12),
    "no expiry": lambda fake: fake.keys[0].sign(
        {name: value for name, value in fake.claims(nonce=NONCE).items() if name != "exp"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
async def test_good_tokens(tokens: IdTokens, fake: FakeIssuer, name: str) -> None:
    assert await verdict(tokens, GOOD[name](fake)) == "1"


@pytest.mark.parametrize("name", BAD)
async def test_bad_tokens(tokens: IdTokens, fake: FakeIssuer, name: str) -> None:
    assert await verdict(tokens, BAD[name](fake)) == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("nonce", ["", "x" * 300, "a\0b", "a\nb"])
async def test_nonces_that_are_none(tokens: IdTokens, fake: FakeIssuer, nonce: str) -> None:
    assert await verdict(tokens, fake.id_token(nonce=nonce), nonce) == "INVALID_CREDENTIALS"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_weak_key_proves_nothing(clock: Clock) -> None:
    with stub_server() as stub:
        fake = FakeIssuer(stub, [SigningKey("weak", private=rsa.generate_private_key(65537, 1024))])
        tokens = IdTokens("fake", Issuer("fake", fake.url, clock=clock))
        assert await verdict(tokens, fake.id_token(nonce=NONCE)) == "INVALID_CREDENTIALS"


async def test_eddsa_and_a_key_without_an_id(clock: Clock) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    public = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(private.public_key()))
    with stub_server() as stub:
        fake = FakeIssuer(stub, [])
        stub.answers["/jwks"] = lambda _: (200, {"keys": [public, "no key", {"kty": "oct"}]})
        tokens = IdTokens("fake", Issuer("fake", fake.url, clock=clock))
        token = jwt.encode(fake.claims(sub="1", nonce=NONCE), private, algorithm="EdDSA")
        assert await verdict(tokens, token) == "1"


async def test_keys_rotate_and_unknown_ones_are_looked_for_once_a_minute(clock: Clock) -> None:
    with stub_server() as stub:
        fake = FakeIssuer(stub, [SigningKey("old")])
        tokens = IdTokens("fake", Issuer("fake", fake.url, clock=clock))
        assert await verdict(tokens, fake.id_token(sub="1", nonce=NONCE)) == "1"
        for _ in range(20):
            assert (
                await verdict(tokens, SigningKey("unknown").sign(fake.claims(nonce=NONCE)))
                == "INVALID_CREDENTIALS"
            )
        assert stub.count("/jwks") == 1, "it was fetched less than a minute ago"
        fake.keys = [SigningKey("new")]
        clock.now += LOOK_AGAIN_SECONDS
        assert await verdict(tokens, fake.id_token(sub="2", nonce=NONCE)) == "2"
        assert (stub.count("/jwks"), stub.count("/.well-known/openid-configuration")) == (2, 1)


async def test_what_was_fetched_serves_while_the_issuer_is_away(clock: Clock) -> None:
    with stub_server() as stub:
        fake = FakeIssuer(stub, [SigningKey("one")])
        tokens = IdTokens("fake", Issuer("fake", fake.url, clock=clock))
        token = fake.id_token(sub="1", nonce=NONCE)
        assert await verdict(tokens, token) == "1"
        stub.answers.clear()
        clock.now += 100_000
        for _ in range(5):
            assert await verdict(tokens, token) == "1"
        # Asked once each, then left alone for a while.
        assert len(stub.asked) == 4


def _stalls(_: StubRequest) -> tuple[int, Any]:
    time.sleep(0.4)
    return 200, {}


NONSENSE: dict[str, Callable[[StubRequest], tuple[int, Any]]] = {
    "an error of its own": lambda _: (503, {}),
    "a page": lambda _: (200, b"<html>"),
    "a list": lambda _: (200, []),
    "deep": lambda _: (200, b"[" * 100_000),
    "huge": lambda _: (200, b'{"a": "' + b"x" * 400_000 + b'"}'),
    "elsewhere": lambda _: (302, {"location": "http://127.0.0.1:1/"}),
    "not found": lambda _: (404, {}),
    "empty": lambda _: (200, {}),
    "slow": _stalls,
    "no text": lambda _: (200, b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks"])
async def test_an_issuer_that_makes_no_sense(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    monkeypatch.setattr(provider_http, "CALL_SECONDS", 0.2)
    with stub_server() as stub:
        fake = FakeIssuer(stub, [SigningKey("one")])
        stub.answers[path] = NONSENSE[name]
        tokens = IdTokens("fake", Issuer("fake", fake.url, clock=clock))
        token = fake.id_token(nonce=NONCE)
        assert await verdict(tokens, token) == "PROVIDER_FAILED"
        asked = stub.count(path)
        assert await verdict(tokens, token) == "PROVIDER_FAILED"
        assert stub.count(path) <= asked + 1


async def test_an_answer_is_read_up_to_its_bound() -> None:
    with stub_server() as stub:
        for size, is_read in ((200_000, True), (300_000, False)):
            stub.answers["/"] = lambda _, size=size: (200, {"a": "x" * size})
            call = provider_http.call_provider("fake", f"{stub.url}/")
            if is_read:
                assert len((await call).body["a"]) == size
                continue
            with pytest.raises(DomainError) as refusal:
                await call
            assert refusal.value.code == "PROVIDER_FAILED"


@pytest.mark.parametrize(
    "extra",
    [
        {"issuer": "https://evil.example"},
        {"issuer": 7},
        {"jwks_uri": "ftp://127.0.0.1/jwks"},
        {"jwks_uri": ["http://127.0.0.1"]},
        {"jwks_uri": "http://[::1"},
    ],
)
async def test_a_discovery_document_that_is_not_its_own(
    clock: Clock, extra: dict[str, Any]
) -> None:
    with stub_server() as stub:
        fake = FakeIssuer(stub, [SigningKey("one")], extra=extra)
        tokens = IdTokens("fake", Issuer("fake", stub.url, clock=clock))
        assert await verdict(tokens, fake.id_token(nonce=NONCE)) == "PROVIDER_FAILED"


async def test_a_token_works_once(place: Place) -> None:
    given = place.a_token()
    assert (await place.do(ID_TOKEN, **given))["errors"] == []
    assert await place.code_of(ID_TOKEN, **given) == "INVALID_CREDENTIALS"
    member = (await place.do(SIGN_UP, email=an_address()))["session"]["accessToken"]
    assert await place.code_of(LINK, member, **given) == "INVALID_CREDENTIALS"


async def test_a_token_of_which_nothing_came_may_come_again(place: Place) -> None:
    given = place.a_token()
    guest = (await place.do(GUEST))["session"]["accessToken"]
    assert await place.code_of(LINK, guest, **given) == "FORBIDDEN"
    answers = await asyncio.gather(*(place.do(ID_TOKEN, **given) for _ in range(4)))
    assert sum(answer["session"] is not None for answer in answers) == 1


async def test_a_token_for_another_app_proves_nothing(place: Place) -> None:
    """Token substitution: an app of an attacker's has real tokens of its users."""
    given = place.a_token(aud="an app of the attacker's")
    assert await place.code_of(ID_TOKEN, **given) == "INVALID_CREDENTIALS"
    member = (await place.do(SIGN_UP, email=an_address()))["session"]["accessToken"]
    assert await place.code_of(LINK, member, **given) == "INVALID_CREDENTIALS"
    assert (await place.do(ID_TOKEN, **place.a_token(aud="com.example.app")))["errors"] == []


async def test_a_token_of_an_app_ends_no_sign_in_of_a_browser(place: Place) -> None:
    """What the code brings must be for the server's own client, not for one of its apps."""
    for claims in ({"aud": "com.example.app"}, {"azp": "com.example.app"}, {"nonce": "another"}):
        browser = place.browser()
        taken = await browser.start("acme")
        code = place.acme.arrive(**{"nonce": taken["nonce"], **claims})
        answer = await browser.come_back("acme", code=code, state=taken["state"])
        assert parameters(answer.headers["location"])["error"] == "PROVIDER_REFUSED"


@pytest.mark.parametrize("subject", ["", "x" * 256, "a\nb", 7, None])
async def test_subjects_that_name_nobody(place: Place, subject: Any) -> None:
    assert await place.code_of(ID_TOKEN, **place.a_token(sub=subject)) == "INVALID_CREDENTIALS"


@pytest_asyncio.fixture
async def stub_of_acme(place: Place) -> AsyncIterator[Stub]:
    """Acme's stub, whose answers are put back."""
    before = dict(place.acme.stub.answers)
    yield place.acme.stub
    place.acme.stub.answers.clear()
    place.acme.stub.answers.update(before)


@pytest.mark.parametrize("name", [*NONSENSE, "no such code", "an ID token that is none"])
async def test_a_provider_that_fails_sends_the_browser_back_with_an_error(
    place: Place, stub_of_acme: Stub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(provider_http, "CALL_SECONDS", 0.2)
    answers = {
        **NONSENSE,
        "no such code": lambda _: (400, {"error": "invalid_grant"}),
        "an ID token that is none": lambda _: (200, {"id_token": "x"}),
    }
    browser = place.browser()
    taken = await browser.start("acme")
    stub_of_acme.answers["/token"] = answers[name]
    answer = await browser.come_back("acme", code="x", state=taken["state"])
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{BACK}&error=")
    found = parameters(answer.headers["location"])
    refused = {"no such code", "an ID token that is none"}
    expected = "PROVIDER_REFUSED" if name in refused else "PROVIDER_FAILED"
    assert (found["error"], found["from"]) == (expected, "here")


async def test_a_person_who_says_no_comes_back_with_an_error(place: Place) -> None:
    for told in ({"error": "access_denied", "error_description": "<b>no</b>"}, {}, {"code": ""}):
        browser = place.browser()
        taken = await browser.start("acme")
        answer = await browser.come_back("acme", state=taken["state"], **told)
        found = parameters(answer.headers["location"])
        assert found["error"] == "PROVIDER_REFUSED"
        assert "%3Cb" not in answer.headers["location"]


async def test_a_provider_that_nobody_set_up(place: Place) -> None:
    for method, path in (("GET", "start"), ("GET", "callback"), ("POST", "callback")):
        answer = await place.browser().ask(
            method, f"/auth/nobody/{path}", params={"redirect_to": BACK}
        )
        assert answer.status_code == 404
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "PROVIDER_NOT_CONFIGURED"
    given = {**place.a_token(), "provider": "nobody"}
    assert await place.code_of(ID_TOKEN, **given) == "PROVIDER_NOT_CONFIGURED"


async def test_a_form_that_is_too_large_is_not_read(place: Place) -> None:
    browser = place.browser()
    taken = await browser.start("apple")
    answer = await browser.come_back("apple", "POST", state=taken["state"], user="x" * 40_000)
    assert answer.status_code == 400
