"""The servers under measurement over one database, each started for one turn."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

from auth.keys import SigningKeys
from bench.data import Person
from bench.deployment import (
    ROOT,
    Environment,
    Server,
    free_port,
    node,
    our_variables,
    python,
    running,
)
from bench.live.figures import GRAPHQL_WS, STRAWBERRY, TALLYGRAPH
from db.core.pool import Database
from graph.live.bus import WAKE_CHANNEL
from graph.live.event_log import PLANNING, READ_ALL, EventLog, Head
from graph.live.hub import BATCH_ROWS, HEARTBEAT_SECONDS, UNSETTLED_POLL_SECONDS
from server.serving import service_url

GRAPHQL_WS_FOLDER = ROOT / "bench" / "peers" / "graphql-ws"
# A socket for each subscriber in the server and in its client, and what processes need besides.
SPARE_FILES = 200


@dataclass(frozen=True)
class Stage:
    """A filled database, and its users in the order of their numbers."""

    environment: Environment
    people: list[Person]

    @property
    def tokens(self) -> list[str]:
        """A token for each of them."""
        return [person.token for person in self.people]

    @property
    def service_url(self) -> str:
        """The database, as the role that reads the log of events."""
        return service_url(self.environment.owner_url, self.environment.settings)


def allow_files(number: int) -> None:
    """Lets this process and those it starts open so many files, as far as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE_FILES
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@asynccontextmanager
async def started(name: str, stage: Stage) -> AsyncIterator[Server]:
    """One server for a block."""
    starts: dict[str, Callable[[Stage, Head], AbstractContextManager[Server]]] = {
        TALLYGRAPH: _tallygraph,
        STRAWBERRY: _strawberry,
        GRAPHQL_WS: _graphql_ws,
    }
    with starts[name](stage, await _head(stage)) as server:
        yield server


async def _head(stage: Stage) -> Head:
    settings = stage.environment.settings
    database = await Database.connect(stage.environment.owner_url, settings)
    log = EventLog(database)
    try:
        return await log.head()
    finally:
        await log.close()
        await database.close()


def _variables(stage: Stage, port: int) -> dict[str, str]:
    return {
        **our_variables(stage.environment, port),
        # Each socket begins as one, and writers have some of their own.
        "CONNECTIONS_PER_ADDRESS": str(2 * len(stage.tokens) + 100),
        "LIVE_CONNECTIONS_PER_ADDRESS": str(len(stage.tokens) + 1),
    }


def _tallygraph(stage: Stage, _head: Head) -> AbstractContextManager[Server]:
    port, folder = free_port(), stage.environment.folder
    command = python("cli", "serve")
    return running(TALLYGRAPH, port, command, folder, **_variables(stage, port))


def _strawberry(stage: Stage, _head: Head) -> AbstractContextManager[Server]:
    port, folder = free_port(), stage.environment.folder
    command = python("bench.peers.strawberry_live", str(port))
    return running(STRAWBERRY, port, command, folder, **_variables(stage, port))


def _graphql_ws(stage: Stage, head: Head) -> AbstractContextManager[Server]:
    port, settings = free_port(), stage.environment.settings
    config = {
        "port": port,
        "url": stage.service_url,
        "jwks": SigningKeys.load(settings).jwks(),
        "issuer": settings.token_issuer,
        "audience": settings.token_audience,
        "channel": WAKE_CHANNEL,
        "read": READ_ALL,
        "planning": " ".join(f"-c {name}={value}" for name, value in PLANNING.items()),
        "batch_rows": BATCH_ROWS,
        "poll_ms": UNSETTLED_POLL_SECONDS * 1000,
        "heartbeat_ms": HEARTBEAT_SECONDS * 1000,
        # As text: they may be larger than JavaScript's whole numbers.
        "epoch": str(head.epoch),
        "position": [str(head.xmin), "0"],
    }
    script = str(GRAPHQL_WS_FOLDER / "server.mjs")
    command = [node(GRAPHQL_WS_FOLDER), script, stage.environment.write(GRAPHQL_WS, config)]
    return running(GRAPHQL_WS, port, command, stage.environment.folder, NODE_ENV="production")
