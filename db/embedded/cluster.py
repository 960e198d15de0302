"""Where an embedded PostgreSQL lives: its folder, passwords and lock, and how it is made."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from db.core.roles import CLOSE_FUNCTIONS_SQL
from db.embedded.process import (
    SYSTEM_DIRECTORY,
    EmbeddedDatabaseError,
    RunningServer,
    ServerProcess,
    ServerUser,
    read_pid_file,
    run_sql,
    run_tool,
)
from settings import Settings
from settings_secrets import write_secret

SUPERUSER_SECRET = "embedded-superuser-password"
OWNER_SECRET = "embedded-owner-password"
SECRETS = (SUPERUSER_SECRET, OWNER_SECRET)

Report = Callable[[str], None]

# What the owner must be able to do: migrate, make the LOGIN roles, and clone the database in tests.
PREPARE_SQL = r"""
set log_min_duration_statement = -1;
set log_min_error_statement = panic;
select 'create role tallygraph_owner'
 where not exists (select from pg_roles where rolname = 'tallygraph_owner') \gexec
alter role tallygraph_owner login nosuperuser createrole createdb password :'owner_password';
alter role tallygraph_owner set timezone = 'UTC';
select 'create database tallygraph owner tallygraph_owner'
 where not exists (select from pg_database where datname = 'tallygraph') \gexec
alter database tallygraph set timezone = 'UTC';
alter database tallygraph set idle_in_transaction_session_timeout = '60s';
revoke all on database tallygraph, postgres, template1 from public;
grant connect on database postgres to tallygraph_owner;
\c tallygraph
revoke create on schema public from public;
"""
# Every database that is made later is a copy of template1.
CLOSE_SQL = "".join(
    f"\\c {database}\n{CLOSE_FUNCTIONS_SQL.format(owner='tallygraph_owner')}"
    for database in ("template1", "tallygraph")
)
PREPARED = sha256((PREPARE_SQL + CLOSE_SQL).encode()).hexdigest()


@dataclass(frozen=True)
class Cluster:
    """Where one deployment's embedded database lives; `home` is its data folder."""

    directory: Path
    secrets_directory: Path
    home: Path

    @classmethod
    def of(cls, settings: Settings) -> Cluster:
        """The place follows from the data folder; root's must not be below a closed home."""
        home = settings.data_directory.resolve()
        directory = home / "postgres"
        if os.geteuid() == 0:
            directory = SYSTEM_DIRECTORY / _id_of(home)
        return cls(directory, settings.secrets_directory, home)

    @property
    def id(self) -> str:
        """The name under which the system's folder has it; no secret."""
        return _id_of(self.home)

    def note_origin(self) -> None:
        """Writes down whose database this is, so that one left behind can be told from others."""
        origin = self.directory / "origin"
        if not origin.exists():
            origin.write_text(f"{self.home}\n")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def prepared(self) -> Path:
        """A file that says with which script the role and the database were made."""
        return self.directory / "prepared"

    @property
    def is_prepared(self) -> bool:
        """Whether that is the script of today."""
        return self.prepared.exists() and self.prepared.read_text() == PREPARED

    @property
    def startup_log(self) -> Path:
        return self.directory / "startup.log"

    @property
    def log(self) -> Path:
        """The file the server writes to now."""
        with suppress(OSError, IndexError):
            return (
                self.data
                / (self.data / "current_logfiles").read_text().split(maxsplit=1)[1].strip()
            )
        return self.startup_log

    def make_passwords(self) -> None:
        """Generate the passwords that are not there yet."""
        for name in SECRETS:
            if not (self.secrets_directory / name).exists():
                write_secret(self.secrets_directory / name, secrets.token_urlsafe(24))

    def password(self, name: str) -> str:
        """A password made with the cluster."""
        try:
            return (self.secrets_directory / name).read_text().strip()
        except FileNotFoundError as error:
            raise EmbeddedDatabaseError(
                f"{self.secrets_directory / name} was deleted while PostgreSQL runs: "
                "stop `script/server` and start it again to begin with a new database."
            ) from error

    def running(self) -> RunningServer | None:
        """The server of this cluster, if it is up and prepared."""
        found = read_pid_file(self.data)
        return found if found and found.ready and self.prepared.exists() else None


def _id_of(home: Path) -> str:
    return sha256(str(home).encode()).hexdigest()[:16]


class Lock:
    """Held by the process a server belongs to; the kernel releases it however that process ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        self._path = path

    def acquire(self) -> bool:
        """Take the lock unless another process has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def set_aside_foreign_data(cluster: Cluster, report: Report) -> None:
    """Keep, but do not use, data whose passwords are gone: its `.tallygraph` folder was deleted."""
    kept = all((cluster.secrets_directory / name).exists() for name in SECRETS)
    if kept or not cluster.data.exists():
        return
    if found := read_pid_file(cluster.data):
        ServerProcess(cluster.data, found.pid, None).stop()
    aside = cluster.directory / f"data-until-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    cluster.data.rename(aside)
    cluster.prepared.unlink(missing_ok=True)
    report(f"The passwords of the old database are gone; its data was moved to {aside}")


def create_cluster(cluster: Cluster, binaries: Path, user: ServerUser, *, sync: bool) -> None:
    """Run initdb in a folder of another name, so that a half-made one is never used."""
    partial = cluster.directory / "data.new"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    user.own(partial)
    cluster.make_passwords()
    password_file = cluster.directory / "password"
    password_file.unlink(missing_ok=True)
    cluster.prepared.unlink(missing_ok=True)
    write_secret(password_file, cluster.password(SUPERUSER_SECRET))
    user.own(password_file)
    try:
        run_tool(
            binaries,
            user,
            "initdb",
            f"--pgdata={partial}",
            f"--pwfile={password_file}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-instructions",
            *([] if sync else ["--no-sync"]),
        )
    finally:
        password_file.unlink()
    partial.rename(cluster.data)


def prepare_cluster(cluster: Cluster, binaries: Path, port: int) -> None:
    """Make the owner and the database; doing it again does no harm."""
    password = cluster.password(OWNER_SECRET).replace("'", "''").replace("\\", "\\\\")
    script = f"\\set owner_password '{password}'\n{PREPARE_SQL}{CLOSE_SQL}"
    run_sql(binaries, port, cluster.password(SUPERUSER_SECRET), script)
    cluster.prepared.write_text(PREPARED)
