"""The example's bot, imported from its folder, at a Discord of stubs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "discord-bot"))

from tallygraph_bot.api import Tallygraph
from tallygraph_bot.commands import Commands
from tallygraph_bot.gateway import Guild, Member
from tallygraph_bot.journal import Journal
from tallygraph_bot.service import Service
from tallygraph_bot.shops import Shops

from tests.fakes.discord_gateway import StubGateway


async def no_wait(_seconds: float) -> None:
    """Tries again at once."""


@dataclass
class RunningBot:
    """A bot with a stub in the place of Discord, and how long it has waited."""

    url: str
    key: str
    folder: Path
    gateway: StubGateway = field(default_factory=StubGateway)
    waited: list[float] = field(default_factory=list)
    sleep: Callable[[float], Awaitable[None]] | None = None
    elsewhere: str = "http://127.0.0.1:9"

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As when its process starts: nothing is known but what its journal holds."""
        sleep = self.sleep or self._noted
        self.api = Tallygraph(self.url, self.key, sleep)
        self.journal = Journal(self.folder / "bot.sqlite3")
        self.shops = Shops(self.elsewhere, self.elsewhere, self.elsewhere, sleep)
        self.service = Service(self.api, self.journal, self.gateway, self.shops, sleep)
        self.commands = Commands(self.service)

    async def _noted(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def stop(self) -> None:
        await self.shops.close()
        self.journal.close()
        await self.api.close()

    async def restart(self) -> None:
        await self.stop()
        self.start()

    async def join(self, guild_id: str, owner_id: str) -> None:
        await self.service.joined([Guild(guild_id, "A server", None, owner_id, 3)])

    async def run(self, name: str, member: Member, /, **given: Any) -> str:
        return await self.commands.run(name, member, **given)
