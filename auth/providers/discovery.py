"""What an OpenID issuer publishes of itself: its endpoints and keys, fetched, kept and renewed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from auth.providers.base import provider_failed
from auth.providers.http import call_provider
from db.core.errors import DomainError

KEEP_SECONDS = 3600.0
# A key that is not known is looked for this often; a fetch that failed is not repeated sooner.
LOOK_AGAIN_SECONDS = 60.0
RETRY_SECONDS = 5.0
MOST_KEYS = 50

Clock = Callable[[], float]


class Fetched:
    """A JSON document of a provider: fetched when it is wanted, by one caller for all.

    While it cannot be renewed, the one there is goes on being used.
    """

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = asyncio.Lock()
        self._document: dict[str, Any] | None = None
        self._fetched_at = 0.0
        self._failed_at: float | None = None

    async def get(self, url: str, *, newer_than_seconds: float = KEEP_SECONDS) -> dict[str, Any]:
        """The document, fetched again when it is older than that."""
        async with self._lock:
            if self._document is not None and not self._is_older(newer_than_seconds):
                return self._document
            if self._failed_at is not None and self._clock() - self._failed_at < RETRY_SECONDS:
                return self._kept()
            try:
                answer = await call_provider(self._provider, url)
                if answer.status != 200:
                    raise provider_failed(self._provider, f"status {answer.status}")
            except DomainError:
                self._failed_at = self._clock()
                return self._kept()
            self._document, self._fetched_at = answer.body, self._clock()
            self._failed_at = None
            return answer.body

    def _is_older(self, seconds: float) -> bool:
        return self._clock() - self._fetched_at >= seconds

    def _kept(self) -> dict[str, Any]:
        if self._document is None:
            raise provider_failed(self._provider, "nothing was fetched yet")
        return self._document


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an issuer does what, empty what it does not have; and how it wants to be asked.

    `issuer` is what its tokens call it, to the letter. With `takes_secret_in_form` a client's
    secret may stand in the form, otherwise in a header. With `names_itself` every browser that
    comes back says from whom (RFC 9207).
    """

    issuer: str
    authorization: str
    token: str
    jwks: str
    takes_secret_in_form: bool
    names_itself: bool


class Issuer:
    """An OpenID issuer, known by its discovery document (OpenID Connect Discovery 1.0)."""

    def __init__(self, provider: str, url: str, *, clock: Clock = time.monotonic) -> None:
        self.url = url
        self._provider = provider
        self._discovery_url = f"{url.rstrip('/')}/.well-known/openid-configuration"
        self._document = Fetched(provider, clock)
        self._jwks = Fetched(provider, clock)

    async def endpoints(self) -> Endpoints:
        """Its endpoints; PROVIDER_FAILED when the document is another's or names unsafe ones."""
        document = await self._document.get(self._discovery_url)
        issuer = document.get("issuer")
        # A slash at the end is easily forgotten in a setting.
        if not isinstance(issuer, str) or issuer.rstrip("/") != self.url.rstrip("/"):
            raise provider_failed(self._provider, "the discovery document is of another issuer")
        methods = document.get("token_endpoint_auth_methods_supported", ())
        return Endpoints(
            issuer,
            self._url(document.get("authorization_endpoint")),
            self._url(document.get("token_endpoint")),
            self._url(document.get("jwks_uri")),
            takes_secret_in_form=isinstance(methods, list) and "client_secret_post" in methods,
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )

    async def keys(self, *, look_again: bool = False) -> list[dict[str, Any]]:
        """Its public keys as JWKs; to `look_again` is what an unknown key's id asks for."""
        endpoints = await self.endpoints()
        newer_than = LOOK_AGAIN_SECONDS if look_again else KEEP_SECONDS
        document = await self._jwks.get(endpoints.jwks, newer_than_seconds=newer_than)
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise provider_failed(self._provider, "no keys")
        return [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]

    def _url(self, value: object) -> str:
        """An endpoint; as safe as the issuer itself, so that TLS is not lost on the way."""
        if value is None:
            return ""
        safe = ("https://", f"{urlsplit(self.url).scheme}://")
        if not isinstance(value, str) or not value.startswith(safe):
            raise provider_failed(self._provider, "an endpoint without TLS")
        return value
