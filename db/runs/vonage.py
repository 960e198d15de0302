"""What Vonage tells of calls: whether an event is Vonage's, and what its words mean here.

https://developer.vonage.com/en/getting-started/concepts/webhooks#validating-signed-webhooks
https://developer.vonage.com/en/voice/voice-api/webhook-reference#event-webhook
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

import jwt

from db.runs.reports import CallReport
from db.runs.tables import RunStatus

if TYPE_CHECKING:
    from settings import Settings

# An event is as old at most; Vonage tries again for a day, and signs each try anew.
SIGNED_WITHIN_SECONDS = 300.0

_STATUSES = {
    "ringing": RunStatus.RINGING,
    "answered": RunStatus.IN_PROGRESS,
    "human": RunStatus.IN_PROGRESS,
    # The call is hung up then.
    "machine": RunStatus.VOICEMAIL,
    "completed": RunStatus.COMPLETED,
    "busy": RunStatus.BUSY,
    "rejected": RunStatus.BUSY,
    "timeout": RunStatus.NO_ANSWER,
    "unanswered": RunStatus.NO_ANSWER,
    "failed": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELLED,
}
_FAILED = "The call could not be connected."


def event_url(settings: Settings, run_id: UUID) -> str:
    """Where Vonage tells how a run's call goes on."""
    return f"{settings.base_url}/telephony/vonage/{run_id}"


def is_genuine(secret: str, authorization: str, body: bytes, now: float | None = None) -> bool:
    """Whether a body comes from whoever has the signature secret, just now.

    The token is signed with the secret and names the SHA-256 of the body.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return False
    try:
        # The time is compared below, by a clock that tests can set.
        claims = jwt.decode(
            token, secret, algorithms=["HS256"], options={"verify_iat": False, "require": ["iat"]}
        )
        issued_at, signed = float(claims["iat"]), str(claims["payload_hash"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return False
    age_seconds = abs((time.time() if now is None else now) - issued_at)
    is_whole = hmac.compare_digest(sha256(body).hexdigest().encode(), signed.lower().encode())
    return is_whole and age_seconds <= SIGNED_WITHIN_SECONDS


def report_of(told: Mapping[str, object]) -> CallReport | None:
    """What a call's `status` and `duration` mean; None for what says nothing of how it goes on."""
    status = _STATUSES.get(str(told.get("status")))
    if status is None:
        return None
    duration = str(told.get("duration") or "")
    seconds = int(duration) if duration.isascii() and duration.isdigit() else 0
    reason = _FAILED if status is RunStatus.FAILED else None
    return CallReport(status, min(seconds, 86_400), reason)
