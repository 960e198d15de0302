"""Facebook Login: OAuth 2.0 with the Graph API in browsers, Limited Login's ID tokens in apps."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from auth.providers.base import Authorization, ProvenByToken, provider_failed, with_query
from auth.providers.discovery import Issuer
from auth.providers.http import call_provider
from auth.providers.openid import OpenIdProvider, ProviderClient, token_answer
from db.identities.rules import ExternalIdentity, external_identity

SITE_URL = "https://www.facebook.com"
API_URL = "https://graph.facebook.com"
VERSION = "v23.0"


class FacebookProvider:
    """Facebook. It does not say whether an address is verified, so none counts as that."""

    name = "facebook"
    posts_back = False
    issuer = SITE_URL

    def __init__(self, client: ProviderClient, api_url: str = API_URL) -> None:
        self._client = client
        self._api_url = f"{api_url}/{VERSION}"
        # Somebody else's API has its pages beside it.
        self._site_url = f"{SITE_URL if api_url == API_URL else api_url}/{VERSION}"
        self._tokens = OpenIdProvider(
            self.name,
            client,
            Issuer(self.name, SITE_URL),
            "https://facebook.com",
            vouches_for_emails=False,
        )

    async def authorization_url(self, authorization: Authorization) -> str:
        """Where the browser is sent to."""
        parameters = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": authorization.redirect_uri,
            "scope": "email,public_profile",
            "state": authorization.state,
            "code_challenge": authorization.code_challenge,
            "code_challenge_method": "S256",
        }
        return with_query(f"{self._site_url}/dialog/oauth", parameters)

    async def identity_of_code(
        self,
        code: str,
        authorization: Authorization,
        answer: Mapping[str, str],  # noqa: ARG002
    ) -> ExternalIdentity:
        """Who brought back a code, as the Graph API says."""
        form = {
            "code": code,
            "redirect_uri": authorization.redirect_uri,
            "client_id": self._client.id,
            "client_secret": self._client.secret,
            "code_verifier": authorization.code_verifier,
        }
        given = await call_provider(self.name, f"{self._api_url}/oauth/access_token", form=form)
        token = token_answer(self.name, given.status, given.body, "access_token")
        return await self._person(token)

    async def identity_of_token(self, id_token: str, nonce: str) -> ProvenByToken:
        """Whom an ID token of Limited Login names."""
        return await self._tokens.identity_of_token(id_token, nonce)

    async def _person(self, token: str) -> ExternalIdentity:
        proof = hmac.digest(self._client.secret.encode(), token.encode(), "sha256").hex()
        wanted = urlencode({"fields": "id,name,email", "appsecret_proof": proof})
        headers = {"authorization": f"Bearer {token}"}
        given = await call_provider(self.name, f"{self._api_url}/me?{wanted}", headers=headers)
        identity = external_identity(
            self.name,
            given.body.get("id"),
            given.body.get("email"),
            is_email_verified=False,
            name=given.body.get("name"),
        )
        if given.status != 200 or identity is None:
            raise provider_failed(self.name, f"no person, status {given.status}")
        return identity
