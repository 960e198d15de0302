"""Who owns or administers a server at Discord, as the bot whose token this server has sees it."""

from __future__ import annotations

from typing import Any

import orjson

from db.core.errors import DomainError, ErrorCode, not_found
from db.core.http_calls import CallFailed, call
from db.discord.rules import may_administer
from settings import Settings

CALL_SECONDS = 10.0
MOST_BYTES = 1_048_576
OK, FORBIDDEN, NOT_FOUND = 200, 403, 404


async def administers(settings: Settings, guild_id: str, discord_id: str) -> bool:
    """Whether somebody at Discord owns or administers a server.

    NOT_FOUND for a server that the bot is not in, as for one that there is none of.
    """
    if not settings.discord_token.get_secret_value():
        raise DomainError(
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            "No bot is set up here to ask. Have an administrator enter a link code to the bot.",
        )
    guild = await _asked(settings, f"/guilds/{guild_id}")
    if guild is None:
        raise not_found("Discord server", ("input", "guildId"))
    member = await _asked(settings, f"/guilds/{guild_id}/members/{discord_id}")
    if member is None:
        return False
    roles = member.get("roles")
    own = [str(one) for one in roles] if isinstance(roles, list) else []
    owner_id = str(guild.get("owner_id"))
    return may_administer(discord_id, owner_id, guild_id, own, guild.get("roles"))


async def _asked(settings: Settings, path: str) -> dict[str, Any] | None:
    """What Discord answers; None for what there is none of, or what the bot may not see."""
    url = f"{settings.discord_api_url}{path}"
    headers = {"authorization": f"Bot {settings.discord_token.get_secret_value()}"}
    try:
        status, body = await call(
            "GET", url, headers=headers, seconds=CALL_SECONDS, most_bytes=MOST_BYTES
        )
    except CallFailed:
        raise _failed() from None
    if status in {FORBIDDEN, NOT_FOUND}:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _failed() from None
    if status != OK or not isinstance(told, dict):
        raise _failed()
    return told


def _failed() -> DomainError:
    return DomainError(
        ErrorCode.PROVIDER_FAILED, "Discord did not answer as it should; try again in a minute."
    )
