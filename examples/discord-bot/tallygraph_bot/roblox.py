"""Roblox: who somebody is there, and letting them into a group that they asked to join.

Sources: https://create.roblox.com/docs/cloud/reference/features/groups and the users API, v1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .api import Refused
from .outside import Outside

RETRIES, A_MINUTE = 3, 100
NOT_THERE = frozenset({400, 404})
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_NAME = re.compile(r"(?=.{3,20}$)[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*", re.ASCII)


@dataclass(frozen=True)
class RobloxUser:
    """Somebody, by their number and their name."""

    id: str
    name: str


class Roblox:
    """People, whom anybody may look up, and groups, by the key of an owner's."""

    def __init__(self, users: Outside, groups: Outside) -> None:
        self._users, self._groups = users, groups

    async def find(self, written: str) -> RobloxUser:
        """Who has a number or a name; refuses what nobody has."""
        found: Any = None
        if _NUMBER.fullmatch(written):
            answer = await self._users.ask("GET", f"/v1/users/{written}")
            found = _told(answer) if answer.status_code not in NOT_THERE else None
        elif _NAME.fullmatch(written):
            asked = {"usernames": [written], "excludeBannedUsers": True}
            answer = await self._users.ask("POST", "/v1/usernames/users", json=asked)
            found = next(iter(_listed(answer, "data")), None)
        if found is None:
            raise Refused("USER_NOT_FOUND", "There is nobody of that name or number at Roblox.")
        return _user_of(found)

    async def require_asking(self, key: str, group_id: str, user: RobloxUser) -> None:
        """Refuses somebody who is in a group already, or has not asked to join it."""
        if await self._is_in("memberships", key, group_id, user.id):
            raise Refused("ALREADY_MEMBER", f"{user.name} is in the group already.")
        if not await self._is_in("join-requests", key, group_id, user.id):
            raise Refused(
                "NO_PENDING_REQUEST", f"Ask to join the group as {user.name} first, then try again."
            )

    async def admit(self, key: str, group_id: str, user_id: str) -> None:
        """Lets somebody into a group; who is in it stays."""
        path = f"/cloud/v2/groups/{group_id}/join-requests/{user_id}:accept"
        answer = await self._groups.ask("POST", path, {"x-api-key": key}, json={})
        if answer.is_success or await self._is_in("memberships", key, group_id, user_id):
            return
        raise Refused("ACCEPT_FAILED", "The group did not let you in. Ask to join it once more.")

    async def _is_in(self, what: str, key: str, group_id: str, user_id: str) -> bool:
        asked = {"maxPageSize": "1", "filter": f"user == 'users/{user_id}'"}
        path = f"/cloud/v2/groups/{group_id}/{what}"
        answer = await self._groups.ask("GET", path, {"x-api-key": key}, params=asked)
        name = "groupMemberships" if what == "memberships" else "groupJoinRequests"
        return bool(_listed(answer, name))


def _user_of(found: Any) -> RobloxUser:
    number, name = (found.get("id"), found.get("name")) if _is_object(found) else (None, None)
    if not _NUMBER.fullmatch(str(number)) or not isinstance(name, str) or not name.isprintable():
        raise _unsound()
    return RobloxUser(str(number), name)


def _told(answer: Any) -> dict[str, Any]:
    """The object of an answer; what is none is refused, whatever it is."""
    try:
        found = answer.json() if answer.is_success else None
    except (ValueError, RecursionError):
        found = None
    if not _is_object(found):
        raise _unsound()
    told: dict[str, Any] = found
    return told


def _listed(answer: Any, name: str) -> list[Any]:
    """A list in an answer; Roblox leaves out one that is empty."""
    found = _told(answer).get(name, [])
    if not isinstance(found, list):
        raise _unsound()
    return found


def _is_object(found: Any) -> bool:
    return isinstance(found, dict)


def _unsound() -> Refused:
    return Refused("API_ERROR", "Roblox does not answer as it should. Tell this server's owner.")
