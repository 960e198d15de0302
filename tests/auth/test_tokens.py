"""An access token is accepted only if we signed it, for exactly this use, and it is alive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import date
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from auth.foreign_tokens import ForeignTokens
from auth.keys import SigningKeys, rotate
from auth.refresh_tokens import new_refresh_token
from auth.tokens import AccessTokens, bearer_token
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from settings import Settings

USER, SESSION = uuid4(), uuid4()
# Reads without tokens of ours or a database.
FOREIGN = ForeignTokens(
    Settings(
        foreign_issuer="https://project.example.test/auth/v1",
        foreign_issuer_secret=SecretStr("a secret of the project that is long enough"),
        foreign_issuer_until=date(9999, 1, 1),
    ),
    cast(AccessTokens, None),
    cast(Database, None),
)


class Clock:
    """A clock that tests can turn."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(data_directory=tmp_path)


@pytest.fixture
def keys(own: Settings) -> SigningKeys:
    return SigningKeys.load(own)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(own: Settings, keys: SigningKeys, clock: Clock) -> AccessTokens:
    return AccessTokens(keys, own, clock=clock)


def issue(tokens: AccessTokens, session_id: UUID = SESSION) -> str:
    return tokens.issue(USER, session_id, is_anonymous=False, is_admin=False).token


def encode(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.get_unverified_header(token), claims


def sign(keys: SigningKeys, header: dict[str, Any], claims: object) -> str:
    """A token with our own key's genuine signature over whatever a test puts in it."""
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(keys.signing.private.sign(signed.encode()))}"


def hmac_token(header: dict[str, Any], claims: object, secret: bytes) -> str:
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def assert_refused(tokens: AccessTokens, token: str) -> None:
    """Refused as one of ours, and as one of a foreign issuer's where there is one."""
    for verify in (tokens.verify, FOREIGN.read):
        with pytest.raises(DomainError) as refused:
            verify(token)
        assert refused.value.code is ErrorCode.UNAUTHENTICATED
        assert refused.value.__cause__ is None
    assert len(tokens._verified) == 0


def test_an_issued_token_names_its_user(tokens: AccessTokens) -> None:
    issued = tokens.issue(USER, SESSION, is_anonymous=True, is_admin=True)
    for _ in ("read", "remembered"):
        actor = tokens.verify(issued.token)
        assert (actor.role, actor.user_id, actor.session_id) == ("authenticated", USER, SESSION)
        assert actor.is_anonymous
        assert actor.is_admin
        assert actor.expires_at == issued.expires_at.timestamp()


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_unsigned_tokens(tokens: AccessTokens, algorithm: str, signature: str) -> None:
    header, claims = parts(issue(tokens))
    token = f"{encode(header | {'alg': algorithm})}.{encode(claims)}.{signature}"
    assert_refused(tokens, token)


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
def test_the_public_key_is_no_hmac_secret(
    tokens: AccessTokens, keys: SigningKeys, algorithm: str
) -> None:
    header, claims = parts(issue(tokens))
    public = keys.signing.public
    encodings = [
        public.public_bytes_raw(),
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        keys.jwks()["keys"][0]["x"].encode(),
        json.dumps(keys.jwks()["keys"][0]).encode(),
    ]
    for secret in encodings:
        assert_refused(tokens, hmac_token(header | {"alg": algorithm}, claims, secret))


@pytest.mark.parametrize("secret", [b"", b"\0", b"\0" * 32])
def test_a_blank_key(tokens: AccessTokens, secret: bytes) -> None:
    header, claims = parts(issue(tokens))
    assert_refused(tokens, hmac_token(header | {"alg": "HS256"}, claims, secret))
    assert_refused(tokens, hmac_token(header | {"alg": "HS256", "kid": ""}, claims, secret))


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "../../../../dev/null",
        "/dev/null",
        "signing-keys.json",
        "' or '1'='1",
        "x' union select 'AAAA' --",
        "kid\0",
        None,
        7,
        ["a"],
        {"a": 1},
    ],
)
def test_a_kid_that_is_not_ours(tokens: AccessTokens, keys: SigningKeys, kid: object) -> None:
    header, claims = parts(issue(tokens))
    assert_refused(tokens, sign(keys, header | {"kid": kid}, claims))
    for altered in (header["kid"] + " ", header["kid"].lower(), header["kid"][:-1]):
        assert_refused(tokens, sign(keys, header | {"kid": altered}, claims))


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/chain.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
)
def test_headers_that_ask_for_more(
    tokens: AccessTokens, keys: SigningKeys, extra: dict[str, Any]
) -> None:
    good = issue(tokens)
    header, claims = parts(good)
    assert_refused(tokens, sign(keys, header | extra, claims))
    # Nor does it help that a good head of the same key is known by now.
    tokens.verify(good)
    tokens._verified.clear()
    assert_refused(tokens, sign(keys, header | extra, claims))


def test_a_key_brought_along(tokens: AccessTokens) -> None:
    header, claims = parts(issue(tokens))
    attacker = Ed25519PrivateKey.generate()
    public = encode(attacker.public_key().public_bytes_raw())
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": public}
    for extra in ({}, {"jwk": jwk}, {"jwk": jwk, "kid": "attacker"}):
        forged = header | extra
        signed = f"{encode(forged)}.{encode(claims)}"
        assert_refused(tokens, f"{signed}.{encode(attacker.sign(signed.encode()))}")


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "rt+jwt", "application/at+jwt", "", None])
def test_a_token_of_another_type(tokens: AccessTokens, keys: SigningKeys, typ: object) -> None:
    header, claims = parts(issue(tokens))
    assert_refused(tokens, sign(keys, header | {"typ": typ}, claims))
    del header["typ"]
    assert_refused(tokens, sign(keys, header, claims))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "someone-else"},
        {"iss": ["tallygraph"]},
        {"aud": "someone-else"},
        {"aud": ["tallygraph"]},
        {"aud": ["tallygraph", "someone-else"]},
        {"sub": "not-a-uuid"},
        {"sub": 7},
        {"sid": "not-a-uuid"},
        {"sid": 7},
        {"sid": None},
        {"exp": "9999999999"},
        {"exp": 9999999999.5},
        {"exp": True},
        {"iat": None},
        {"iat": "1"},
        {"anon": None},
        {"adm": 1},
    ],
)
def test_claims_that_are_not_ours(
    tokens: AccessTokens, keys: SigningKeys, changed: dict[str, Any]
) -> None:
    header, claims = parts(issue(tokens))
    assert_refused(tokens, sign(keys, header, claims | changed))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "iat", "exp", "anon", "adm"])
def test_a_claim_left_out(tokens: AccessTokens, keys: SigningKeys, name: str) -> None:
    header, claims = parts(issue(tokens))
    del claims[name]
    assert_refused(tokens, sign(keys, header, claims))


@pytest.mark.parametrize("claims", [[], "text", 7, None, b"not json", b"\xff\xfe"])
def test_claims_that_are_no_object(tokens: AccessTokens, keys: SigningKeys, claims: object) -> None:
    header, _ = parts(issue(tokens))
    assert_refused(tokens, sign(keys, header, claims))


def test_altered_tokens(tokens: AccessTokens) -> None:
    token = issue(tokens)
    header, claims, signature = token.split(".")
    _, read = parts(token)
    admin = encode(read | {"adm": True})
    for altered in (
        f"{header}.{admin}.{signature}",
        f"{header}.{claims}.{signature[:-4]}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{token}.{signature}",
        f" {token}",
        f"{token}\n",
    ):
        assert_refused(tokens, altered)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "é.é.é", "\ud800.x.y", "\0", "x" * 100_000, "[" * 2000],
)
def test_what_is_no_token(tokens: AccessTokens, token: str) -> None:
    assert_refused(tokens, token)


def test_a_deeply_nested_header(tokens: AccessTokens) -> None:
    assert_refused(tokens, f"{encode(b'[' * 1400)}.e30.AAAA")


def test_a_refresh_token_is_no_access_token(tokens: AccessTokens) -> None:
    assert_refused(tokens, new_refresh_token())


def test_expired_tokens_fresh_and_remembered(tokens: AccessTokens, clock: Clock) -> None:
    token = issue(tokens)
    expires_at = tokens.verify(token).expires_at
    clock.now = expires_at - 0.5
    assert tokens.verify(token).user_id == USER
    clock.now = expires_at
    assert_refused(tokens, token)
    assert_refused(tokens, token)


def test_a_token_from_the_future(tokens: AccessTokens, keys: SigningKeys, clock: Clock) -> None:
    header, claims = parts(issue(tokens))
    now = int(clock.now)
    assert_refused(tokens, sign(keys, header, claims | {"iat": now + 10, "exp": now + 900}))
    assert tokens.verify(sign(keys, header, claims | {"iat": now + 4})).user_id == USER


def test_a_revoked_session_ends_at_once(tokens: AccessTokens) -> None:
    ended, other = issue(tokens), issue(tokens, uuid4())
    tokens.verify(ended)
    closed: list[UUID] = []
    stop_listening = tokens.revoked.on_revoked(closed.append)
    tokens.revoke_session(SESSION)
    tokens.revoke_session(SESSION)
    assert closed == [SESSION]
    for token in (ended, issue(tokens)):
        with pytest.raises(DomainError) as refused:
            tokens.verify(token)
        assert refused.value.code is ErrorCode.UNAUTHENTICATED
    assert tokens.verify(other).user_id == USER
    stop_listening()
    tokens.revoke_session(uuid4())
    assert closed == [SESSION]


def test_a_broken_listener_harms_nobody(tokens: AccessTokens) -> None:
    closed: list[UUID] = []

    def broken(_: UUID) -> None:
        raise RuntimeError("broken")

    tokens.revoked.on_revoked(broken)
    tokens.revoked.on_revoked(closed.append)
    tokens.revoke_session(SESSION)
    assert closed == [SESSION]


def test_the_memory_of_verified_tokens_is_bounded(own: Settings, keys: SigningKeys) -> None:
    tokens = AccessTokens(keys, own, remembered_tokens=2)
    first, second, third = issue(tokens), issue(tokens), issue(tokens)
    for token in (first, second, first, third):
        tokens.verify(token)
    assert list(tokens._verified) == [first, third]
    assert tokens.verify(second).user_id == USER


def test_rotation_keeps_tokens_alive_in_every_process(own: Settings, keys: SigningKeys) -> None:
    here = AccessTokens(keys, own)
    before = issue(here)
    new = rotate(own).new
    restarted = AccessTokens(SigningKeys.load(own), own)
    after = issue(restarted)
    assert jwt.get_unverified_header(after)["kid"] == new.kid
    assert restarted.verify(before).user_id == USER
    assert here.verify(after).user_id == USER


@pytest.mark.parametrize(
    ("header", "token"),
    [(None, None), ("Bearer a.b.c", "a.b.c"), ("bearer  a.b-_c== ", "a.b-_c==")],
)
def test_bearer_token(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "a.b.c",
        "Bearer a b",
        "Bearer a,b",
        "Bearer\ta",
        "Bearer a\n",
        "Token a",
        "Bearera",
        "Bearer é",
        " Bearer a",
    ],
)
def test_a_malformed_authorization_header(header: str) -> None:
    with pytest.raises(DomainError) as refused:
        bearer_token(header)
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
