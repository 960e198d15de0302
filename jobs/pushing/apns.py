"""Apple Push Notification service: iPhones and iPads, over HTTP/2 with a provider token.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from db.push.tables import PushProvider
from jobs.pushing.base import PushAnswer, PushMessage, PushOutcome, PushText
from jobs.pushing.http import HttpAnswer, NoAnswer, NotSent, open_client, post
from jobs.pushing.payloads import fitted
from settings import SettingsError

# Apple refuses tokens that are older than an hour, and new ones within 20 minutes.
RENEW_SECONDS = 2400.0
SHORTEST_LIFE_SECONDS = 1200.0
DOWN_RETRY_SECONDS = 10.0
TOO_MANY_RETRY_SECONDS = 60.0
# Until somebody has mended a key, or may make another provider token.
UNAUTHORIZED_RETRY_SECONDS = 600.0

_REASON = re.compile(r"[A-Za-z]{1,60}")
_DEAD = frozenset({"BadDeviceToken", "Unregistered", "ExpiredToken"})


@dataclass(frozen=True)
class ApnsKey:
    """The key of a team that signs provider tokens."""

    team_id: str
    key_id: str
    private_key: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def of(cls, team_id: str, key_id: str, pem: str) -> Self:
        """A key as Apple's file .p8 has it; SettingsError, without its text, for what is none."""
        try:
            # Variables have their line breaks written as \n.
            key = load_pem_private_key(pem.replace("\\n", "\n").encode(), None)
            if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
                raise ValueError
        except (ValueError, TypeError):
            raise SettingsError(
                "APNS_PRIVATE_KEY: write the text of the file .p8 that Apple gives with a key"
            ) from None
        return cls(team_id, key_id, key)


class ProviderToken:
    """The token that Apple knows a team by, made anew every 40 minutes."""

    def __init__(self, key: ApnsKey) -> None:
        self._key = key
        self._value = ""
        self._made_at = 0.0

    def get(self) -> str:
        """The token."""
        if not self._value or time.monotonic() - self._made_at >= RENEW_SECONDS:
            claims = {"iss": self._key.team_id, "iat": int(time.time())}
            self._value = jwt.encode(
                claims, self._key.private_key, algorithm="ES256", headers={"kid": self._key.key_id}
            )
            self._made_at = time.monotonic()
        return self._value

    def forget(self, value: str) -> bool:
        """The token was refused as too old; whether there may be another one already."""
        if value == self._value and time.monotonic() - self._made_at < SHORTEST_LIFE_SECONDS:
            return False
        if value == self._value:
            self._value = ""
        return True


class ApnsGateway:
    """The devices that have one app of a team's."""

    provider = PushProvider.APNS

    def __init__(self, url: str, topic: str, key: ApnsKey) -> None:
        self._client = open_client(url, http1=False)
        self._topic = topic
        self._provider_token = ProviderToken(key)

    async def prepare(self) -> None:
        """Nothing: the provider token is made here."""

    async def send(self, token: str, message: PushMessage) -> PushAnswer:
        """Hands a message over; with a provider token that was too old, a second time."""
        content = orjson.dumps(fitted(message, payload))
        answer, value = await self._post(token, message, content)
        if isinstance(answer, HttpAnswer) and _reason(answer) == "ExpiredProviderToken":
            if not self._provider_token.forget(value):
                return read_answer(answer)
            answer, _ = await self._post(token, message, content)
        return answer if isinstance(answer, PushAnswer) else read_answer(answer)

    async def _post(
        self, token: str, message: PushMessage, content: bytes
    ) -> tuple[HttpAnswer | PushAnswer, str]:
        value = self._provider_token.get()
        headers = {"authorization": f"bearer {value}", **self._headers(message)}
        try:
            path = f"/3/device/{token}"
            return await post(self._client, path, headers=headers, content=content), value
        except NotSent as error:
            reason = str(error)
            down = PushAnswer(PushOutcome.NOT_TAKEN, reason, DOWN_RETRY_SECONDS, is_down=True)
            return down, value
        except NoAnswer as error:
            return PushAnswer(PushOutcome.UNCERTAIN, str(error), is_down=True), value

    def _headers(self, message: PushMessage) -> Mapping[str, str]:
        return {
            "content-type": "application/json",
            "apns-id": str(message.id),
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            "apns-priority": "10" if message.is_urgent else "5",
            "apns-expiration": str(int(message.expires_at.timestamp())),
            "apns-collapse-id": str(message.notification_id),
        }

    async def close(self) -> None:
        """Ends its connections."""
        await self._client.aclose()


def payload(message: PushMessage) -> dict[str, Any]:
    """What a device gets: Apple's part, and the app's own beside it."""
    alert = {**_line("title", message.title), **_line("body", message.body)}
    aps = {
        "alert": alert,
        "badge": message.badge,
        "sound": "default",
        "thread-id": message.topic,
    }
    return {"aps": aps, **message.data, **message.extra}


def _line(name: str, line: PushText) -> dict[str, Any]:
    """Where the app has no text for a key either, it shows the key."""
    if line.key is None or not line.text:
        return {name: line.text}
    prefix = "title-loc" if name == "title" else "loc"
    return {
        name: line.text,
        f"{prefix}-key": line.key,
        f"{prefix}-args": list(line.arguments),
    }


def read_answer(answer: HttpAnswer) -> PushAnswer:
    """What an answer says of the message.

    https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns.
    What may be the deployment's own fault, a topic or a key, ends no token.
    """
    status, why, wait = answer.status, _reason(answer), answer.retry_after_seconds
    reason = f"{status} {why}".strip()
    if status == 200:
        return PushAnswer(PushOutcome.TAKEN)
    if why in _DEAD:
        return PushAnswer(PushOutcome.TOKEN_DEAD, reason, dead_since=_dead_since(answer))
    if why == "TooManyRequests":  # to this one device
        return PushAnswer(PushOutcome.NOT_TAKEN, reason, wait or TOO_MANY_RETRY_SECONDS)
    if status in (408, 502, 504):  # said by who stands between: nobody knows
        return PushAnswer(PushOutcome.UNCERTAIN, reason)
    if status >= 500:
        return PushAnswer(PushOutcome.NOT_TAKEN, reason, wait or DOWN_RETRY_SECONDS, is_down=True)
    if status in (401, 403, 429) or 300 <= status < 400:
        return PushAnswer(
            PushOutcome.NOT_TAKEN, reason, wait or UNAUTHORIZED_RETRY_SECONDS, is_down=True
        )
    return PushAnswer(PushOutcome.REFUSED, reason)


def _reason(answer: HttpAnswer) -> str:
    given = answer.body.get("reason")
    return given if isinstance(given, str) and _REASON.fullmatch(given) else ""


def _dead_since(answer: HttpAnswer) -> datetime | None:
    """When Apple learned that the token is no good: milliseconds, beside status 410."""
    given = answer.body.get("timestamp")
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        return datetime.fromtimestamp(given / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
