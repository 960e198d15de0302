"""Tokens of Google's: who pushes a message to us, and who we are when we ask."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt

from db.core.errors import DomainError
from db.core.service_account import GRANT_TYPE, ServiceAccount
from payments.base import DeliveryRefusal, DeliveryRefused, provider_failed
from payments.calls import get_json, post_form

# https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
CLOCK_SKEW_SECONDS = 60
LONGEST_TOKEN = 16_384
KEEP_SECONDS = 3600.0
# A key that is not known is looked for this often, whoever names one.
LOOK_AGAIN_SECONDS = 60.0
# What failed is not asked for again sooner, however many wait for it.
RETRY_SECONDS = 5.0
RENEW_BEFORE_SECONDS = 300.0


class PubSubTokens:
    """Verifies the bearer token of a push subscription of Pub/Sub.

    Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
    """

    def __init__(self, provider: str, keys_url: str, audience: str, email: str) -> None:
        self._provider = provider
        self._keys_url = keys_url
        self._audience = audience
        self._email = email
        self._lock = asyncio.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._failed_at = float("-inf")

    async def verify(self, authorization: str) -> None:
        """DeliveryRefused unless the header has a token of the subscription's account for us."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or len(token) > LONGEST_TOKEN:
            raise _forged("it has no token")
        try:
            head = jwt.get_unverified_header(token)
            key = await self._key(head.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=["RS256"],
                audience=self._audience,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["iss", "aud", "iat", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise DeliveryRefused(DeliveryRefusal.STALE, "its token has expired") from None
        except (jwt.PyJWTError, AttributeError, TypeError, ValueError) as error:
            raise _forged(f"its token is not Google's for us: {type(error).__name__}") from None
        if claims["iss"] not in ISSUERS:
            raise _forged("its token is of another issuer")
        if claims.get("email") != self._email or claims.get("email_verified") is not True:
            raise _forged("its token is of another account")

    async def _key(self, kid: object) -> jwt.PyJWK:
        if not isinstance(kid, str):
            raise jwt.InvalidKeyError("kid")
        async with self._lock:
            age = time.monotonic() - self._fetched_at
            if age >= (KEEP_SECONDS if kid in self._keys else LOOK_AGAIN_SECONDS):
                await self._look(is_needed=kid not in self._keys)
        if kid not in self._keys:
            raise jwt.InvalidKeyError("kid")
        return self._keys[kid]

    async def _look(self, *, is_needed: bool) -> None:
        """Fetches the keys; those that are there go on being used while that fails."""
        if time.monotonic() - self._failed_at >= RETRY_SECONDS:
            try:
                await self._fetch()
                return
            except DomainError:
                self._failed_at = time.monotonic()
        if is_needed:
            raise provider_failed(self._provider, "its keys cannot be had")

    async def _fetch(self) -> None:
        answer = await get_json(self._provider, self._keys_url, {})
        given = answer.body.get("keys") if isinstance(answer.body, dict) else None
        if not answer.is_success or not isinstance(given, list):
            raise provider_failed(self._provider, f"no keys, status {answer.status}")
        usable = [one for one in given if isinstance(one, dict) and one.get("kty") == "RSA"]
        self._keys = {str(one.get("kid")): jwt.PyJWK(one, "RS256") for one in usable}
        self._fetched_at = time.monotonic()


class ServiceToken:
    """The access token of a service account, renewed before its end."""

    def __init__(self, provider: str, account: ServiceAccount, scope: str) -> None:
        self._provider = provider
        self._account = account
        self._scope = scope
        self._lock = asyncio.Lock()
        self._value = ""
        self._renew_at = 0.0
        self._failed_at = float("-inf")

    async def get(self) -> str:
        """The token; PROVIDER_FAILED when there is none to be had."""
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                if time.monotonic() - self._failed_at < RETRY_SECONDS:
                    raise provider_failed(self._provider, "there was no access token just now")
                self._failed_at = time.monotonic()
                await self._renew()
                self._failed_at = float("-inf")
            return self._value

    async def _renew(self) -> None:
        asked = time.monotonic()
        assertion = self._account.assertion(self._scope, int(time.time()))
        form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        answer = await post_form(self._provider, self._account.token_uri, form)
        said = answer.body if isinstance(answer.body, dict) else {}
        value, seconds = said.get("access_token"), said.get("expires_in")
        if not answer.is_success or not isinstance(value, str) or not isinstance(seconds, int):
            raise provider_failed(self._provider, f"no access token, status {answer.status}")
        self._value = value
        self._renew_at = asked + max(seconds - RENEW_BEFORE_SECONDS, seconds / 2)


def _forged(detail: str) -> DeliveryRefused:
    return DeliveryRefused(DeliveryRefusal.FORGED, detail)
