"""Runs the processes of a deployment: the API, the worker, or both beside an embedded database."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import uvicorn

from db.core.pool import Database, role_url
from db.core.seeding import load_seed, loaded_seed
from db.embedded.database import EmbeddedDatabase, start_embedded
from db.files.storage import open_storage
from db.migrations.functions import refuse_outdated
from db.migrations.migrate import migrate
from db.vault.operations import check_keys, note_secrets_read, refuse_missing_keys
from db.vault.sealing import Vault
from graph.live.bus import WakeBus
from jobs.assistants import check_assistant
from jobs.assistants.claude_writer import choose_writer
from jobs.core.probes import probes
from jobs.core.worker import Worker
from jobs.mailing import check_mail_settings
from jobs.providers import choose_providers
from jobs.pushing import check_push_settings
from server.app import Server, running
from server.connections import raise_open_files
from server.process_group import ProcessGroup
from server.supervising import end_with_the_parent
from server.uvicorn_protocol import DeadlineHttpProtocol
from server.uvicorn_websocket import FlushOrAbortProtocol
from settings import Settings, SettingsError
from settings_sealed import secrets_read

MESSAGE_LIMIT_BYTES = 65_536
GRACEFUL_SECONDS = 15
KEEP_ALIVE_SECONDS = 65
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessParts:
    """Of which classes a process is made."""

    database: type[Database] = Database
    server: type[Server] = Server
    worker: type[Worker] = Worker


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a process's work on the fastest event loop there is: uvloop's, where it exists."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):  # it has no Windows
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


class AlreadyRunning(Exception):
    """Another process serves this data directory; the message is its URL."""


class DrainingServer(uvicorn.Server):
    """Uvicorn, telling socket clients to reconnect elsewhere before it closes anything."""

    def __init__(
        self, config: uvicorn.Config, server: Server, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._server = server
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends on Ctrl-C and SIGTERM without dying of them, so that the caller can clean up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then says so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that it is not ready, gives balancers time to look away, drains, then closes."""
        self._server.draining = True
        await asyncio.sleep(self._server.services.settings.drain_notice_seconds)
        await self._server.drain()
        await super().shutdown(sockets)


class ProbeServer(uvicorn.Server):
    """Uvicorn for a worker's probes; the signals are its worker's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


def bind(settings: Settings) -> socket.socket:
    """The API's listening socket; with PORT=0 the system chooses, and the settings learn which."""
    listener = listen(settings.host, settings.port, "PORT={} script/server")
    settings.port = listener.getsockname()[1]
    return listener


def listen(host: str, port: int, advice: str) -> socket.socket:
    """A listening socket; `advice` says how to choose another port, which stands for `{}`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's delay off: it cost each answer 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. "
            f"Stop what uses it, or choose another: {advice.format(port + 1)}"
        ) from None
    return listener


def inherited(fileno: int, settings: Settings) -> socket.socket:
    """The listening socket that a supervisor opened."""
    listener = socket.socket(fileno=fileno)
    settings.port = listener.getsockname()[1]
    return listener


def server_config(server: Server, settings: Settings) -> uvicorn.Config:
    """Uvicorn as this server wants it: no proxy headers unless proxies are named, no deflate."""
    return uvicorn.Config(
        server.app,
        interface="asgi3",
        http=type("CountedProtocol", (DeadlineHttpProtocol,), {"shares": server.shares}),
        loop="auto",
        ws=FlushOrAbortProtocol,
        ws_max_size=MESSAGE_LIMIT_BYTES,
        ws_per_message_deflate=False,
        # Clients are pinged in the words of their protocol, by one sweep over all of them.
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


def service_url(url: str, settings: Settings) -> str:
    """The URL of the role `service` at the place that `url` names."""
    return role_url(url, "service", settings.secret("database-service-password"))


def make_bus(settings: Settings, url: str) -> WakeBus:
    """The bus that tells the other processes to look for events."""
    if settings.bus_url:
        return WakeBus.redis(settings.bus_url)
    return WakeBus.postgres(service_url(settings.database_direct_url or url, settings))


@asynccontextmanager
async def parts_of(settings: Settings) -> AsyncIterator[ProcessParts]:
    """The parts of a process, traced where OTEL_EXPORTER_OTLP_ENDPOINT says whereto."""
    if not settings.otel_exporter_otlp_endpoint:
        yield ProcessParts()
        return
    try:
        from server.tracing import spans, starting
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra `otel`: pip install 'tallygraph[otel]'"
        ) from None
    tracing = starting.Tracing(settings)
    try:
        yield ProcessParts(spans.TracedDatabase, spans.TracedServer, spans.TracedWorker)
    finally:
        await tracing.stop()


async def open_database(
    url: str, settings: Settings, parts: ProcessParts | None = None
) -> Database:
    """The database's pools, if it has been migrated to this release or a newer one."""
    database = await (parts or ProcessParts()).database.connect(url, settings)

    async def check_release() -> None:
        async with database.pools["service"].connection() as connection:
            await refuse_outdated(connection.raw)

    try:
        await database.at_start(check_release)
        check = check_keys if settings.production else refuse_missing_keys
        await database.at_start(partial(check, database, Vault(settings)))
        await database.at_start(partial(note_secrets_read, database, secrets_read()))
    except BaseException:
        await database.close()
        raise
    return database


async def serve(
    settings: Settings,
    url: str,
    listener: socket.socket,
    *,
    with_worker: bool = False,
    supervised: bool = False,
    group_socket: Path | None = None,
    on_ready: Callable[[], None],
) -> None:
    """Serves the API until a signal; with `with_worker`, jobs run in the same process.

    When it is `supervised`, it also ends with the process that started it, and on `group_socket`
    it tells the other processes its metrics.
    """
    raise_open_files()
    async with AsyncExitStack() as stack:
        if supervised:
            end_with_the_parent()
        stack.callback(listener.close)
        parts = await stack.enter_async_context(parts_of(settings))
        database = await open_database(url, settings, parts)
        stack.push_async_callback(database.close)
        storage, bus = open_storage(settings), make_bus(settings, url)
        server = parts.server(settings, database, storage, bus, ProcessGroup(group_socket))
        await stack.enter_async_context(running(server))
        if with_worker:
            worker = make_worker(settings, url, database, server.services.hub.wake, parts)
            await stack.enter_async_context(working(worker))
        exempt_from_garbage_collection()
        await DrainingServer(server_config(server, settings), server, on_ready).serve([listener])


def exempt_from_garbage_collection() -> None:
    """Keeps what was made at start out of garbage collection: it lives as long as the process.

    Looking through the schema and the libraries took a third of each new document's time.
    """
    gc.collect()
    gc.freeze()


def make_worker(
    settings: Settings,
    url: str,
    database: Database,
    wake: Callable[[], None],
    parts: ProcessParts | None = None,
) -> Worker:
    """The worker of this process."""
    check_mail_settings(settings)
    check_push_settings(settings)
    check_assistant(settings)
    return (parts or ProcessParts()).worker(
        settings,
        settings.database_direct_url or url,
        database,
        open_storage(settings),
        choose_providers(settings, choose_writer(settings)),
        wake,
    )


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[None]:
    """A worker at work in this process, drained at the end."""
    task = asyncio.create_task(worker.run(), name="worker")
    try:
        yield
    finally:
        await worker.stop()
        await task


@asynccontextmanager
async def answering_probes(settings: Settings, worker: Worker) -> AsyncIterator[None]:
    """The worker's health, at WORKER_HEALTH_PORT if there is one."""
    if settings.worker_health_port == 0:
        yield
        return
    listener = listen(settings.host, settings.worker_health_port, "WORKER_HEALTH_PORT={}")
    config = uvicorn.Config(
        probes(worker), lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = ProbeServer(config)
    task = asyncio.create_task(server.serve([listener]), name="probes")
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


async def work(settings: Settings, url: str) -> None:
    """Runs jobs until a signal."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(parts_of(settings))
        database = await open_database(url, settings, parts)
        stack.push_async_callback(database.close)
        bus = make_bus(settings, url)
        stack.push_async_callback(bus.stop)
        await bus.start(lambda: None)
        worker = make_worker(settings, url, database, bus.publish, parts)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        # Probes are answered until the worker has drained.
        async with answering_probes(settings, worker), working(worker):
            await stopped.wait()


class DevelopmentLock:
    """At most one development server for a data directory; the second learns the first's URL."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path = settings.data_directory.absolute() / "server.lock"
        self._file: IO[Any] | None = None

    def take(self) -> None:
        """Takes the lock, or raises `AlreadyRunning`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+")
        except OSError as error:
            raise SettingsError(
                f"This folder can't be written: {self._path.parent} "
                f"({os.strerror(error.errno or 0)}). Make it writable, or set DATA_DIRECTORY to "
                "another."
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            with suppress(ValueError, KeyError):
                raise AlreadyRunning(json.loads(self._file.read())["url"]) from None
            raise AlreadyRunning("(it is just starting)") from None
        self._file.truncate(0)

    def publish(self, url: str) -> None:
        """Says where the server is."""
        assert self._file is not None
        self._file.truncate(0)
        self._file.write(json.dumps({"url": url, "pid": os.getpid()}))
        self._file.flush()


def start_database(settings: Settings, report: Report) -> EmbeddedDatabase:
    """The embedded database, migrated, with the catalog loaded last: at first the demo's."""
    report("Starting the database")
    embedded = start_embedded(settings, report=report)
    try:
        report("Migrating and loading the catalog")
        asyncio.run(prepare(embedded.owner_url, settings))
    except BaseException:
        embedded.stop()
        raise
    return embedded


async def prepare(owner_url: str, settings: Settings) -> None:
    """Migrates, and brings the catalog that was loaded last up to date."""
    await migrate(owner_url, settings)
    # A shop stays a shop: another product's terms and plans have the same keys.
    await load_seed(owner_url, await loaded_seed(owner_url))
