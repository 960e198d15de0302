"""The deployment under measurement: a database with people in it, and the servers over it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from auth.keys import SigningKeys
from bench.data import Person, fill, hash_password
from bench.documents import SIGN_IN
from bench.statements import export_statements
from bench.workloads import BARE, POSTGRAPHILE, STRAWBERRY, TALLYGRAPH
from db.core.pool import role_url
from db.core.seeding import load_seed
from db.embedded.database import EmbeddedDatabase, destroy_embedded, start_embedded
from db.migrations.migrate import migrate
from settings import Settings

ROOT = Path(__file__).resolve().parents[1]
POSTGRAPHILE_FOLDER = ROOT / "bench" / "peers" / "postgraphile"
START_SECONDS = 60.0
# A few users do what a deployment's many do, from one address.
UNLIMITED = {
    "MUTATIONS_PER_USER": "1000000",
    "MUTATIONS_PER_ADDRESS": "1000000",
    "QUERY_COST_PER_USER": "1000000000",
    "QUERY_COST_PER_ADDRESS": "1000000000",
    "CONNECTIONS_PER_ADDRESS": "5000",
    "LIVE_CONNECTIONS_PER_ADDRESS": "5000",
}
STOP_SECONDS = 30.0
LOG_CHARACTERS = 4_000
TOKEN_SECONDS = 24 * 3600
# As many as our server keeps on a connection; @dataplan/pg keeps 100 unless it is told.
PREPARED_STATEMENTS = 500


class MissingPeerError(Exception):
    """A peer's packages are not installed; the message says how to get them."""


@dataclass(frozen=True)
class Server:
    """A server under measurement."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Environment:
    """What every server is started with."""

    folder: Path
    settings: Settings
    database: EmbeddedDatabase
    people: list[Person]

    @property
    def owner_url(self) -> str:
        """The database, as its owner."""
        return self.database.owner_url

    @property
    def password(self) -> str:
        """The password of the role that serves signed-in users."""
        return self.settings.secret("database-authenticated-password")

    def write(self, name: str, config: dict[str, Any]) -> str:
        """Writes a server's configuration; returns where."""
        file = self.folder / f"{name}.json"
        file.write_bytes(orjson.dumps(config))
        return str(file)


@dataclass(frozen=True)
class Deployment:
    """Everything that runs."""

    environment: Environment
    servers: dict[str, Server]

    @property
    def people(self) -> list[Person]:
        """Who sends requests."""
        return self.environment.people

    @property
    def owner_url(self) -> str:
        """The database, as its owner."""
        return self.environment.owner_url


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def on_core(position: int) -> Iterator[None]:
    """Runs the block, and what it starts, on the first or last of the cores we may use."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[position]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    name: str, port: int, command: list[str], folder: Path, **variables: str
) -> Iterator[Server]:
    """A process of its own on the first core, from its first answer to the block's end.

    Port 0: it answers nobody, so nothing is waited for.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output, on_core(0):
        process = start_process(command, {**os.environ, **variables}, output)
    try:
        if port:
            _await_listening(process, port)
        yield Server(name, port, process)
    except Exception as error:
        if said := log.read_text()[-LOG_CHARACTERS:]:
            error.add_note(f"{name} said:\n{said}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def start_process(
    command: list[str], variables: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """A process that reads nothing, with all that it says in one file."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("a server did not start")


@asynccontextmanager
async def open_environment(users: int, busy_users: int) -> AsyncIterator[Environment]:
    """A filled database in a folder of its own; takes it all away again."""
    with tempfile.TemporaryDirectory(prefix="tallygraph-bench-") as folder:
        settings = Settings(
            data_directory=Path(folder) / "data", access_token_seconds=TOKEN_SECONDS
        )
        database = start_embedded(settings)
        try:
            await migrate(database.owner_url, settings)
            await load_seed(database.owner_url, "demo")
            people = await fill(database.owner_url, settings, users, busy_users)
            yield Environment(Path(folder), settings, database, people)
        finally:
            database.stop()
            destroy_embedded(settings)


@asynccontextmanager
async def open_deployment(
    users: int, busy_users: int, peers: tuple[str, ...]
) -> AsyncIterator[Deployment]:
    """The database, our server and the peers."""
    starts: dict[str, Callable[[Environment], AbstractContextManager[Server]]] = {
        TALLYGRAPH: start_tallygraph,
        STRAWBERRY: start_strawberry,
        POSTGRAPHILE: start_postgraphile,
    }
    async with open_environment(users, busy_users) as environment:
        with ExitStack() as stack:
            servers = {}
            for name in (TALLYGRAPH, *peers):
                if name == BARE:
                    statements = await export_statements(
                        environment.owner_url, environment.settings
                    )
                    servers[name] = stack.enter_context(
                        start_bare(environment, statements, await hash_password())
                    )
                else:
                    servers[name] = stack.enter_context(starts[name](environment))
            yield Deployment(environment, servers)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules."""
    return [sys.executable, "-m", module, *arguments]


def start_tallygraph(environment: Environment, **variables: str) -> AbstractContextManager[Server]:
    """`tallygraph serve`, as a user starts it, and quiet."""
    port = free_port()
    return running(
        TALLYGRAPH,
        port,
        python("cli", "serve"),
        environment.folder,
        **our_variables(environment, port),
        **variables,
    )


def start_worker(environment: Environment) -> AbstractContextManager[Server]:
    """`tallygraph worker`, which answers no requests."""
    command = python("cli", "worker")
    return running("worker", 0, command, environment.folder, **our_variables(environment, 0))


def our_variables(environment: Environment, port: int) -> dict[str, str]:
    """The settings of a process of ours."""
    return {
        "PORT": str(port),
        "DATABASE_URL": environment.owner_url,
        "DATA_DIRECTORY": str(environment.settings.data_directory),
        "ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "LOG_LEVEL": "warning",
        **UNLIMITED,
    }


def start_bare(
    environment: Environment,
    statements: dict[str, Any],
    password_hash: str,
    module: str = "bench.peers.bare",
    name: str = BARE,
) -> AbstractContextManager[Server]:
    """The application without GraphQL; `name` is what a module with several calls one of them."""
    port = free_port()
    config = {
        "url": environment.owner_url,
        "port": port,
        "password": environment.password,
        "service_password": environment.settings.secret("database-service-password"),
        "pool_size": environment.settings.pool_size,
        "users": {person.token: str(person.user_id) for person in environment.people},
        "statements": statements,
        "sign_in": SIGN_IN,
        "password_hash": password_hash,
        "name": name,
    }
    command = python(module, environment.write(name, config))
    return running(name, port, command, environment.folder, **our_variables(environment, port))


def start_strawberry(environment: Environment) -> AbstractContextManager[Server]:
    """Strawberry's own executor over our schema."""
    port = free_port()
    command = python("bench.peers.strawberry_server", str(port))
    return running(
        STRAWBERRY, port, command, environment.folder, **our_variables(environment, port)
    )


def start_postgraphile(
    environment: Environment, role: str = "authenticated"
) -> AbstractContextManager[Server]:
    """PostGraphile, logged in as the role that our server uses."""
    port, settings = free_port(), environment.settings
    password = settings.secret(f"database-{role}-password")
    config = {
        "url": role_url(environment.owner_url, role, password),
        "port": port,
        "pool_size": settings.pool_size,
        "jwks": SigningKeys.load(settings).jwks(),
        "issuer": settings.token_issuer,
        "audience": settings.token_audience,
    }
    command = [
        node(),
        str(POSTGRAPHILE_FOLDER / "server.mjs"),
        environment.write(POSTGRAPHILE, config),
    ]
    return running(
        POSTGRAPHILE,
        port,
        command,
        environment.folder,
        NODE_ENV="production",
        GRAPHILE_ENV="production",
        DATAPLAN_PG_PREPARED_STATEMENT_CACHE_SIZE=str(PREPARED_STATEMENTS),
    )


def node(folder: Path = POSTGRAPHILE_FOLDER) -> str:
    """The Node that came with a peer's packages, else the machine's."""
    modules = folder / "node_modules"
    if not modules.is_dir():
        raise MissingPeerError(
            f"{folder.name} is not installed: npm ci --prefix {folder.relative_to(ROOT)}, "
            "or leave it out"
        )
    packaged = next(modules.glob("node-*/bin/node"), None)
    found = str(packaged) if packaged else shutil.which("node")
    if found is None:
        raise MissingPeerError(f"{folder.name} needs Node 22 or newer on the PATH.")
    return found
