"""A browser's way to a sign-in provider and back: state, cookie, PKCE and nonce (RFC 9700)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import structlog

from auth.limited_attempts import notes_limits
from auth.providers.base import (
    Authorization,
    SignInProvider,
    provider_refused,
    with_query,
)
from auth.providers.configured import configured_providers
from auth.services import AccountServices
from auth.token_sealing import seal, unseal
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode, RateLimited
from db.identities import operations, rules
from db.identities.operations import PendingSignIn
from db.identities.rules import ExternalIdentity

CODE_PREFIX = "tgo_"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_PURPOSE = "sign-in-code"

log = structlog.get_logger("tallygraph.sign_in")


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a browser goes, and the cookie by which it is known when it comes back."""

    url: str
    browser: str
    posts_back: bool = False


class BrowserSignIn:
    """Sends browsers to providers, and takes in what they bring back."""

    def __init__(self, services: AccountServices) -> None:
        settings = services.settings
        self.providers: dict[str, SignInProvider] = configured_providers(settings)
        self._database = services.database
        self._failures = services.failures
        self._key = settings.secret("refresh-token-key").encode()
        self._base_url = settings.base_url
        self._origins = settings.redirect_origins
        self._lets_demo_in = not settings.production
        self._begun = services.rates.limit(
            "provider_sign_ins", settings.provider_sign_ins_per_address, 60.0
        )

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """The one of a process."""
        return cls(services)

    def provider(self, name: str) -> SignInProvider:
        """A provider by name; PROVIDER_NOT_CONFIGURED when the settings do not have it."""
        if name not in self.providers:
            raise DomainError(
                ErrorCode.PROVIDER_NOT_CONFIGURED,
                "This server does not offer signing in with this provider.",
                ("input", "provider"),
            )
        return self.providers[name]

    @notes_limits("provider")
    async def begin(
        self,
        name: str,
        redirect_to: str,
        *,
        code_challenge: str | None,
        method: str | None,
        browser: str | None,
        network: str,
    ) -> Begun:
        """Sends a browser to a provider; it keeps the cookie that it has from another tab."""
        provider = self.provider(name)
        if not rules.is_allowed_redirect(
            redirect_to, self._origins, lets_demo_in=self._lets_demo_in
        ):
            raise rules.redirect_refused()
        rules.check_challenge(code_challenge, method)
        if wait_seconds := self._begun.use(network):
            raise RateLimited(
                "Too many sign-ins were begun from this address; try again in a moment.",
                math.ceil(wait_seconds),
            )
        state = secrets.token_urlsafe(32)
        browser = browser if browser and _SECRET.fullmatch(browser) else secrets.token_urlsafe(32)
        try:
            url = await provider.authorization_url(self._authorization(name, state, browser))
        except DomainError as refusal:
            return Begun(_with_error(redirect_to, refusal), browser, provider.posts_back)
        async with self._database.transaction(SERVICE) as transaction:
            await operations.begin_sign_in(
                transaction,
                state_hash=_hash(state),
                browser_hash=_hash(browser),
                provider=name,
                redirect_to=redirect_to,
                code_challenge=code_challenge,
            )
        return Begun(url, browser, provider.posts_back)

    async def finish(self, name: str, answer: Mapping[str, str], browser: str | None) -> str:
        """Where a browser goes that came back: to the app, with a code or an error.

        CODE_INVALID when nobody began, or another browser did: then there is no place to go to.
        """
        provider = self.provider(name)
        state = answer.get("state", "")
        if not _SECRET.fullmatch(state) or browser is None or not _SECRET.fullmatch(browser):
            raise _not_begun()
        async with self._database.transaction(SERVICE) as transaction:
            pending = await operations.take_sign_in(
                transaction, state_hash=_hash(state), browser_hash=_hash(browser), provider=name
            )
        if pending is None:
            raise _not_begun()
        try:
            if pending.is_expired:
                raise _not_begun()
            authorization = self._authorization(name, state, browser)
            identity = await _identity(provider, answer, authorization)
            code = await self._code(identity, pending)
        except DomainError as refusal:
            return _with_error(pending.redirect_to, refusal)
        return with_query(pending.redirect_to, {"code": code})

    async def identity_of_code(self, code: str, verifier: str | None) -> ExternalIdentity:
        """Who brought a code back; it is used up, whatever comes of it. CODE_INVALID for others."""
        taken = None
        if code.startswith(CODE_PREFIX) and _SECRET.fullmatch(code.removeprefix(CODE_PREFIX)):
            async with self._database.transaction(SERVICE) as transaction:
                taken = await operations.take_code(transaction, _hash(code))
        if taken is None or not rules.answers_challenge(taken.code_challenge, verifier):
            raise code_invalid()
        text = unseal(code, taken.sealed, purpose=_PURPOSE)
        if text is None:
            raise code_invalid()
        return ExternalIdentity(**json.loads(text))

    async def _code(self, identity: ExternalIdentity, pending: PendingSignIn) -> str:
        code = CODE_PREFIX + secrets.token_urlsafe(32)
        sealed = seal(code, json.dumps(asdict(identity)).encode(), purpose=_PURPOSE)
        async with self._database.transaction(SERVICE) as transaction:
            await operations.store_code(
                transaction,
                code_hash=_hash(code),
                sealed=sealed,
                code_challenge=pending.code_challenge,
            )
        return code

    def _authorization(self, name: str, state: str, browser: str) -> Authorization:
        """The same each time for a state and a browser, so that none of it needs to be stored."""
        verifier = self._derive("oauth-verifier", name, state, browser)
        return Authorization(
            redirect_uri=f"{self._base_url}/auth/{name}/callback",
            state=state,
            nonce=self._derive("oauth-nonce", name, state, browser),
            code_verifier=verifier,
            code_challenge=rules.challenge_of(verifier),
        )

    def _derive(self, *parts: str) -> str:
        digest = hmac.digest(self._key, ":".join(parts).encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def _identity(
    provider: SignInProvider, answer: Mapping[str, str], authorization: Authorization
) -> ExternalIdentity:
    """What the provider says of who came back."""
    # An answer of another issuer, which would have its code sent to the wrong one (RFC 9207).
    if answer.get("iss", provider.issuer).rstrip("/") != provider.issuer.rstrip("/"):
        raise provider_refused(provider.name, "iss")
    code = answer.get("code")
    if not code or "error" in answer:
        raise provider_refused(provider.name, "no code")
    try:
        return await provider.identity_of_code(code, authorization, answer)
    except DomainError as refusal:
        if refusal.code is not ErrorCode.INVALID_CREDENTIALS:
            raise
        # Here nobody but the provider can be wrong about its token.
        raise provider_refused(provider.name, "ID token") from None


def code_invalid() -> DomainError:
    """The refusal of a code: wrong, used and expired are told alike."""
    return DomainError(
        ErrorCode.CODE_INVALID,
        "The code is not valid, was used before or has expired. Begin again.",
        ("input", "code"),
    )


def _not_begun() -> DomainError:
    return DomainError(
        ErrorCode.CODE_INVALID,
        "This sign-in is over, or was begun in another browser. Begin again.",
    )


def _with_error(redirect_to: str, refusal: DomainError) -> str:
    """The app's address, told why in our own words alone."""
    told = {"error": str(refusal.code), "error_description": refusal.message}
    return with_query(redirect_to, told)


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
