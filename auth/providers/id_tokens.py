"""Verifies ID tokens: signature, issuer, audience, time, nonce (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jwt

from auth.providers.base import token_refused
from auth.providers.discovery import Issuer
from db.identities.rules import is_nonce_of

# Asymmetric ones only: with HMAC, whoever knows a client's secret could sign.
KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
CLOCK_SKEW_SECONDS = 30
LONGEST_TOKEN = 16_384
# A token is remembered as used until it expires.
LONGEST_LIFE_SECONDS = 7 * 86_400
RSA_MIN_BITS = 2048
REQUIRED_CLAIMS = ("iss", "aud", "sub", "iat", "exp")


class IdTokens:
    """Verifies the ID tokens of one issuer; `other_names` are what it calls itself besides."""

    def __init__(self, provider: str, issuer: Issuer, *other_names: str) -> None:
        self._provider = provider
        self._issuer = issuer
        self._other_names = other_names

    async def verify(self, token: str, audiences: Collection[str], nonce: str) -> dict[str, Any]:
        """The claims of a good token; INVALID_CREDENTIALS for any other.

        `audiences` are the clients that it may have been made for: a token for another app proves
        nothing here (token substitution).
        """
        try:
            algorithm, kid = self._head(token)
            key = await self._key(algorithm, kid)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                leeway=CLOCK_SKEW_SECONDS,
                # The audience is compared below, without the library's leniency to lists.
                options={"require": list(REQUIRED_CLAIMS), "verify_aud": False},
            )
        except (jwt.PyJWTError, AttributeError, ValueError, TypeError, RecursionError) as error:
            # No cause is chained: it may quote the token, and reach a log.
            raise token_refused(self._provider, type(error).__name__) from None
        if not all(type(claims[name]) is int for name in ("iat", "exp")):
            raise token_refused(self._provider, "times")
        if claims["iss"] not in ((await self._issuer.endpoints()).issuer, *self._other_names):
            raise token_refused(self._provider, "issuer")
        if not _is_for(claims["aud"], audiences):
            raise token_refused(self._provider, "audience")
        if claims["exp"] > claims["iat"] + LONGEST_LIFE_SECONDS:
            raise token_refused(self._provider, "lives too long")
        if not is_nonce_of(claims.get("nonce"), nonce):
            raise token_refused(self._provider, "nonce")
        return claims

    def _head(self, token: str) -> tuple[str, str | None]:
        if len(token) > LONGEST_TOKEN:
            raise jwt.InvalidTokenError("length")
        head = jwt.get_unverified_header(token)
        algorithm, kid = head.get("alg"), head.get("kid")
        if algorithm not in KEY_TYPES or not isinstance(kid, str | None) or "crit" in head:
            raise jwt.InvalidAlgorithmError
        return algorithm, kid

    async def _key(self, algorithm: str, kid: str | None) -> jwt.PyJWK:
        """The issuer's key; one that is not known yet is looked for, which is how keys rotate."""
        for look_again in (False, True):
            keys = await self._issuer.keys(look_again=look_again)
            found = [key for key in keys if _fits(key, algorithm, kid)]
            # Without an id, a token is of the only key that it can be of.
            if found and (kid is not None or len(found) == 1):
                return _strong(jwt.PyJWK(found[0], algorithm))
        raise jwt.InvalidKeyError("kid")


def _fits(key: dict[str, Any], algorithm: str, kid: str | None) -> bool:
    return (
        key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    )


def _strong(key: jwt.PyJWK) -> jwt.PyJWK:
    if key.key_type == "RSA" and key.key.key_size < RSA_MIN_BITS:
        raise jwt.InvalidKeyError("size")
    return key


def _is_for(audience: object, audiences: Collection[str]) -> bool:
    """Whether the token is for one client, and that is one of ours."""
    if isinstance(audience, list):
        audience = audience[0] if len(audience) == 1 else None
    return isinstance(audience, str) and audience in audiences
