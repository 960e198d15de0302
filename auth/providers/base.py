"""What every sign-in provider does, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode

import structlog

from db.core.errors import DomainError, ErrorCode
from db.identities.rules import ExternalIdentity

log = structlog.get_logger("tallygraph.sign_in")


@dataclass(frozen=True, slots=True)
class Authorization:
    """One browser's way to a provider and back; all but the verifier pass through the browser."""

    redirect_uri: str
    state: str
    nonce: str
    code_verifier: str
    code_challenge: str


@dataclass(frozen=True, slots=True)
class ProvenByToken:
    """An ID token that is good, and until when it could be used again."""

    identity: ExternalIdentity
    expires_at: datetime


class SignInProvider(Protocol):
    """A service that tells who somebody is.

    `posts_back` says that the browser comes back with a POST from the provider's own page. `issuer`
    is what the provider calls itself in answers that say so (RFC 9207).
    """

    @property
    def name(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def posts_back(self) -> bool: ...

    async def authorization_url(self, authorization: Authorization) -> str:
        """Where the browser is sent to."""
        ...

    async def identity_of_code(
        self, code: str, authorization: Authorization, answer: Mapping[str, str]
    ) -> ExternalIdentity:
        """Who brought back a code; `answer` is all that came with it."""
        ...

    async def identity_of_token(self, id_token: str, nonce: str) -> ProvenByToken:
        """Whom an ID token names that an app got for itself."""
        ...


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """A URL with parameters appended to those it has."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def provider_failed(provider: str, reason: str) -> DomainError:
    """A provider that is away, or says what makes no sense; the reason is for the log alone."""
    log.warning("sign_in.provider_failed", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.PROVIDER_FAILED,
        "The sign-in provider does not answer as it should. Try again later.",
    )


def provider_refused(provider: str, reason: str) -> DomainError:
    """A provider that says no: the person stopped, or the code was not good."""
    log.info("sign_in.provider_refused", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.PROVIDER_REFUSED, "The sign-in was cancelled or refused. Begin again."
    )


def token_refused(provider: str, reason: str) -> DomainError:
    """An ID token that proves nothing; the reason is for the log alone."""
    log.info("sign_in.token_refused", provider=provider, reason=reason)
    return DomainError(
        ErrorCode.INVALID_CREDENTIALS, "The ID token is not valid; get a new one and try again."
    )
