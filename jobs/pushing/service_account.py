"""The access token for Firebase: a service account's assertion is exchanged for it."""

from __future__ import annotations

import asyncio
import time

from db.core.service_account import GRANT_TYPE, ServiceAccount
from jobs.pushing.base import NotReady
from jobs.pushing.http import NoAnswer, NotSent, open_client, post

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
RENEW_BEFORE_SECONDS = 300.0


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
            "assertion": self._account.assertion(SCOPE, int(time.time())),
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
