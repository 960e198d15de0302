"""Several nodes on one database, what is written to it, and everything that can break."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from db.migrations.migrate import migrate
from graph.live.bus import WakeBus
from tests.graph.live.deployment import Deployment
from tests.graph.live.watchers import Watcher
from tests.running import Process, environment, start_command

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
        self.process: Process | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = start_command(["serve", *self._options], self._variables, output)

    async def ready(self) -> None:
        async with asyncio.timeout(150), httpx.AsyncClient() as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.get(f"http://127.0.0.1:{self.port}/readyz")
                    if answer.status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def connections(self) -> dict[str, float]:
        """How many clients each of its processes has, as its operator sees it."""
        async with httpx.AsyncClient(timeout=10) as http:
            page = await http.get(f"http://127.0.0.1:{self.port}/metrics")
        return {
            sample.labels["process"]: sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
            if sample.name == "tallygraph_live_connections"
        }

    @property
    def workers(self) -> list[psutil.Process]:
        assert self.process
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """All its processes, as if the machine had lost power."""
        workers = self.workers
        self.orphan()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()

    def orphan(self) -> None:
        """Kills the process that was started, and leaves its own processes alone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


class Fleet:
    """The database, the nodes, the users and their watchers."""

    def __init__(self, deployment: Deployment, nodes: list[Node], buses: list[WakeBus]) -> None:
        self.deployment = deployment
        self.nodes = nodes
        self.watchers: dict[UUID, Watcher] = {}
        # How many changes are committed, and how many may be for the time being.
        self.written = 0
        self.allowed = sys.maxsize
        self.backends_killed = 0
        self._buses = buses
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
        """Gives credits in turn until everybody has so many, whatever becomes of the database."""
        while True:
            with contextlib.suppress(*AWAY):
                connection = await self.deployment.connect()
                try:
                    await self._write_on(connection, users, until)
                    return
                finally:
                    connection.terminate()
            await asyncio.sleep(0.05)

    async def _write_on(
        self, connection: asyncpg.Connection, users: list[UUID], until: int
    ) -> None:
        # What a connection that died had committed is known only from the database.
        balances = {user: int(await connection.fetchval(BALANCE, user)) for user in users}
        while behind := [user for user in users if balances[user] < until]:
            for user in behind:
                while self.written >= self.allowed:  # noqa: ASYNC110 -- a budget that others raise
                    await asyncio.sleep(0.005)
                await connection.execute(GRANT, user)
                balances[user] += 1
                self.written += 1
                self.watchers[user].expect(balances[user])
                for bus in self._buses:
                    bus.publish()

    async def caught_up(self, until: int, seconds: float) -> None:
        """Waits until every watcher has seen the last balance."""
        async with asyncio.timeout(seconds):
            watchers = self.watchers.values()
            while any(not w.balances or w.balances[-1] < until for w in watchers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def kill_listeners(self) -> None:
        """Ends the connections on which nodes listen for wake-ups, once there are any."""
        superuser = await asyncpg.connect(self.deployment.cluster.superuser_url)
        try:
            async with asyncio.timeout(30):
                while not (killed := await superuser.fetch(LISTENERS)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            self.backends_killed += len(killed)
        finally:
            await superuser.close()

    async def kill_node(self, number: int) -> None:
        """Kills a node without a word and starts it again."""
        node = self.nodes[number % len(self.nodes)]
        await asyncio.to_thread(node.kill)
        node.start()


@contextlib.asynccontextmanager
async def running_fleet(
    deployment: Deployment, folder: Path, *options: list[str], bus_urls: tuple[str, ...] = ("",)
) -> AsyncIterator[Fleet]:
    """Nodes, one for each list of options, from their first answer to the block's end.

    They take the buses in turn; an empty URL is Postgres. What the fleet itself writes wakes nodes
    over all of them, as a node's own writes would.
    """
    await migrate(deployment.owner_url, deployment.settings)
    nodes = [
        Node(deployment, folder / f"node-{number}.log", *chosen, BUS_URL=url)
        for (number, chosen), url in zip(enumerate(options), itertools.cycle(bus_urls))
    ]
    buses = [
        WakeBus.redis(url) if url else WakeBus.postgres(deployment.service_url) for url in bus_urls
    ]
    fleet = Fleet(deployment, nodes, buses)
    try:
        for node in nodes:
            node.start()
        for bus in buses:
            await bus.start(lambda: None)
        await asyncio.gather(*(node.ready() for node in nodes))
        yield fleet
    finally:
        for bus in buses:
            await bus.stop()
        for node in nodes:
            if node.process and node.process.poll() is None:
                os.kill(node.process.pid, signal.SIGTERM)
        for node in nodes:
            if node.process:
                await asyncio.to_thread(node.process.wait, 40)
