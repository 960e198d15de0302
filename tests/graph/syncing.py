"""A device that syncs profiles, for tests: it keeps what it changed until the server has it."""

from __future__ import annotations

from typing import Any

from db.core.actor import Actor
from tests.graph.conftest import Ask

SYNC = """mutation($input: SyncProfilesInput!) { syncProfiles(input: $input) {
  changes { id localId deleted name thumbnail thumbnailUrl analysis deviceId updatedAt }
  messages { id profileId clientId role status text createdAt }
  accepted { localId id clock }
  refused { localId id clock code message path }
  conflicts { id profileId localId clock fieldGroup loser value thumbnailUrl status }
  cursor hasMore clock errors { code message path } } }"""
# Long ago, so that no test's clock is ahead of the server's.
START_MILLISECONDS = 1_700_000_000_000


def at(seconds: float, counter: int = 0) -> str:
    """A clock so many seconds behind the start."""
    return f"{START_MILLISECONDS + int(seconds * 1000)}:{counter}"


class Device:
    """One device of a user's, and what it knows."""

    def __init__(self, ask: Ask, actor: Actor, device_id: str) -> None:
        self.ask, self.actor, self.device_id = ask, actor, device_id
        self.cursor: str | None = None

    async def send(self, *changes: dict[str, Any], **given: Any) -> dict[str, Any]:
        """What the server answers to these changes; the cursor stays where it was."""
        wanted = {"deviceId": self.device_id, "changes": list(changes), "since": self.cursor}
        answer = await self.ask(SYNC, {"input": wanted | given}, actor=self.actor)
        assert "errors" not in answer, answer
        payload: dict[str, Any] = answer["data"]["syncProfiles"]
        return payload

    async def sync(self, *changes: dict[str, Any], **given: Any) -> dict[str, Any]:
        """The same, and goes on from there."""
        payload = await self.send(*changes, **given)
        assert payload["errors"] == []
        self.cursor = payload["cursor"]
        return payload
