"""Firebase Cloud Messaging, HTTP v1: Android, browsers, and iPhones whose apps use Firebase.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from db.core.service_account import ServiceAccount
from db.push.tables import DevicePlatform, PushProvider
from jobs.pushing.base import PushAnswer, PushMessage, PushOutcome, PushText
from jobs.pushing.http import HttpAnswer, NoAnswer, NotSent, open_client, post
from jobs.pushing.payloads import fitted
from jobs.pushing.service_account import AccessToken

# https://firebase.google.com/docs/cloud-messaging/scale-fcm: a minute after 429, ten seconds else.
QUOTA_RETRY_SECONDS = 60.0
DOWN_RETRY_SECONDS = 10.0
# Until somebody has mended what the project lacks.
UNAUTHORIZED_RETRY_SECONDS = 600.0

_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_WORD = re.compile(r"[A-Z_]{1,40}")
# What the name of a string in an app for Android may have.
_RESOURCE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class FcmGateway:
    """The devices that one Firebase project reaches."""

    provider = PushProvider.FCM

    def __init__(self, url: str, project_id: str, account: ServiceAccount) -> None:
        self._client = open_client(url, http1=True)
        self._path = f"/v1/projects/{project_id}/messages:send"
        self._access_token = AccessToken(account)

    async def prepare(self) -> None:
        """An access token that works for some minutes."""
        await self._access_token.get()

    async def send(self, token: str, message: PushMessage) -> PushAnswer:
        """Hands a message over; with an access token that was refused, a second time."""
        content = orjson.dumps({"message": {"token": token, **fitted(message, payload)}})
        answer = await self._post(content)
        if isinstance(answer, HttpAnswer) and answer.status == 401 and not _error_code(answer):
            answer = await self._post(content)
        return answer if isinstance(answer, PushAnswer) else read_answer(answer)

    async def _post(self, content: bytes) -> HttpAnswer | PushAnswer:
        access_token = await self._access_token.get()
        headers = {
            "authorization": f"Bearer {access_token}",
            "content-type": "application/json",
        }
        try:
            answer = await post(self._client, self._path, headers=headers, content=content)
        except NotSent as error:
            return PushAnswer(PushOutcome.NOT_TAKEN, str(error), DOWN_RETRY_SECONDS, is_down=True)
        except NoAnswer as error:
            return PushAnswer(PushOutcome.UNCERTAIN, str(error), is_down=True)
        if answer.status == 401:
            self._access_token.forget(access_token)
        return answer

    async def close(self) -> None:
        """Ends its connections."""
        await self._client.aclose()
        await self._access_token.close()


def payload(message: PushMessage) -> dict[str, Any]:
    """A message without its token: what every platform shows, and what is its own."""
    seconds = max(int((message.expires_at - datetime.now(UTC)).total_seconds()), 0)
    made: dict[str, Any] = {
        "notification": {"title": message.title.text, "body": message.body.text},
        "data": {**message.data, **message.extra},
    }
    if message.platform is DevicePlatform.ANDROID:
        made["android"] = _android(message, seconds)
        for name in ("title", "body"):
            # The text wins over the key, so it must not be there beside it.
            if f"{name}_loc_key" in made["android"]["notification"]:
                del made["notification"][name]
    elif message.platform is DevicePlatform.IOS:
        made["apns"] = _apns(message)
    else:
        made["webpush"] = _web(message, seconds)
    return made


def _android(message: PushMessage, seconds: int) -> dict[str, Any]:
    """No collapse key: FCM keeps but four of them for a device; the tag replaces a copy."""
    shown: dict[str, Any] = {
        "tag": str(message.notification_id),
        "notification_count": message.badge,
    }
    lines: tuple[tuple[str, PushText], ...] = (("title", message.title), ("body", message.body))
    for name, line in lines:
        if line.key is not None and _RESOURCE.fullmatch(line.key):
            shown[f"{name}_loc_key"] = line.key.replace(".", "_")
            shown[f"{name}_loc_args"] = list(line.arguments)
    return {
        "priority": "HIGH" if message.is_urgent else "NORMAL",
        "ttl": f"{seconds}s",
        "notification": shown,
    }


def _apns(message: PushMessage) -> dict[str, Any]:
    return {
        "headers": {
            "apns-collapse-id": str(message.notification_id),
            "apns-expiration": str(int(message.expires_at.timestamp())),
            "apns-priority": "10" if message.is_urgent else "5",
        },
        "payload": {
            "aps": {"badge": message.badge, "sound": "default", "thread-id": message.topic}
        },
    }


def _web(message: PushMessage, seconds: int) -> dict[str, Any]:
    """RFC 8030, 5.2 to 5.4: a topic has at most 32 characters."""
    return {
        "headers": {
            "TTL": str(seconds),
            "Urgency": "high" if message.is_urgent else "normal",
            "Topic": message.notification_id.hex,
        },
        "notification": {"tag": str(message.notification_id)},
    }


def read_answer(answer: HttpAnswer) -> PushAnswer:
    """What an answer says of the message.

    https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. What may be the project's own
    fault ends no token.
    """
    status, code, wait = answer.status, _error_code(answer), answer.retry_after_seconds
    reason = f"{status} {code or _word(_error(answer).get('status'))}".strip()
    if status == 200:
        return PushAnswer(PushOutcome.TAKEN)
    if code == "UNREGISTERED" or (code == "INVALID_ARGUMENT" and _names_token(answer)):
        return PushAnswer(PushOutcome.TOKEN_DEAD, reason)
    if code == "THIRD_PARTY_AUTH_ERROR":  # Apple or the browser's service knows not this project
        return PushAnswer(PushOutcome.NOT_TAKEN, reason, wait or UNAUTHORIZED_RETRY_SECONDS)
    if status == 429:
        return PushAnswer(PushOutcome.NOT_TAKEN, reason, wait or QUOTA_RETRY_SECONDS)
    if status in (408, 502, 504):  # said by who stands between: nobody knows
        return PushAnswer(PushOutcome.UNCERTAIN, reason)
    if status >= 500:
        return PushAnswer(PushOutcome.NOT_TAKEN, reason, wait or DOWN_RETRY_SECONDS, is_down=True)
    if (status in (401, 403, 404) and not code) or 300 <= status < 400:
        return PushAnswer(
            PushOutcome.NOT_TAKEN, reason, wait or UNAUTHORIZED_RETRY_SECONDS, is_down=True
        )
    return PushAnswer(PushOutcome.REFUSED, reason)


def _error(answer: HttpAnswer) -> dict[str, Any]:
    error = answer.body.get("error")
    return error if isinstance(error, dict) else {}


def _details(answer: HttpAnswer) -> list[dict[str, Any]]:
    details = _error(answer).get("details")
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []


def _error_code(answer: HttpAnswer) -> str:
    """FCM's own code, which is more exact than the status beside it."""
    codes = (
        _word(one.get("errorCode")) for one in _details(answer) if one.get("@type") == _ERROR_TYPE
    )
    return next(codes, "")


def _names_token(answer: HttpAnswer) -> bool:
    """Whether it is the token that is no valid argument."""
    violations = [v for one in _details(answer) for v in one.get("fieldViolations") or ()]
    named = any(isinstance(v, dict) and v.get("field") == "message.token" for v in violations)
    return named or "registration token" in str(_error(answer).get("message", ""))


def _word(given: object) -> str:
    return given if isinstance(given, str) and _WORD.fullmatch(given) else ""
