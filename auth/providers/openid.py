"""Any OpenID Connect issuer, and what Google's and Apple's have in common with it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from auth.providers.base import (
    Authorization,
    ProvenByToken,
    provider_failed,
    provider_refused,
    token_refused,
    with_query,
)
from auth.providers.discovery import Issuer
from auth.providers.http import call_provider
from auth.providers.id_tokens import IdTokens
from db.identities.rules import ExternalIdentity, external_identity


@dataclass(frozen=True, slots=True)
class ProviderClient:
    """What this server is at a provider; `app_ids` are its apps, which get their own tokens."""

    id: str
    secret: str = ""
    app_ids: tuple[str, ...] = ()


class OpenIdProvider:
    """Authorization code with PKCE and nonce (OpenID Connect Core, 3.1)."""

    posts_back = False
    scope = "openid email profile"

    def __init__(
        self,
        name: str,
        client: ProviderClient,
        issuer: Issuer,
        *other_names: str,
        vouches_for_emails: bool = True,
    ) -> None:
        self.name = name
        self.client = client
        self._vouches_for_emails = vouches_for_emails
        self._issuer = issuer
        self._id_tokens = IdTokens(name, issuer, *other_names)

    @property
    def issuer(self) -> str:
        """The issuer's URL, as it calls itself."""
        return self._issuer.url

    async def authorization_url(self, authorization: Authorization) -> str:
        """Where the browser is sent to."""
        endpoint = (await self._issuer.endpoints()).authorization
        if not endpoint:
            raise provider_failed(self.name, "no authorization endpoint")
        return with_query(endpoint, self.parameters(authorization))

    def parameters(self, authorization: Authorization) -> dict[str, str]:
        """What the browser takes along."""
        return {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": authorization.redirect_uri,
            "scope": self.scope,
            "state": authorization.state,
            "nonce": authorization.nonce,
            "code_challenge": authorization.code_challenge,
            "code_challenge_method": "S256",
        }

    async def identity_of_code(
        self,
        code: str,
        authorization: Authorization,
        answer: Mapping[str, str],
    ) -> ExternalIdentity:
        """Who brought back a code: its ID token was made for this client and this browser."""
        if (await self._issuer.endpoints()).names_itself and "iss" not in answer:
            raise provider_refused(self.name, "no iss")
        token = await self._token_of_code(code, authorization)
        claims = await self._id_tokens.verify(token, {self.client.id}, authorization.nonce)
        if claims.get("azp", self.client.id) != self.client.id:
            raise token_refused(self.name, "azp")
        return self._identity(claims)

    async def identity_of_token(self, id_token: str, nonce: str) -> ProvenByToken:
        """Whom an ID token names that an app got for itself."""
        audiences = {self.client.id, *self.client.app_ids}
        claims = await self._id_tokens.verify(id_token, audiences, nonce)
        return ProvenByToken(self._identity(claims), datetime.fromtimestamp(claims["exp"], UTC))

    def is_verified(self, claims: dict[str, Any]) -> bool:
        """Whether the provider vouches for the address; silence is a no."""
        return claims.get("email_verified") is True

    def client_secret(self) -> str:
        """What proves to the provider that this is its client."""
        return self.client.secret

    async def _token_of_code(self, code: str, authorization: Authorization) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": authorization.redirect_uri,
            "client_id": self.client.id,
            "code_verifier": authorization.code_verifier,
        }
        endpoints, headers = await self._issuer.endpoints(), {}
        if not endpoints.token:
            raise provider_failed(self.name, "no token endpoint")
        secret = self.client_secret()
        if secret and endpoints.takes_secret_in_form:
            form["client_secret"] = secret
        elif secret:
            headers["authorization"] = _basic(self.client.id, secret)
        answer = await call_provider(self.name, endpoints.token, form=form, headers=headers)
        return str(token_answer(self.name, answer.status, answer.body, "id_token"))

    def _identity(self, claims: dict[str, Any]) -> ExternalIdentity:
        identity = external_identity(
            self.name,
            claims["sub"],
            claims.get("email"),
            is_email_verified=self._vouches_for_emails and self.is_verified(claims),
            name=claims.get("name"),
        )
        if identity is None:
            raise token_refused(self.name, "sub")
        return identity


def _basic(client_id: str, secret: str) -> str:
    """The header of a client (RFC 6749, 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def token_answer(provider: str, status: int, body: dict[str, Any], wanted: str) -> str:
    """The token that a token endpoint gives for a code, or why it gives none (RFC 6749, 5.2)."""
    token = body.get(wanted)
    if status == 200 and isinstance(token, str) and token:
        return token
    # Facebook puts an object where others have a text.
    if body.get("error") == "invalid_grant" or (status == 400 and "error" in body):
        raise provider_refused(provider, "the code was not taken")
    raise provider_failed(provider, f"no {wanted}, status {status}")
