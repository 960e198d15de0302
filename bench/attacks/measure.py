"""One attack after another beside honest users; what the server and the users felt of each."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.attacks.attacker import attacker
from bench.attacks.attackers import ATTACKS, Gains, Target
from bench.attacks.honest import USERS, Seen, honest_users
from bench.deployment import (
    UNLIMITED,
    Environment,
    Server,
    free_port,
    on_core,
    open_environment,
    our_variables,
    python,
    running,
)
from bench.processes import Postgres, memory_mebibytes

SAMPLE_SECONDS = 0.1
SETTLE_SECONDS = 1.0
OPEN_FILES = 8192


@dataclass(frozen=True)
class Lengths:
    """How long honest users are watched alone, and then beside the attacker, after a warm-up.

    The first requests of a process plan, prepare and connect.
    """

    quiet_seconds: float = 10.0
    attack_seconds: float = 40.0
    warm_up_seconds: float = 2.0


@dataclass(frozen=True)
class Felt:
    """An attack: honest users before and during it, the attacker's gains, the server's load."""

    name: str
    quiet: Seen
    attacked: Seen
    gains: Gains
    longest_stall_milliseconds: float
    server_mebibytes: float
    backend_mebibytes: float

    @property
    def ratio(self) -> float:
        """The slowest read in a hundred, over the same without the attack."""
        return self.attacked.p99_milliseconds() / self.quiet.p99_milliseconds()


class Memory:
    """The most that a server and any one backend of Postgres held, sampled."""

    def __init__(self, server: Server, postgres: Postgres) -> None:
        self._server = server
        self._postgres = postgres
        self.server_mebibytes = 0.0
        self.backend_mebibytes = 0.0

    def forget(self) -> None:
        """Begins anew."""
        self.server_mebibytes = self.backend_mebibytes = 0.0

    def sample(self) -> None:
        """Looks once."""
        self.server_mebibytes = max(self.server_mebibytes, memory_mebibytes(self._server))
        largest = self._postgres.largest_backend_mebibytes()
        self.backend_mebibytes = max(self.backend_mebibytes, largest)

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        """Looks again and again for a block."""

        async def look() -> None:
            while True:
                await asyncio.to_thread(self.sample)
                await asyncio.sleep(SAMPLE_SECONDS)

        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _size_bytes(file: Path) -> int:
    return file.stat().st_size


async def attack_once(
    environment: Environment, server: Server, waits: Path, name: str, lengths: Lengths
) -> Felt:
    """A quiet while, then the same users beside the attacker."""
    people, gains, attack = environment.people, Gains(), ATTACKS[name]
    target = Target(server.port, people[USERS + list(ATTACKS).index(name)])
    if attack.prepare is not None:
        await attack.prepare(target, gains)
    memory = Memory(server, await Postgres.find(environment.owner_url))
    async with attacker(name, target, lengths.attack_seconds) as begin, memory.sampled():
        async with honest_users(server.port, people) as quiet:
            await asyncio.sleep(lengths.warm_up_seconds)
            quiet.forget()
            await asyncio.sleep(lengths.quiet_seconds)
        memory.forget()
        begins = _size_bytes(waits)
        async with honest_users(server.port, people) as attacked:
            gains.update(await begin())
    with waits.open() as lines:
        lines.seek(begins)
        longest = max((float(line) for line in lines if line.endswith("\n")), default=0.0)
    return Felt(
        name, quiet, attacked, gains, longest, memory.server_mebibytes, memory.backend_mebibytes
    )


def start_watched(environment: Environment, waits: Path) -> tuple[int, list[str], dict[str, str]]:
    """The port, command and variables of a server with its usual limits, whose loop is watched."""
    port = free_port()
    command = python("bench.attacks.watched_server", str(waits), "serve")
    variables = our_variables(environment, port)
    return port, command, {n: value for n, value in variables.items() if n not in UNLIMITED}


async def measure(
    lengths: Lengths,
    chosen: tuple[str, ...],
    say: Callable[[str], None],
    *,
    one_server: bool = False,
) -> list[Felt]:
    """Every chosen attack over one database, each on a server of its own or all on `one_server`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))
    felt: list[Felt] = []
    async with open_environment(USERS + len(ATTACKS), USERS + len(ATTACKS)) as environment:
        for names in [chosen] if one_server else [(name,) for name in chosen]:
            waits = environment.folder / f"waits-{len(felt)}"
            waits.touch()
            port, command, variables = start_watched(environment, waits)
            with (
                running("attacked", port, command, environment.folder, **variables) as server,
                on_core(-1),
            ):
                await asyncio.sleep(SETTLE_SECONDS)
                for name in names:
                    say(
                        f"{name}: {lengths.quiet_seconds:g} s quiet, "
                        f"{lengths.attack_seconds:g} s attacked"
                    )
                    felt.append(await attack_once(environment, server, waits, name, lengths))
    return felt
