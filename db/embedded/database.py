"""The embedded PostgreSQL: a server of our own, made, started, adopted and stopped."""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from db.embedded.cluster import (
    OWNER_SECRET,
    SECRETS,
    SUPERUSER_SECRET,
    Cluster,
    Lock,
    Report,
    create_cluster,
    prepare_cluster,
    set_aside_foreign_data,
)
from db.embedded.process import (
    EmbeddedDatabaseError,
    ServerProcess,
    ServerUser,
    choose_user,
    find_binaries,
    free_port,
    is_free,
    launch,
    make_public_directory,
    read_pid_file,
    remove_stale_pid_file,
)
from db.embedded.tuning import buffers_bytes, memory_bytes
from settings import Settings

__all__ = [
    "EmbeddedDatabase",
    "EmbeddedDatabaseError",
    "destroy_embedded",
    "find_embedded",
    "start_embedded",
]

HOST = "127.0.0.1"
DATABASE = "tallygraph"
OWNER = "tallygraph_owner"
READY_SECONDS = 120.0
# The server processes of a killed postmaster hold its shared memory for up to a few seconds.
RESTART_SECONDS = 8.0
TRANSIENT_FAILURES = ("shared memory block", "postmaster.pid", "Address already in use", "bind")


@dataclass
class EmbeddedDatabase:
    """A running embedded database. `owned` is false for one that another live process started."""

    port: int
    owner_password: str = field(repr=False)
    superuser_password: str = field(repr=False)
    log_path: Path
    owned: bool
    _cluster: Cluster = field(repr=False)
    _server: ServerProcess | None = field(default=None, repr=False)
    _lock: Lock | None = field(default=None, repr=False)
    host: str = HOST
    database: str = DATABASE
    owner_user: str = OWNER

    def _url(self, user: str, password: str) -> str:
        credentials = f"{user}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{self.host}:{self.port}/{self.database}"

    @property
    def owner_url(self) -> str:
        """The database as its owner, who is no superuser."""
        return self._url(self.owner_user, self.owner_password)

    @property
    def superuser_url(self) -> str:
        """The database as the cluster's superuser, for tests and repair."""
        return self._url("postgres", self.superuser_password)

    @property
    def running(self) -> bool:
        """Whether the server is up."""
        return self._server.alive if self._server else self._cluster.running() is not None

    def stop(self) -> None:
        """Shut down what this process started or took over; another's server is left to it."""
        if self._server:
            self._server.stop()
        if self._lock:
            self._lock.release()
            self._lock = None


def start_embedded(
    settings: Settings,
    *,
    durable: bool = True,
    max_connections: int = 100,
    report: Report = lambda _line: None,
) -> EmbeddedDatabase:
    """The embedded database of these settings: adopted if it runs, else made and started.

    A started server stops with this process, even on kill -9. `durable=False` is for tests: it
    trades safety in a crash of the machine for speed.
    """
    cluster = Cluster.of(settings)
    try:
        make_public_directory(cluster.directory)
        cluster.note_origin()
        lock = Lock(cluster.directory / "lock")
        deadline = time.monotonic() + READY_SECONDS
        while not lock.acquire():
            if found := cluster.running():
                report(f"PostgreSQL is already running on port {found.port}")
                return _describe(cluster, found.port)
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"Another process has been starting PostgreSQL for {READY_SECONDS:.0f} s: "
                    f"look at {cluster.log}"
                )
            time.sleep(0.05)
    except OSError as error:
        raise _cannot_use(cluster, error) from error
    try:
        return _start_locked(
            cluster, lock, settings, _options(settings, durable, max_connections), report
        )
    except OSError as error:
        lock.release()
        raise _cannot_use(cluster, error) from error
    except BaseException:
        lock.release()
        raise


def _cannot_use(cluster: Cluster, error: OSError) -> EmbeddedDatabaseError:
    reason = os.strerror(error.errno or 0)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        said = f"This folder can't be written: {error.filename or cluster.directory} ({reason}). "
    else:
        said = f"PostgreSQL cannot be started in {cluster.directory}: {reason}. "
    return EmbeddedDatabaseError(
        f"{said}Make room and write access there, move DATA_DIRECTORY, or set DATABASE_OWNER_URL "
        "to a server of your own."
    )


def _start_locked(
    cluster: Cluster, lock: Lock, settings: Settings, options: dict[str, str], report: Report
) -> EmbeddedDatabase:
    set_aside_foreign_data(cluster, report)
    user = choose_user(cluster.data)
    if orphan := cluster.running():
        report(f"Taking over the PostgreSQL that runs on port {orphan.port}")
        server = ServerProcess(cluster.data, orphan.pid, None)
        server.watch(user)
        return _describe(cluster, orphan.port, server, lock)
    binaries = find_binaries(settings.postgres_bin, user)
    if not cluster.data.exists():
        report("Creating the database (once)")
        create_cluster(cluster, binaries, user, sync=options["fsync"] == "on")
    server, port = _start_with_retries(cluster, binaries, user, options, report)
    try:
        if not cluster.is_prepared:
            prepare_cluster(cluster, binaries, port)
    except BaseException:
        server.stop()
        raise
    return _describe(cluster, port, server, lock)


def _describe(
    cluster: Cluster, port: int, server: ServerProcess | None = None, lock: Lock | None = None
) -> EmbeddedDatabase:
    return EmbeddedDatabase(
        port=port,
        owner_password=cluster.password(OWNER_SECRET),
        superuser_password=cluster.password(SUPERUSER_SECRET),
        log_path=cluster.log,
        owned=server is not None,
        _cluster=cluster,
        _server=server,
        _lock=lock,
    )


def _options(settings: Settings, durable: bool, max_connections: int) -> dict[str, str]:
    """The server's configuration. TCP on the loopback only: a socket's path has a short limit."""
    sync = "on" if durable else "off"
    # Of those for tests there are many on one machine.
    buffers = buffers_bytes(memory_bytes() if durable else 0, settings.postgres_buffers_megabytes)
    return {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "max_connections": str(max_connections),
        "shared_buffers": f"{buffers >> 20}MB",
        "fsync": sync,
        "full_page_writes": sync,
        "synchronous_commit": "on",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgres-%a.log",  # a week of files, each begun anew
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_min_duration_statement": str(settings.slow_query_milliseconds),
        "log_parameter_max_length": "0",  # values bound to a slow statement may be secret
        "log_error_verbosity": "terse",  # details and contexts of errors show rows and values
    }


def _start_with_retries(
    cluster: Cluster, binaries: Path, user: ServerUser, options: dict[str, str], report: Report
) -> tuple[ServerProcess, int]:
    deadline = time.monotonic() + RESTART_SECONDS
    remembered = cluster.directory / "port"
    while True:
        preferred = int(remembered.read_text()) if remembered.exists() else None
        port = free_port(preferred)
        remove_stale_pid_file(cluster.data)
        server = launch(
            binaries, user, cluster.data, options | {"port": str(port)}, cluster.startup_log
        )
        if _await_ready(cluster, server, report):
            remembered.write_text(str(port))
            report(f"PostgreSQL is running on port {port}")
            return server, port
        said = _end_of_log(cluster)
        # Between our look and its own, another database may have taken the port.
        is_transient = not is_free(port) or any(part in said for part in TRANSIENT_FAILURES)
        if time.monotonic() > deadline or not is_transient:
            raise EmbeddedDatabaseError(f"PostgreSQL did not start. It said:\n{said}")
        time.sleep(0.2)


def _await_ready(cluster: Cluster, server: ServerProcess, report: Report) -> bool:
    """Whether the server came up; false when it ended instead."""
    started = time.monotonic()
    told = False
    while server.alive:
        found = read_pid_file(cluster.data)
        if found and found.ready and found.pid == server.pid:
            return True
        elapsed = time.monotonic() - started
        if elapsed > 2 and not told:
            report("Waiting for PostgreSQL to recover")
            told = True
        if elapsed > READY_SECONDS:
            server.stop()
            raise EmbeddedDatabaseError(
                f"PostgreSQL was not ready after {READY_SECONDS:.0f} s: look at {cluster.log}"
            )
        time.sleep(0.01)
    server.stop()
    return False


def _end_of_log(cluster: Cluster) -> str:
    """The end of what the failed server wrote, wherever it got to write it."""
    texts = []
    # What it wrote last: once it has ended, it no longer tells which file that is.
    logs = sorted((cluster.data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    for path in dict.fromkeys((cluster.startup_log, *logs[-1:])):
        with suppress(OSError):
            texts.append(path.read_text(errors="replace")[-2000:].strip())
    return "\n".join(texts)


def find_embedded(settings: Settings) -> EmbeddedDatabase | None:
    """The running database of these settings, never starting one."""
    cluster = Cluster.of(settings)
    found = cluster.running()
    return _describe(cluster, found.port) if found else None


def destroy_embedded(settings: Settings) -> None:
    """Remove the database and its passwords; refused while it runs."""
    cluster = Cluster.of(settings)
    if not cluster.directory.exists():
        return
    lock = Lock(cluster.directory / "lock")
    if not lock.acquire() or read_pid_file(cluster.data):
        lock.release()
        raise EmbeddedDatabaseError(
            "The embedded PostgreSQL is running: stop `script/server` first, then try again."
        )
    shutil.rmtree(cluster.directory)
    lock.release()
    for name in SECRETS:
        (cluster.secrets_directory / name).unlink(missing_ok=True)
