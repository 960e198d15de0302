"""Several nodes on one database, clients that move between them, and everything that can break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from db.migrate import migrate
from tests.graph.live.deployment import Deployment
from tests.running import ROOT, environment

WATCH = (
    "subscription ($after: Cursor) { creditsChanged(after: $after) { cursor credits { balance } } }"
)
GRANT = "select app.grant_credits($1, 'ADMIN', 1)"
BALANCE = "select balance from wallets where user_id = $1"
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
LISTENERS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tallygraph live'"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Redis:
    """A Redis of the test's own, that can be restarted on its port."""

    def __init__(self) -> None:
        self.program = shutil.which("redis-server")
        if self.program is None:
            pytest.skip("Redis is not installed: apt-get install redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.program
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(
            [self.program, *options, "--dir", tempfile.gettempdir()], stdout=subprocess.DEVNULL
        )

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


class Node:
    """One `tallygraph serve`."""

    def __init__(self, deployment: Deployment, log: Path, *options: str, **variables: str) -> None:
        self.port = free_port()
        self._options = options
        self._log = log
        self._variables = environment(
            deployment.settings.data_directory,
            DATABASE_URL=deployment.owner_url,
            LOG_LEVEL="warning",
            **variables,
        ) | {"PORT": str(self.port)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "serve", *self._options],
                cwd=ROOT,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def ready(self) -> None:
        async with asyncio.timeout(150), httpx.AsyncClient() as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.get(f"http://127.0.0.1:{self.port}/readyz")
                    if answer.status_code == 200:
                        return
                await asyncio.sleep(0.1)

    @property
    def workers(self) -> list[psutil.Process]:
        assert self.process
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """As if the machine had lost power."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


class Watcher:
    """A client that keeps every balance it is shown, and moves to another node when cut off."""

    def __init__(self, ports: list[int], token: str, first: int) -> None:
        self.balances: list[int] = []
        self.reconnects = -1
        self._ports = ports
        self._token = token
        self._turn = first
        self._cursor: str | None = None
        self.closed_with: list[int | None] = []

    async def run(self) -> None:
        while True:
            port = self._ports[self._turn % len(self._ports)]
            self._turn += 1
            self.reconnects += 1
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    f"ws://127.0.0.1:{port}/graphql",
                    subprotocols=[Subprotocol("graphql-transport-ws")],
                    proxy=None,
                    open_timeout=5,
                    close_timeout=0.1,
                ) as socket:
                    try:
                        await self._watch(socket)
                    finally:
                        self.closed_with.append(socket.close_code)
            await asyncio.sleep(0.1)

    async def _watch(self, socket: Any) -> None:
        await self._say(socket, type="connection_init", payload={"Authorization": self._token})
        payload = {"query": WATCH, "variables": {"after": self._cursor}}
        async for text in socket:
            message = orjson.loads(text)
            match message["type"]:
                case "connection_ack":
                    await self._say(socket, id="1", type="subscribe", payload=payload)
                case "ping":
                    await self._say(socket, type="pong")
                case "next":
                    item = message["payload"]["data"]["creditsChanged"]
                    self._cursor = item["cursor"]
                    self.balances.append(item["credits"]["balance"])
                case _:
                    raise AssertionError(message)

    async def _say(self, socket: Any, **message: Any) -> None:
        await socket.send(orjson.dumps(message).decode())


class Fleet:
    """The database, the nodes, the users and their watchers."""

    def __init__(self, deployment: Deployment, nodes: list[Node]) -> None:
        self.deployment = deployment
        self.nodes = nodes
        self.watchers: dict[UUID, Watcher] = {}
        settings = deployment.settings
        self._tokens = AccessTokens(SigningKeys.load(settings), settings)

    async def add_users(self, count: int) -> list[UUID]:
        """Users with one credit each."""
        connection = await self.deployment.connect()
        users = [uuid4() for _ in range(count)]
        for user in users:
            await connection.execute(
                "insert into users (id, email) values ($1, $2)", user, f"{user}@example.test"
            )
            await connection.execute(GRANT, user)
        await connection.close()
        return users

    def token(self, user: UUID) -> str:
        issued = self._tokens.issue(user, uuid4(), is_anonymous=False, is_admin=False)
        return f"Bearer {issued.token}"

    def watch(self, users: list[UUID]) -> list[asyncio.Task[None]]:
        """Starts a watcher for each user, spread over the nodes."""
        ports = [node.port for node in self.nodes]
        for number, user in enumerate(users):
            self.watchers[user] = Watcher(ports, self.token(user), number)
        return [asyncio.create_task(watcher.run()) for watcher in self.watchers.values()]

    async def write(self, users: list[UUID], until: int) -> None:
        """Gives credits one by one until everybody has so many, whatever becomes of the database."""
        for user in users:
            balance = 0
            while balance < until:
                with contextlib.suppress(*AWAY):
                    connection = await self.deployment.connect()
                    try:
                        while (balance := await connection.fetchval(BALANCE, user)) < until:
                            await connection.execute(GRANT, user)
                            await asyncio.sleep(0)
                    finally:
                        connection.terminate()
                await asyncio.sleep(0.05)

    async def caught_up(self, until: int, seconds: float) -> None:
        """Waits until every watcher has seen the last balance."""
        async with asyncio.timeout(seconds):
            watchers = self.watchers.values()
            while any(not w.balances or w.balances[-1] < until for w in watchers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def assert_nothing_was_lost(self, until: int) -> None:
        """Each saw every balance once and in order, from the first it was shown."""
        for user, watcher in self.watchers.items():
            expected = list(range(watcher.balances[0], until + 1))
            assert watcher.balances == expected, (user, watcher.balances, watcher.closed_with)

    async def kill_listeners(self) -> None:
        """Ends the connections on which nodes listen for wake-ups."""
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            superuser = await asyncpg.connect(self.deployment.cluster.superuser_url)
            await superuser.execute(LISTENERS)
            await superuser.close()

    async def kill_node(self, number: int) -> None:
        """Kills a node without a word and starts it again."""
        node = self.nodes[number % len(self.nodes)]
        await asyncio.to_thread(node.kill)
        node.start()


@contextlib.asynccontextmanager
async def running_fleet(
    deployment: Deployment, folder: Path, *options: list[str], **variables: str
) -> AsyncIterator[Fleet]:
    """Nodes, one for each list of options, from their first answer to the block's end."""
    await migrate(deployment.owner_url, deployment.settings)
    nodes = [
        Node(deployment, folder / f"node-{number}.log", *chosen, **variables)
        for number, chosen in enumerate(options)
    ]
    fleet = Fleet(deployment, nodes)
    try:
        for node in nodes:
            node.start()
        await asyncio.gather(*(node.ready() for node in nodes))
        yield fleet
    finally:
        for node in nodes:
            if node.process and node.process.poll() is None:
                os.kill(node.process.pid, signal.SIGTERM)
        for node in nodes:
            if node.process:
                node.process.wait(40)
