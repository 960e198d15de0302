"""Discord: OAuth 2.0 with PKCE; who somebody is, its API says."""

from __future__ import annotations

from collections.abc import Mapping

from auth.providers.base import Authorization, ProvenByToken, provider_failed, with_query
from auth.providers.http import call_provider
from auth.providers.openid import ProviderClient, token_answer
from db.core.errors import bad_input
from db.identities.rules import ExternalIdentity, external_identity

API_URL = "https://discord.com/api"


class DiscordProvider:
    """Discord. An address counts when the account's `verified` says so."""

    name = "discord"
    posts_back = False
    issuer = "https://discord.com"

    def __init__(self, client: ProviderClient, api_url: str = API_URL) -> None:
        self._client = client
        self._api_url = api_url

    async def authorization_url(self, authorization: Authorization) -> str:
        """Where the browser is sent to."""
        parameters = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": authorization.redirect_uri,
            "scope": "identify email",
            "state": authorization.state,
            "code_challenge": authorization.code_challenge,
            "code_challenge_method": "S256",
        }
        return with_query(f"{self._api_url}/oauth2/authorize", parameters)

    async def identity_of_code(
        self,
        code: str,
        authorization: Authorization,
        answer: Mapping[str, str],  # noqa: ARG002
    ) -> ExternalIdentity:
        """Who brought back a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": authorization.redirect_uri,
            "client_id": self._client.id,
            "client_secret": self._client.secret,
            "code_verifier": authorization.code_verifier,
        }
        given = await call_provider(self.name, f"{self._api_url}/oauth2/token", form=form)
        token = token_answer(self.name, given.status, given.body, "access_token")
        headers = {"authorization": f"Bearer {token}"}
        person = await call_provider(self.name, f"{self._api_url}/users/@me", headers=headers)
        identity = external_identity(
            self.name,
            person.body.get("id"),
            person.body.get("email"),
            is_email_verified=person.body.get("verified") is True,
            name=person.body.get("global_name") or person.body.get("username"),
        )
        if person.status != 200 or identity is None:
            raise provider_failed(self.name, f"no person, status {person.status}")
        return identity

    async def identity_of_token(self, id_token: str, nonce: str) -> ProvenByToken:  # noqa: ARG002
        """Discord gives apps no ID tokens."""
        raise bad_input(
            "This provider gives no ID tokens; sign in through the browser.", "input", "provider"
        )
