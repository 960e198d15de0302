"""Access tokens: short-lived signed JWTs (RFC 9068), issued, verified strictly and remembered."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import jwt

from auth.keys import SigningKeys
from auth.revocation import RevokedSessions
from db.accounts.assurance import Assurance
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from settings import Settings

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"
# Exactly these: a token that names its own key (jku, jwk, x5u) or asks for an extension (crit) is
# no token of this server.
HEADER_NAMES = frozenset({"alg", "typ", "kid"})
# `aal`, as Supabase writes it; `auth_time` is OpenID Connect's. Tokens issued before there were
# these have neither, and pass for the lowest level and an old sign-in.
LEVEL_NAMES = {1: "aal1", 2: "aal2"}
LEVELS = {name: level for level, name in LEVEL_NAMES.items()}
REQUIRED_CLAIMS = ("iss", "aud", "sub", "sid", "iat", "exp")
CLOCK_SKEW_SECONDS = 5
LONGEST_TOKEN = 2048
REMEMBERED_TOKENS = 50_000
REVOCATION_MARGIN_SECONDS = 60

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new access token and when it stops working."""

    token: str
    expires_at: datetime


def unauthenticated(message: str) -> DomainError:
    """The one answer to a token that is not good; the request ends as HTTP 401."""
    return DomainError(ErrorCode.UNAUTHENTICATED, message)


def cut_bearer_token(authorization_header: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` header; None when there is no header at all."""
    if authorization_header is None:
        return None
    match = _BEARER.fullmatch(authorization_header)
    if match is None:
        raise unauthenticated("The Authorization header must read `Bearer <access token>`.")
    return match[1]


_IN_URL = re.compile(
    rb"(?:^|[&;])(?:access_?token|id_?token|token|jwt|api_?key|key|authorization|auth)="
    rb"|tgk_[0-9a-z]{8}",
    re.IGNORECASE,
)


def carries_token(query_string: bytes) -> bool:
    """Whether a URL has a token or an API key in it, where every log on its way keeps it."""
    return _IN_URL.search(query_string) is not None


def never_in_urls() -> DomainError:
    """The refusal of such a URL (RFC 9700, 4.3.2), whatever its token is."""
    return DomainError(
        ErrorCode.BAD_USER_INPUT,
        "A token in a URL ends up in logs: send it as `Authorization: Bearer …`. Whoever saw this "
        "URL has it now, so end its session or rotate its API key.",
    )


# The same for headers that come again and again: each request's, but not each socket's.
bearer_token = lru_cache(maxsize=4096)(cut_bearer_token)


class AccessTokens:
    """Issues and verifies the access tokens of one deployment."""

    def __init__(
        self,
        keys: SigningKeys,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        remembered_tokens: int = REMEMBERED_TOKENS,
    ) -> None:
        # Tokens that came since somebody asked. Not their sessions: a text knows its hash, and this
        # is done for each request.
        self._seen: set[str] = set()
        self.revoked = RevokedSessions(settings.access_token_seconds + REVOCATION_MARGIN_SECONDS)
        self._keys = keys
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._life_seconds = settings.access_token_seconds
        self._clock = clock
        self._verified: OrderedDict[str, Actor] = OrderedDict()
        self._remembered_tokens = remembered_tokens
        # Of tokens whose signature was good, so there are as many as keys.
        self._kid_by_head: dict[str, str] = {}

    def issue(
        self,
        user_id: UUID,
        session_id: UUID,
        *,
        is_anonymous: bool,
        is_admin: bool,
        assurance: Assurance | None = None,
        now: datetime | None = None,
    ) -> IssuedToken:
        """A token for one session of one user, and what that session was proven with."""
        issued_at = int(now.timestamp() if now else self._clock())
        expires_at = issued_at + self._life_seconds
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": issued_at,
            "exp": expires_at,
            "anon": is_anonymous,
            "adm": is_admin,
        }
        if assurance is not None:
            claims["aal"] = LEVEL_NAMES[assurance.level]
            claims["auth_time"] = int(assurance.authenticated_at.timestamp())
        key = self._keys.signing
        headers = {"typ": TOKEN_TYPE, "kid": key.kid}
        token = jwt.encode(claims, key.private, algorithm=ALGORITHM, headers=headers)
        return IssuedToken(token, datetime.fromtimestamp(expires_at, UTC))

    def verify(self, token: str) -> Actor:
        """Whose token this is; raises UNAUTHENTICATED when it is not good now."""
        actor = self._verified.get(token)
        if actor is None:
            actor = self._read(token)
            self.remember(token, actor)
        else:
            self._verified.move_to_end(token)
        if actor.expires_at <= self._clock():
            self._verified.pop(token, None)
            raise unauthenticated("The access token has expired; refresh the session.")
        if actor.session_id in self.revoked:
            raise unauthenticated("This session has ended; sign in again.")
        self._seen.add(token)
        return actor

    def take_seen(self) -> set[UUID]:
        """The sessions whose tokens came since the last call."""
        seen, self._seen = self._seen, set()
        actors = (self._verified.get(token) for token in seen)
        return {actor.session_id for actor in actors if actor and actor.session_id}

    def revoke_session(self, session_id: UUID) -> None:
        """Refuse the session's tokens in this process from now on; others learn by watching."""
        self.revoked.add(session_id)

    def remember(self, token: str, actor: Actor) -> None:
        """Keeps whose a token is that was verified."""
        self._verified[token] = actor
        if len(self._verified) > self._remembered_tokens:
            self._verified.popitem(last=False)

    def _read(self, token: str) -> Actor:
        if len(token) > LONGEST_TOKEN:
            raise unauthenticated("The access token is not valid.")
        try:
            head = token.partition(".")[0]
            # All tokens of a key begin alike: it is read once, then only compared.
            kid = self._kid_by_head.get(head) or _kid_named_by(jwt.get_unverified_header(token))
            key = self._keys.verifying(kid)
            if key is None:
                raise jwt.InvalidTokenError("kid")
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": list(REQUIRED_CLAIMS),
                    "strict_aud": True,
                    # Both are checked here, on our clock and each with its own leeway.
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            self._kid_by_head[head] = kid
            return self._actor(claims)
        except (jwt.PyJWTError, AttributeError, ValueError, TypeError, RecursionError):
            # No cause is chained: it may quote the token, and reach a log.
            raise unauthenticated("The access token is not valid.") from None

    def _actor(self, claims: dict[str, Any]) -> Actor:
        issued_at, expires_at = claims["iat"], claims["exp"]
        anonymous, admin = claims.get("anon"), claims.get("adm")
        if type(issued_at) is not int or type(expires_at) is not int:
            raise jwt.InvalidTokenError("iat or exp")
        if issued_at > self._clock() + CLOCK_SKEW_SECONDS:
            raise jwt.InvalidTokenError("iat")
        if type(anonymous) is not bool or type(admin) is not bool:
            raise jwt.InvalidTokenError("anon or adm")
        level, authenticated_at = LEVELS.get(claims.get("aal", "aal1")), claims.get("auth_time", 0)
        if level is None or type(authenticated_at) is not int:
            raise jwt.InvalidTokenError("aal or auth_time")
        return Actor(
            "authenticated",
            user_id=UUID(claims["sub"]),
            session_id=UUID(claims["sid"]),
            is_anonymous=anonymous,
            is_admin=admin,
            expires_at=expires_at,
            assurance_level=level,
            authenticated_at=authenticated_at,
        )


def _kid_named_by(header: dict[str, Any]) -> str:
    if header.keys() != HEADER_NAMES:
        raise jwt.InvalidTokenError("header parameters")
    if header["alg"] != ALGORITHM or header["typ"] != TOKEN_TYPE:
        raise jwt.InvalidTokenError("alg or typ")
    kid: str = header["kid"]
    return kid
