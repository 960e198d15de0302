"""How the switches stand, known in every process within seconds, and what that refuses."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

import structlog

from auth.services import AccountServices
from db.accounts.administration import is_admin
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.switches.operations import SwitchState, read_switches
from graph.shared.context import Context

LOOK_EVERY_SECONDS = 2.0
LOOK_TIMEOUT_SECONDS = 2.0

log = structlog.get_logger(__name__)


class SwitchWatch:
    """Reads the switches every two seconds; what cannot be read is as it was."""

    def __init__(
        self, database: Database, *, look_every_seconds: float = LOOK_EVERY_SECONDS
    ) -> None:
        self.state = SwitchState()
        self._database = database
        self._look_every_seconds = look_every_seconds
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """That of a process."""
        return cls(services.database)

    async def start(self) -> None:
        """Begin watching; how the switches stand is known on return, if the database is there."""
        await self._try_to_look()
        self._task = asyncio.create_task(self._watch(), name="switch-watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> None:
        """Read them now."""
        found = await read_switches(self._database)
        if found != self.state:
            log.warning("switches.changed", **{n: getattr(found, n) for n in found.__slots__})
            self.state = found

    async def admit(self, actor: Actor) -> None:
        """Refuses a change while the product is only to be read, unless an admin makes it."""
        if self.state.read_only and not await is_admin(self._database, actor):
            raise read_only()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_seconds)
            await self._try_to_look()

    async def _try_to_look(self) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                await self.look()
        except Exception as error:
            log.warning("switches.not_read", error=type(error).__name__)


def require_sync(context: Context) -> None:
    """Refuses what needs the server's copy while it is switched off: clients stay local."""
    if not context.services.of(SwitchWatch.of).state.sync_enabled:
        raise DomainError(
            ErrorCode.SYNC_DISABLED,
            "Synchronizing is switched off at the moment. Keep the changes on the device, and send "
            "them when `switches` says so.",
        )


def require_ai(context: Context) -> None:
    """Refuses what asks an AI while that is switched off."""
    if not context.services.of(SwitchWatch.of).state.ai_enabled:
        raise DomainError(
            ErrorCode.AI_DISABLED,
            "What an AI makes is switched off at the moment. Nothing was charged; try again when "
            "`switches` says so.",
        )


def read_only() -> DomainError:
    """The refusal of a change while the product is only to be read."""
    return DomainError(
        ErrorCode.READ_ONLY,
        "Maintenance: everything can be read, and nothing changed. Send this again when `switches` "
        "says so.",
    )
