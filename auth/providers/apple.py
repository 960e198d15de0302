"""Sign in with Apple: OpenID Connect but for its client secret, its POST and where a name is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt

from auth.providers.base import Authorization
from auth.providers.discovery import Issuer
from auth.providers.openid import OpenIdProvider, ProviderClient
from db.identities.rules import ExternalIdentity, clean_name

# Apple takes secrets of up to six months; one for each use needs no renewing.
SECRET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class AppleKey:
    """The key of a team that signs the client secret: ES256, as a PEM text."""

    team_id: str
    key_id: str
    private_key: str


class AppleProvider(OpenIdProvider):
    """Apple. It knows no PKCE: the nonce in the signed ID token binds a code to its browser."""

    posts_back = True
    scope = "openid email name"

    def __init__(self, client: ProviderClient, issuer: Issuer, key: AppleKey | None) -> None:
        super().__init__("apple", client, issuer)
        self._key = key

    def parameters(self, authorization: Authorization) -> dict[str, str]:
        """With a scope, Apple sends the browser back by a form only."""
        given = {**super().parameters(authorization), "response_mode": "form_post"}
        return {name: value for name, value in given.items() if "challenge" not in name}

    def client_secret(self) -> str:
        """A short-lived JWT of the team's key, unless the setting has a ready one."""
        if self._key is None:
            return super().client_secret()
        now = int(time.time())
        claims = {
            "iss": self._key.team_id,
            "iat": now,
            "exp": now + SECRET_SECONDS,
            "aud": self.issuer,
            "sub": self.client.id,
        }
        headers = {"kid": self._key.key_id}
        return jwt.encode(claims, self._key.private_key, algorithm="ES256", headers=headers)

    def is_verified(self, claims: dict[str, Any]) -> bool:
        """Apple writes it as text or as a boolean."""
        return claims.get("email_verified") in ("true", True)

    async def identity_of_code(
        self, code: str, authorization: Authorization, answer: Mapping[str, str]
    ) -> ExternalIdentity:
        """Who it is; the name comes beside the code, at the first sign-in only, and unsigned."""
        identity = await super().identity_of_code(code, authorization, answer)
        return replace(identity, name=_name(answer.get("user", "")))


def _name(user: str) -> str | None:
    """The name in Apple's `user` field, `{"name": {"firstName": …, "lastName": …}}`."""
    try:
        name = json.loads(user)["name"]
        parts = [name.get("firstName"), name.get("lastName")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return clean_name(" ".join(part for part in parts if isinstance(part, str)))
