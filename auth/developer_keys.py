"""Developers' keys: how one is made, whose it is, and how much it may ask for in a minute."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import string
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from auth.api_keys import secret_id
from auth.networks import ROUNDING_SECONDS, RateLimit
from auth.services import AccountServices
from auth.shared_rates import SharedRates
from auth.tokens import AccessTokens, unauthenticated
from db.core.errors import DomainError, RateLimited
from db.core.pool import Database
from db.developers import operations
from settings import Settings

DEVELOPER_KEY_START = "vb_"
SECRET_CHARACTERS = 32
PREVIEW_CHARACTERS = 10
WINDOW_SECONDS = 60
# What a key's minute is divided into. A request takes a share of it by the tier, so that there is
# one limit for all tiers, of which every process knows before it has met a key of each.
MINUTE_UNITS = 60_000_000
# How long a key, and its tier, are taken for what they are without a look at the database. That a
# key has ended is learned within seconds, from the watch of revocations.
KNOWN_SECONDS = 10.0
REMEMBERED_KEYS = 10_000
UNKNOWN_PER_MINUTE = 60

_SIGNS = string.digits + string.ascii_letters
_SHAPE = re.compile(rf"{DEVELOPER_KEY_START}[0-9A-Za-z]{{{SECRET_CHARACTERS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewDeveloperKey:
    """A secret that its developer is told once."""

    text: str

    @property
    def preview(self) -> str:
        """What it begins with, by which people tell keys apart."""
        return self.text[:PREVIEW_CHARACTERS]

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return developer_key_hash(self.text)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a key may ask for in a minute, what is left of it, and when all of it is back."""

    limit: int
    remaining: int
    resets_at: int
    # Whether this request was refused, and others of this minute before it.
    is_over_again: bool = False


@dataclass(frozen=True, slots=True)
class _KnownDeveloperKey:
    key: operations.FoundDeveloperKey
    until: float


def developer_key_hash(text: str) -> bytes:
    """What is stored of a key; 190 random bits need no slow hash."""
    return hashlib.sha256(text.encode()).digest()


class DeveloperKeys:
    """The developers' keys that one process knows, by the hash of their secrets."""

    def __init__(
        self,
        database: Database,
        tokens: AccessTokens,
        settings: Settings,
        rates: SharedRates,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._seen: set[UUID] = set()
        self._database = database
        self._revoked = tokens.revoked
        self._derivation_key = settings.secret("refresh-token-key").encode()
        self._clock = clock
        self._known: OrderedDict[bytes, _KnownDeveloperKey] = OrderedDict()
        self._unknown = rates.limit("unknown_developer_keys", UNKNOWN_PER_MINUTE, 60.0)
        self._rates = rates.limit("developer_keys", MINUTE_UNITS, WINDOW_SECONDS)
        # Keys that were refused in this minute already.
        self._refusals = RateLimit[str](1, WINDOW_SECONDS, clock)
        self._revoked.on_revoked(self._forget)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services.database, services.tokens, services.settings, services.rates)

    def new_key(self, user_id: UUID | None, idempotency_key: str | None) -> NewDeveloperKey:
        """A key; for the same idempotency key of a user the same one again.

        It follows from a secret that only the server has, so that who lost the answer can ask again
        although nothing but a hash is stored.
        """
        if idempotency_key is None:
            number = secrets.randbits(256)
        else:
            asked = f"developer-key:{user_id}:{idempotency_key}".encode(errors="surrogatepass")
            number = int.from_bytes(hmac.digest(self._derivation_key, asked, "sha256"))
        signs = []
        for _ in range(SECRET_CHARACTERS):
            number, sign = divmod(number, len(_SIGNS))
            signs.append(_SIGNS[sign])
        return NewDeveloperKey(DEVELOPER_KEY_START + "".join(signs))

    async def verify(self, text: str, network: str) -> operations.FoundDeveloperKey:
        """Whose key this is; UNAUTHENTICATED when it is not good now."""
        hashed = developer_key_hash(text)
        known = self._known.get(hashed)
        if known is None or known.until <= self._clock():
            known = await self._look_up(text, hashed, network)
        if secret_id(hashed) in self._revoked:
            raise _not_valid()
        return known.key

    def admit(self, key: operations.FoundDeveloperKey) -> tuple[Rate, RateLimited | None]:
        """Counts one request of a key: what is left of its minute, and why it is refused if it is.

        A refused request takes nothing, so that whoever waits as long as they are told may go on.
        """
        self._seen.add(key.key_id)
        name, units = str(key.key_id), max(1, MINUTE_UNITS // key.requests_per_minute)
        refusal = None
        if wait := self._rates.use(name, units):
            refusal = RateLimited(
                f"This key makes at most {key.requests_per_minute} requests a minute; wait, then "
                "go on.",
                math.ceil(wait),
            )
        used_seconds = self._rates.used_seconds(name)
        left_seconds = WINDOW_SECONDS - used_seconds + ROUNDING_SECONDS
        rate = Rate(
            limit=key.requests_per_minute,
            remaining=max(0, int(left_seconds * MINUTE_UNITS / WINDOW_SECONDS / units)),
            resets_at=math.ceil(self._clock() + used_seconds),
            is_over_again=refusal is not None and self._refusals.use(name) > 0,
        )
        return rate, refusal

    def take_seen(self) -> set[UUID]:
        """The keys that were used since the last call."""
        seen, self._seen = self._seen, set()
        return seen

    def forget(self, key_id: UUID) -> None:
        """Looks a key up again at its next request: it was changed."""
        for hashed, known in list(self._known.items()):
            if known.key.key_id == key_id:
                del self._known[hashed]

    async def _look_up(self, text: str, hashed: bytes, network: str) -> _KnownDeveloperKey:
        if _SHAPE.fullmatch(text) is None:
            raise _not_valid()
        if wait := self._unknown.wait(network):
            raise RateLimited(
                "Too many unknown keys came from this address; try again in a moment.",
                math.ceil(wait),
            )
        found = await operations.find_key(self._database, hashed)
        if found is None:
            self._known.pop(hashed, None)
            self._unknown.use(network)
            raise _not_valid()
        known = _KnownDeveloperKey(found, self._clock() + KNOWN_SECONDS)
        self._known[hashed] = known
        self._known.move_to_end(hashed)
        if len(self._known) > REMEMBERED_KEYS:
            self._known.popitem(last=False)
        return known

    def _forget(self, ended_id: UUID) -> None:
        for hashed in [hashed for hashed in self._known if secret_id(hashed) == ended_id]:
            del self._known[hashed]


def _not_valid() -> DomainError:
    return unauthenticated("The key is missing or not valid.")
