"""Who owns a group at Roblox: whoever can write a phrase into its description."""

from __future__ import annotations

import orjson

from db.core.errors import DomainError, ErrorCode
from db.core.http_calls import CallFailed, call
from settings import Settings

CALL_SECONDS = 10.0
MOST_BYTES = 262_144
OK, BAD_REQUEST, NOT_FOUND = 200, 400, 404
_MISSING = DomainError(
    ErrorCode.PROVIDER_REFUSED, "Roblox knows no such group; look at its number.", ("input", "id")
)


async def require_phrase(settings: Settings, group_id: int, phrase: str) -> None:
    """Refuses unless a group's description holds a phrase, as Roblox tells it now."""
    url = f"{settings.roblox_api_url}/v1/groups/{group_id}"
    try:
        status, body = await call(
            "GET", url, headers={}, seconds=CALL_SECONDS, most_bytes=MOST_BYTES
        )
    except CallFailed:
        raise _failed() from None
    if status in {BAD_REQUEST, NOT_FOUND}:
        raise _MISSING
    if status != OK:
        raise _failed()
    try:
        told = orjson.loads(body)
        description = told["description"] or ""
        if str(told["id"]) != str(group_id) or not isinstance(description, str):
            raise _failed()
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise _failed() from None
    if phrase not in description:
        raise DomainError(
            ErrorCode.PROVIDER_REFUSED,
            "The group's description does not hold the phrase yet. Write `proofPhrase` into it, "
            "save, wait a minute, and prove it again.",
            ("input", "id"),
        )


def _failed() -> DomainError:
    return DomainError(
        ErrorCode.PROVIDER_FAILED, "Roblox did not answer as it should; try again in a minute."
    )
