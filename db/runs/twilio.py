"""What Twilio tells of calls: whether a callback is Twilio's, and what its words mean here.

https://www.twilio.com/docs/usage/security#validating-requests
https://www.twilio.com/docs/voice/api/call-resource#statuscallback
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import TYPE_CHECKING
from uuid import UUID

from db.runs.reports import CallReport
from db.runs.tables import RunStatus

if TYPE_CHECKING:
    from settings import Settings

SIGNATURE_HEADER = "x-twilio-signature"

_STATUSES = {
    "ringing": RunStatus.RINGING,
    "answered": RunStatus.IN_PROGRESS,
    "in-progress": RunStatus.IN_PROGRESS,
    "completed": RunStatus.COMPLETED,
    "busy": RunStatus.BUSY,
    "no-answer": RunStatus.NO_ANSWER,
    "failed": RunStatus.FAILED,
    "canceled": RunStatus.CANCELLED,
}
_FAILED = "The call could not be connected."


def callback_url(settings: Settings, run_id: UUID) -> str:
    """Where Twilio tells how a run's call goes on; its signature covers this text."""
    return f"{settings.base_url}/telephony/twilio/{run_id}"


def signature(auth_token: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """The signature of a form that Twilio sends to a URL: HMAC-SHA1 over both, in base64."""
    signed = url + "".join(name + value for name, value in sorted(set(parameters)))
    digest = hmac.digest(auth_token.encode(), signed.encode("utf-8", "surrogateescape"), sha1)
    return base64.b64encode(digest).decode()


def is_genuine(
    auth_token: str, url: str, parameters: Iterable[tuple[str, str]], given: str
) -> bool:
    """Whether a form comes from whoever has the token; an empty signature never does."""
    expected = signature(auth_token, url, parameters)
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))


def report_of(told: Mapping[str, object]) -> CallReport | None:
    """What a call's `status` and the rest mean; None for what says nothing of how it goes on."""
    status = _STATUSES.get(str(told.get("status")))
    if status is None:
        return None
    by_machine = str(told.get("answered_by")).startswith(("machine", "fax"))
    if status is RunStatus.COMPLETED and by_machine:
        status = RunStatus.VOICEMAIL
    duration = str(told.get("duration") or "")
    seconds = int(duration) if duration.isascii() and duration.isdigit() else 0
    reason = _FAILED if status is RunStatus.FAILED else None
    return CallReport(status, min(seconds, 86_400), reason)


def told_by_form(form: Mapping[str, str]) -> dict[str, object]:
    """A callback's fields by the names that the API has for them."""
    return {
        "status": form.get("CallStatus"),
        "duration": form.get("CallDuration"),
        "answered_by": form.get("AnsweredBy"),
    }
