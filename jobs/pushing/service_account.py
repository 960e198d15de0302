"""A Google service account: its key signs an assertion, which is exchanged for an access token."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from jobs.pushing.base import NotReady
from jobs.pushing.http import NoAnswer, NotSent, open_client, post
from settings import SettingsError

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Google takes assertions of up to an hour, and gives tokens for as long.
ASSERTION_SECONDS = 3600
RENEW_BEFORE_SECONDS = 300.0


@dataclass(frozen=True)
class ServiceAccount:
    """What the JSON file of a service account says."""

    client_email: str
    project_id: str
    token_uri: str
    key_id: str
    private_key: RSAPrivateKey = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Self:
        """What a file's text says; SettingsError, without the text, when it cannot be used."""
        try:
            given: dict[str, Any] = orjson.loads(text)
            key = load_pem_private_key(str(given["private_key"]).encode(), None)
            if not isinstance(key, RSAPrivateKey):
                raise ValueError
            return cls(
                client_email=given["client_email"],
                project_id=given.get("project_id", ""),
                token_uri=given["token_uri"],
                key_id=given.get("private_key_id", ""),
                private_key=key,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(
                "FCM_SERVICE_ACCOUNT: write the JSON of a service account's key, as the Google "
                "Cloud console gives it"
            ) from None

    def assertion(self, now: int) -> str:
        """A JWT that says who we are and what we want (RFC 7523, 2.1)."""
        claims = {
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(claims, self.private_key, algorithm="RS256", headers=headers)


class AccessToken:
    """The access token of a service account, renewed before its end."""

    def __init__(self, account: ServiceAccount) -> None:
        self._account = account
        self._client = open_client("", http1=True)
        self._lock = asyncio.Lock()
        self._value = ""
        self._renew_at = 0.0

    def forget(self, value: str) -> None:
        """The token was refused: the next is a new one."""
        if value == self._value:
            self._renew_at = 0.0

    async def get(self) -> str:
        """The token; NotReady when there is none to be had."""
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                await self._renew()
            return self._value

    async def _renew(self) -> None:
        asked = time.monotonic()
        form = {
            "grant_type": GRANT_TYPE,
            "assertion": self._account.assertion(int(time.time())),
        }
        try:
            answer = await post(self._client, self._account.token_uri, headers={}, data=form)
        except (NotSent, NoAnswer) as error:
            raise NotReady(f"no access token: {error}") from None
        value, seconds = answer.body.get("access_token"), answer.body.get("expires_in")
        if answer.status != 200 or not isinstance(value, str) or not isinstance(seconds, int):
            # RFC 6749, 5.2: one of a few words.
            said = answer.body.get("error")
            word = f" {said}" if isinstance(said, str) and said.isidentifier() else ""
            raise NotReady(f"no access token: {answer.status}{word}", answer.retry_after_seconds)
        self._value = value
        self._renew_at = asked + max(seconds - RENEW_BEFORE_SECONDS, seconds / 2)

    async def close(self) -> None:
        """Ends its connections."""
        await self._client.aclose()
