"""What a bot does at Discord, noted in the place of doing it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class StubGateway:
    """Who has which roles, and what was written to whom."""

    roles: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    # Whether Discord takes nothing now.
    is_away: bool = False

    async def give_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        self._require_there()
        found = self.roles.setdefault((guild_id, member_id), [])
        if role_id not in found:
            found.append(role_id)
        self.changed.set()

    async def take_role(self, guild_id: str, member_id: str, role_id: str) -> None:
        self._require_there()
        found = self.roles.setdefault((guild_id, member_id), [])
        if role_id in found:
            found.remove(role_id)
        self.changed.set()

    async def tell(self, member_id: str, text: str) -> None:
        self._require_there()
        self.told.append((member_id, text))

    def _require_there(self) -> None:
        if self.is_away:
            from tallygraph_bot.api import Away

            raise Away("Discord does not answer")

    def has(self, guild_id: str, member_id: str, role_id: str) -> bool:
        return role_id in self.roles.get((guild_id, member_id), [])
