"""Whether this process has all keys that values are sealed with, while another is brought in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, Self

import structlog

from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.vault.sealing import HasSettings, Vault

# `rotate()` waits for as long before it seals a first value by a key.
KEYS_KNOWN_SECONDS = 1.0
READ_SECONDS = 5.0
_IN_USE = "select head from public.vault_keys where retired_at is null"

log = structlog.get_logger("tallygraph.vault")


class KeysMissing(DomainError):
    """Something can't be looked up here, since this process lacks a key in use; another may."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.SERVICE_UNAVAILABLE,
            "This server is being given another key and cannot look that up. Try again in a"
            " moment.",
        )


class HasDatabase(HasSettings, Protocol):
    """What tells a process of the keys in use."""

    @property
    def database(self) -> Database: ...


class VaultKeys:
    """Tells whether a key in use is missing here, as of a second ago at most.

    A process without it opens nothing that the key has sealed, and finds nothing by its blind
    index: it must not say that there is no such licence.
    """

    def __init__(
        self, database: Database, vault: Vault, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._read_at = -KEYS_KNOWN_SECONDS
        self._missing = 0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, services: HasDatabase) -> Self:
        """Those of a process."""
        return cls(services.database, Vault.of(services))

    async def missing(self) -> int:
        """How many keys in use this process does not have."""
        not_before = self._clock() - KEYS_KNOWN_SECONDS
        if self._read_at <= not_before + KEYS_KNOWN_SECONDS / 2:
            # One read for all who ask, and begun before anybody has to wait for it.
            self._begin()
        while self._read_at <= not_before:
            # Who leaves takes it from nobody else.
            await asyncio.shield(self._begin())
        return self._missing

    def _begin(self) -> asyncio.Task[None]:
        """The read that is under way, or a new one."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_failed_unheard)
        return self._reading

    async def _read(self) -> None:
        asked_at = self._clock()
        missing = await missing_keys(self._database, self._vault)
        if missing and not self._missing:
            log.error("vault_keys_missing", keys=missing, advice=MISSING)
        self._missing, self._read_at = missing, asked_at

    async def refuse_missing(self) -> None:
        """SERVICE_UNAVAILABLE where what is not found may be sealed by a key that is not here."""
        if await self.missing():
            raise KeysMissing


def _failed_unheard(reading: asyncio.Task[None]) -> None:
    """Whoever waits is told; a read that nobody waits for is made again by the next who asks."""
    if not reading.cancelled():
        reading.exception()


MISSING = "put every key in use into VAULT_MASTER_KEY, and start this process again"


async def missing_keys(database: Database, vault: Vault) -> int:
    """How many of the keys in use a vault lacks."""
    async with database.pools[SERVICE.role].connection() as connection:
        heads = [row["head"] for row in await connection.fetch_rows(_IN_USE, (), READ_SECONDS)]
    # Making a key's id takes a while, the first time.
    return await asyncio.to_thread(
        lambda: sum(not vault.has_key(bytes.fromhex(head)) for head in heads)
    )
