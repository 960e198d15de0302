"""Rotating the vault: how fast licences are sealed by another key, and what their readers notice.

Users read their licences, each with its key, at a fixed pace: first alone, then while everything is
sealed anew by a process of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from statistics import median
from time import perf_counter

import orjson

from bench.data import Person
from bench.deployment import Server, on_core, python, running, start_tallygraph
from bench.licence_data import Licences
from bench.load import request_bytes
from bench.processes import Postgres
from bench.webhooks import Connections, at_a_pace

RATE_GOAL, READS_GOAL = 20_000.0, 0.9
READERS = 1_000
READ = "{ viewer { licences(first: 20) { nodes { id status key } } } }"
WARM_SECONDS = 2.0


@dataclass
class Rotation:
    """What a rotation took, and milliseconds of reads without it and meanwhile."""

    rows: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    database: float = 0.0
    alone: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Values a second."""
        return self.rows / self.seconds

    @property
    def unharmed(self) -> float:
        """How much of their speed reads keep."""
        return median(self.alone) / median(self.meanwhile)


class Readers:
    """Users who read their licences at a pace."""

    def __init__(self, port: int, people: list[Person], pace: float) -> None:
        self._port, self._people, self._pace = port, people, pace

    async def read(self, seconds: float) -> list[float]:
        """Milliseconds of each."""
        async with Connections(self._port).open() as connections:
            done = await at_a_pace(connections, self._requests(), self._pace, seconds)
        return sorted(milliseconds for _, milliseconds in done)

    async def read_until(self, ended: Callable[[], bool], at_most: float) -> list[float]:
        """The same, a second at a time, until something has ended."""
        taken: list[float] = []
        stops_at = perf_counter() + at_most
        while not ended() and perf_counter() < stops_at:
            taken += await self.read(1.0)
        return sorted(taken)

    def _requests(self) -> Iterator[Callable[[], bytes]]:
        body = orjson.dumps({"query": READ})
        for person in cycle(self._people):
            yield partial(request_bytes, self._port, person.token, body)


async def measure_rotation(
    licences: Licences, postgres: Postgres, *, count: int, pace: float, seconds: float
) -> Rotation:
    """Has everything sealed anew twice: alone, and while users read."""
    environment = licences.environment
    people = await licences.people(min(READERS, count))
    await licences.make(count, people)
    old = environment.settings.secret("vault-master-key")
    first, second = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    rotation = Rotation()
    rotated = environment.folder / "rotated.json"

    def rotating(*keys: str) -> AbstractContextManager[Server]:
        rotated.unlink(missing_ok=True)
        command = python("bench.rotating", environment.owner_url, str(rotated))
        return running(
            "rotating",
            0,
            command,
            environment.folder,
            VAULT_MASTER_KEY=",".join(keys),
            DATA_DIRECTORY=str(environment.settings.data_directory),
        )

    before = postgres.cpu_seconds()
    with rotating(first, old) as process:
        await asyncio.to_thread(process.process.wait)
    told = orjson.loads(rotated.read_bytes())
    rotation.rows, rotation.seconds = told["rows"], told["seconds"]
    rotation.processor = told["processor"]
    rotation.database = postgres.cpu_seconds() - before
    keys = ",".join((first, old, second))
    with start_tallygraph(environment, VAULT_MASTER_KEY=keys) as server, on_core(-1):
        readers = Readers(server.port, people, pace)
        await readers.read(min(WARM_SECONDS, seconds))
        rotation.alone = await readers.read(seconds)
        with rotating(second, first, old) as process:
            ended = process.process.poll
            rotation.meanwhile = await readers.read_until(lambda: ended() is not None, seconds)
    return rotation
