"""Access tokens of the service that users came from, accepted until a day that the operator names.

They are never taken for our own: those have another type and algorithm and are verified elsewhere.
What one may do is less: it acts as its imported user, never as an admin, with one factor and a
sign-in of unknown age.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid5

import jwt
import structlog

from auth.services import AccountServices
from auth.tokens import AccessTokens, unauthenticated
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError
from db.core.origin import asked_from, clean_user_agent, coarse_network
from db.core.pool import Database
from db.imports.operations import open_foreign_session
from settings import Settings

LONGEST_TOKEN = 8_192
AUDIENCE = ROLE = "authenticated"
HEADER_NAMES = frozenset({"alg", "typ", "kid"})
REQUIRED_CLAIMS = ("iss", "aud", "sub", "exp", "role")
CLOCK_SKEW_SECONDS = 5
FETCH_EVERY_SECONDS = 600.0
# A key that nobody has seen yet is looked for; forged ids are free to make.
LOOK_AGAIN_SECONDS = 30.0
MOST_KEYS = 20
# The kind of a key decides the algorithm; the token's header only repeats it.
_ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}
_SESSIONS = UUID("9c5d6a0e-4b0f-5f0e-9a52-6f3c1d7e8b21")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ForeignClaims:
    """What a token says whose signature and claims are good."""

    user_id: UUID
    session_id: UUID
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a token came from, for the audit log."""

    address: str
    user_agent: str | None


class ForeignTokens:
    """Verifies the tokens of one foreign issuer; of none, unless there is one."""

    def __init__(
        self,
        settings: Settings,
        tokens: AccessTokens,
        database: Database,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = settings.foreign_issuer
        self._jwks_url = settings.foreign_issuer_jwks_url
        self._secret = settings.foreign_issuer_secret.get_secret_value()
        self._until = _end_of(settings)
        self._life_seconds = settings.access_token_seconds
        self._tokens = tokens
        self._database = database
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services.settings, services.tokens, services.database)

    def start(self) -> None:
        """Begins to fetch the issuer's keys, beside requests."""
        if self._issuer and self._jwks_url and self._clock() < self._until:
            self._task = asyncio.create_task(self._fetch_keys(), name="foreign-keys")

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def may_be(self, token: str) -> bool:
        """Whether a token that is none of ours is worth a look: it says that it is the issuer's."""
        if not self._issuer or len(token) > LONGEST_TOKEN or self._clock() >= self._until:
            return False
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            return bool(claims.get("iss") == self._issuer)
        except (jwt.PyJWTError, AttributeError, ValueError, TypeError, RecursionError):
            return False

    async def admit(self, token: str, *, address: str, user_agent: str | None) -> Actor:
        """Whose token this is; UNAUTHENTICATED unless it is an imported user's who may sign in.

        It is remembered as our own are, for as long as one of ours would live. Its session is a row
        like any other: its user sees it and ends it, and it ends when they are locked.
        """
        claims = self.read(token)
        asked_from(_Origin(address, user_agent))
        async with self._database.transaction(SERVICE) as transaction:
            is_anonymous = await open_foreign_session(
                transaction,
                claims.user_id,
                claims.session_id,
                issuer=self._issuer,
                expires_at=datetime.fromtimestamp(claims.expires_at, UTC),
                address=coarse_network(address),
                user_agent=clean_user_agent(user_agent),
            )
        if is_anonymous is None:
            raise unauthenticated("This token is of nobody who may sign in here; sign in again.")
        actor = Actor(
            "authenticated",
            user_id=claims.user_id,
            session_id=claims.session_id,
            is_anonymous=is_anonymous,
            expires_at=min(claims.expires_at, int(self._clock()) + self._life_seconds),
            is_foreign=True,
        )
        self._tokens.remember(token, actor)
        return self._tokens.verify(token)

    def read(self, token: str) -> ForeignClaims:
        """What a token says; UNAUTHENTICATED unless the issuer signed it for its users now."""
        if not self._issuer or len(token) > LONGEST_TOKEN or self._clock() >= self._until:
            raise unauthenticated("The access token is not valid.")
        try:
            key, algorithm = self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=AUDIENCE,
                options={
                    "require": list(REQUIRED_CLAIMS),
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            return self._claims(claims)
        except (jwt.PyJWTError, AttributeError, ValueError, TypeError, RecursionError):
            # No cause is chained: it may quote the token, and reach a log.
            raise unauthenticated("The access token is not valid.") from None

    def _key_of(self, header: dict[str, Any]) -> tuple[Any, str]:
        if not header.keys() <= HEADER_NAMES or header.get("typ", "JWT") != "JWT":
            raise jwt.InvalidTokenError("header parameters")
        if header["alg"] == "HS256" and self._secret:
            return self._secret.encode(), "HS256"
        key = self._keys.get(str(header.get("kid")))
        if key is None:
            self._wanted.set()
            raise jwt.InvalidTokenError("kid")
        if header["alg"] != key.algorithm_name:
            raise jwt.InvalidTokenError("alg")
        return key.key, key.algorithm_name

    def _claims(self, claims: dict[str, Any]) -> ForeignClaims:
        expires_at, issued_at = claims["exp"], claims.get("iat", 0)
        if type(expires_at) is not int or type(issued_at) is not int:
            raise jwt.InvalidTokenError("exp or iat")
        now = self._clock()
        if expires_at <= now or issued_at > now + CLOCK_SKEW_SECONDS:
            raise jwt.InvalidTokenError("exp or iat")
        if claims["role"] != ROLE:
            raise jwt.InvalidTokenError("role")
        named = claims.get("session_id") or issued_at
        return ForeignClaims(
            UUID(claims["sub"]),
            # Not the issuer's own id, so that none of our sessions can be named.
            uuid5(_SESSIONS, f"{self._issuer} {claims['sub']} {named}"),
            min(expires_at, int(self._until)),
        )

    async def _fetch_keys(self) -> None:
        while self._clock() < self._until:
            try:
                await self.fetch_keys()
            except DomainError:
                # What the issuer did instead is in the log; the keys there are go on.
                log.warning("foreign_keys_not_fetched", url=self._jwks_url)
            self._wanted.clear()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            try:
                async with asyncio.timeout(FETCH_EVERY_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def fetch_keys(self) -> None:
        """Fetches the issuer's keys once; those that cannot sign its tokens are left out."""
        from auth.providers.http import call_provider

        answer = await call_provider("foreign issuer", self._jwks_url)
        found = answer.body.get("keys")
        keys = found[:MOST_KEYS] if isinstance(found, list) else []
        usable = [key for key in map(_usable, keys) if key is not None]
        if usable:
            self._keys = {str(key.key_id): key for key in usable}


def _usable(jwk: Any) -> jwt.PyJWK | None:
    """A public key that may sign, with the only algorithm for its kind."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or not jwk.get("kid"):
        return None
    algorithm = _ALGORITHMS.get((str(jwk.get("kty")), jwk.get("crv")))
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        return jwt.PyJWK({**jwk, "alg": algorithm}, algorithm)
    except jwt.PyJWTError:
        return None


def _end_of(settings: Settings) -> float:
    """When the last day is over, in Unix seconds; long ago without one."""
    last = settings.foreign_issuer_until
    if last is None:
        return 0.0
    return (datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)).timestamp()
