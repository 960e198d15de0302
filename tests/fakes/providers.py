"""Sign-in providers as their documents describe them: an OpenID issuer, Apple, Facebook, Discord."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth.providers.base import (
    Authorization,
    ProvenByToken,
    provider_failed,
    token_refused,
)
from db.identities.rules import ExternalIdentity

from .http_stub import Stub, StubAnswer, StubRequest

CLIENT_ID, CLIENT_SECRET = "client-1", "the secret of the client"
TEAM_ID, KEY_ID = "TEAM123456", "KEY1234567"


def challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@cache
def _private_key(kid: str, algorithm: str) -> Any:
    """The same for a name each time: making one takes longer than a test."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class SigningKey:
    """A private key of an issuer, and its public part as a JWK."""

    kid: str
    algorithm: str = "RS256"
    private: Any = None

    def __post_init__(self) -> None:
        if self.private is None:
            self.private = _private_key(self.kid, self.algorithm)

    @property
    def jwk(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        public = json.loads(algorithm.to_jwk(self.private.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        return jwt.encode(
            claims, self.private, algorithm=self.algorithm, headers={"kid": self.kid, **headers}
        )


@dataclass
class Issuer:
    """An OpenID issuer on a stub: `people` are who comes back with which code."""

    stub: Stub
    keys: list[SigningKey]
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stub.answers |= {
            "/.well-known/openid-configuration": lambda _: (200, self.discovery()),
            "/jwks": lambda _: (200, {"keys": [key.jwk for key in self.keys]}),
            "/token": self.token,
        }

    @property
    def url(self) -> str:
        return self.stub.url

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **self.extra,
        }

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": secrets.token_hex(8),
            "iat": now,
            "exp": now + 300,
            **claims,
        }

    def id_token(self, **claims: Any) -> str:
        return self.keys[0].sign(self.claims(**claims))

    def secret_is_good(self, given: dict[str, str]) -> bool:
        return given.get("client_secret") == CLIENT_SECRET

    def arrive(self, nonce: str, **claims: Any) -> str:
        """Somebody agrees in their browser: the code that it brings back."""
        code = secrets.token_urlsafe(8)
        self.people[code] = {"nonce": nonce, **claims}
        return code

    def token(self, request: StubRequest) -> StubAnswer:
        claims = self.people.pop(request.given.get("code", ""), None)
        if claims is None or not self.secret_is_good(request.given):
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "x",
            "token_type": "Bearer",
            "id_token": self.id_token(**claims),
        }


@dataclass
class Apple(Issuer):
    """Apple: its client secret is a JWT that the team's key signs."""

    team_key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def private_key(self) -> str:
        return self.team_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def secret_is_good(self, given: dict[str, str]) -> bool:
        secret = given["client_secret"]
        claims = jwt.decode(
            secret, self.team_key.public_key(), algorithms=["ES256"], audience=self.url
        )
        return (
            claims["iss"] == TEAM_ID
            and claims["sub"] == given["client_id"] == CLIENT_ID
            and claims["exp"] - claims["iat"] <= 15_777_000
            and jwt.get_unverified_header(secret)["kid"] == KEY_ID
        )


@dataclass
class PlainOAuth:
    """Facebook's or Discord's API: `people` are who comes back with which code, with its challenge."""

    stub: Stub
    token_path: str
    person_path: str
    signs_calls: bool = False
    people: dict[str, tuple[str, Any]] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stub.answers |= {self.token_path: self.token, self.person_path: self.person}

    def arrive(self, code_challenge: str, person: Any) -> str:
        code = secrets.token_urlsafe(8)
        self.people[code] = code_challenge, person
        return code

    def token(self, request: StubRequest) -> StubAnswer:
        given = request.given
        code_challenge, person = self.people.pop(given.get("code", ""), ("", None))
        proven = challenge(given["code_verifier"]) == code_challenge
        if not proven or (given["client_id"], given["client_secret"]) != (CLIENT_ID, CLIENT_SECRET):
            return 400, {"error": {"type": "OAuthException", "code": 100}}
        token = secrets.token_urlsafe(8)
        self.tokens[token] = person
        return 200, {"access_token": token, "token_type": "bearer"}

    def person(self, request: StubRequest) -> StubAnswer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        proof = hmac.digest(CLIENT_SECRET.encode(), token.encode(), "sha256").hex()
        if token not in self.tokens or (
            self.signs_calls and request.given.get("appsecret_proof") != proof
        ):
            return 401, {"error": "who?"}
        return 200, self.tokens[token]


def facebook(stub: Stub) -> PlainOAuth:
    return PlainOAuth(stub, "/v23.0/oauth/access_token", "/v23.0/me", signs_calls=True)


def discord(stub: Stub) -> PlainOAuth:
    return PlainOAuth(stub, "/oauth2/token", "/users/@me")


class TokenProvider:
    """A provider whose ID tokens are told apart by their text: good ones are the subject itself."""

    name = issuer = "fake"
    posts_back = False

    async def authorization_url(self, authorization: Authorization) -> str:
        return f"https://fake.example/authorize?state={authorization.state}"

    async def identity_of_code(
        self, code: str, authorization: Authorization, answer: Mapping[str, str]
    ) -> ExternalIdentity:
        return ExternalIdentity(self.name, code)

    async def identity_of_token(self, id_token: str, nonce: str) -> ProvenByToken:
        if id_token == "away":
            raise provider_failed(self.name, "it is away")
        if id_token == "forged":
            raise token_refused(self.name, "signature")
        return ProvenByToken(
            ExternalIdentity(self.name, id_token), datetime.now(UTC) + timedelta(minutes=5)
        )
