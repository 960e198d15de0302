"""API keys: how a secret is made and told from others, and whose it is.

`tgk_`, 8 characters that find the key, 43 of secret, and 6 of a checksum (CRC-32), as GitHub writes
its tokens: a mistyped key is known without a look at the database, and scanners for leaked secrets
find few that are none.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from auth.services import AccountServices
from auth.shared_rates import SharedRateLimit, SharedRates
from auth.tokens import AccessTokens, unauthenticated
from db.api_keys import operations
from db.core.actor import Actor, KeyGrant
from db.core.errors import DomainError, RateLimited
from db.core.pool import Database
from settings import Settings

KEY_START = "tgk_"
PREFIX_CHARACTERS = 8
SECRET_BYTES, SECRET_CHARACTERS = 32, 43
CHECKSUM_CHARACTERS = 6
# How long a secret is taken for good without a look at the database. That it has ended is learned
# within seconds, from the watch of revocations.
KNOWN_SECONDS = 60.0
REMEMBERED_SECRETS = 10_000
UNKNOWN_PER_MINUTE = 60

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(
    rf"{KEY_START}[0-9A-Za-z]{{{PREFIX_CHARACTERS + SECRET_CHARACTERS + CHECKSUM_CHARACTERS}}}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that its owner is told once."""

    prefix: str
    text: str

    @classmethod
    def make(cls, seed: bytes | None = None) -> Self:
        """One that nobody has; of the same seed, 32 bytes that nobody knows, the same one."""
        seed = seed or secrets.token_bytes(SECRET_BYTES)
        number = int.from_bytes(hashlib.sha256(b"prefix" + seed).digest())
        prefix = _base62(number % 62**PREFIX_CHARACTERS, PREFIX_CHARACTERS)
        secret = _base62(int.from_bytes(seed), SECRET_CHARACTERS)
        body = f"{KEY_START}{prefix}{secret}"
        return cls(prefix, body + _checksum(body))

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return secret_hash(self.text)


def secret_hash(text: str) -> bytes:
    """What is stored of a secret; 256 random bits need no slow hash."""
    return hashlib.sha256(text.encode()).digest()


def prefix_of(text: str) -> str | None:
    """The part of a secret that finds its key; nothing for what is no secret or mistyped."""
    body, checksum = text[:-CHECKSUM_CHARACTERS], text[-CHECKSUM_CHARACTERS:]
    if _SHAPE.fullmatch(text) is None or _checksum(body) != checksum:
        return None
    return body[len(KEY_START) :][:PREFIX_CHARACTERS]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


@dataclass(frozen=True, slots=True)
class _Known:
    actor: Actor
    until: float


class ApiKeys:
    """The API keys that one process knows, by the hash of their secrets."""

    def __init__(
        self,
        database: Database,
        tokens: AccessTokens,
        settings: Settings,
        rates: SharedRates,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Which keys were used since somebody asked.
        self._seen: set[UUID] = set()
        self._database = database
        self._revoked = tokens.revoked
        self._usual_rate = settings.api_key_requests_per_minute
        self._derivation_key = settings.secret("refresh-token-key").encode()
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown = rates.limit("unknown_api_keys", UNKNOWN_PER_MINUTE, 60.0)
        # By what is allowed in a minute: nearly always the usual.
        self._rates: dict[int, SharedRateLimit] = {}
        self._shared_rates = rates
        self._revoked.on_revoked(self._forget)

    def new_secret(
        self, user_id: UUID | None, purpose: str, idempotency_key: str | None
    ) -> NewSecret:
        """A secret; for the same idempotency key of a user, and purpose, the same one again.

        It follows from a key that only the server has, as refresh tokens do, so that who lost the
        answer can ask again although nothing but a hash is stored.
        """
        if idempotency_key is None:
            return NewSecret.make()
        asked = f"api-key:{purpose}:{user_id}:{idempotency_key}".encode(errors="surrogatepass")
        return NewSecret.make(hmac.digest(self._derivation_key, asked, "sha256"))

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services.database, services.tokens, services.settings, services.rates)

    async def verify(self, text: str, network: str) -> Actor:
        """Whose secret this is; raises UNAUTHENTICATED when it is not good now."""
        hashed = secret_hash(text)
        known = self._known.get(hashed)
        if known is None or known.until <= self._clock():
            known = await self._look_up(text, hashed, network)
        actor = known.actor
        if actor.expires_at and actor.expires_at <= self._clock():
            raise _not_valid()
        if actor.revocable_id in self._revoked:
            raise _not_valid()
        return actor

    def admit(self, actor: Actor) -> None:
        """Counts one request; RATE_LIMITED when the key has made too many in a minute."""
        grant = actor.grant
        if grant is None:
            return
        self._seen.add(grant.key_id)
        allowed = grant.requests_per_minute
        rate = self._rates.get(allowed)
        if rate is None:
            rate = self._shared_rates.limit(f"api_key_{allowed}", allowed, 60.0)
            self._rates[allowed] = rate
        if seconds := rate.use(str(grant.key_id)):
            raise RateLimited(
                f"This API key makes at most {allowed} requests a minute; wait, then go on.",
                math.ceil(seconds),
            )

    def take_seen(self) -> set[UUID]:
        """The keys that were used since the last call."""
        seen, self._seen = self._seen, set()
        return seen

    def forget(self, key_id: UUID) -> None:
        """Looks a key up again at its next request: it was changed."""
        for hashed, known in list(self._known.items()):
            if known.actor.grant and known.actor.grant.key_id == key_id:
                del self._known[hashed]

    async def _look_up(self, text: str, hashed: bytes, network: str) -> _Known:
        prefix = prefix_of(text)
        if prefix is None:
            raise _not_valid()
        if seconds := self._unknown.wait(network):
            raise RateLimited(
                "Too many unknown API keys came from this address; try again in a moment.",
                math.ceil(seconds),
            )
        found = await operations.find(self._database, prefix)
        if found is None or not hmac.compare_digest(found.secret_hash, hashed):
            self._known.pop(hashed, None)
            self._unknown.use(network)
            raise _not_valid()
        known = _Known(self._actor(found), self._clock() + KNOWN_SECONDS)
        self._known[hashed] = known
        self._known.move_to_end(hashed)
        if len(self._known) > REMEMBERED_SECRETS:
            self._known.popitem(last=False)
        return known

    def _actor(self, found: operations.FoundKey) -> Actor:
        rate = found.requests_per_minute or self._usual_rate
        is_of_organization = found.organization_id is not None
        grant = KeyGrant(
            found.key_id, secret_id(found.secret_hash), found.scopes, rate, is_of_organization
        )
        expires_at = int(found.ends_at.timestamp()) if found.ends_at else 0
        return Actor("authenticated", found.user_id, expires_at=expires_at, grant=grant)

    def _forget(self, ended_id: UUID) -> None:
        for hashed in [hashed for hashed in self._known if secret_id(hashed) == ended_id]:
            del self._known[hashed]


def secret_id(hashed: bytes) -> UUID:
    """What names a secret among what has ended (`app.record_ended_secrets()`)."""
    return UUID(bytes=hashed[:16])


def _not_valid() -> DomainError:
    return unauthenticated("The API key is not valid.")
