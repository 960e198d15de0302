"""Runs commands in processes that begin with everything imported, as importing takes most of their time.

`python -m tests.commands SOCKET` imports the product once, builds its schema and forks for each command it is sent: a
process with an environment and outputs of its own, in which `python -m cli` or another module runs as it does elsewhere.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 110
OUTPUTS = 2
PID_BYTES = 8
ORPHANED_EVERY_SECONDS = 5.0


class ForkedProcess:
    """`tallygraph …` in a fork of this process's own command server, with the methods of Popen.

    `module` is another to run, and `output` and `errors` are file descriptors: this process's, unless others are given.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        output: int = 1,
        errors: int = 2,
        module: str = "cli",
    ) -> None:
        self.returncode: int | None = None
        self._arguments = arguments
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(_command_server()))
        socket.send_fds(self._connection, [b"-"], [output, errors])
        command = {"module": module, "arguments": arguments, "environment": environment}
        self._connection.sendall(json.dumps(command).encode())
        self._connection.shutdown(socket.SHUT_WR)
        self.pid = int.from_bytes(self._connection.recv(PID_BYTES))

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        if self.returncode is None:
            self.returncode = int(self._connection.recv(16))
            self._connection.close()

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    arguments: list[str], environment: dict[str, str], timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs `tallygraph …` to its end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = ForkedProcess(arguments, environment, output.fileno(), errors.fileno())
        try:
            status = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(arguments, status, _text_of(output), _text_of(errors))


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return TextIOWrapper(file, encoding="utf-8").read()


@cache
def _command_server() -> Path:
    """The socket of a command server that lives as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="tallygraph-commands-")
    path = Path(folder.name) / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.commands", str(path)], cwd=ROOT, stdin=subprocess.DEVNULL
    )

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        assert process.poll() is None, "the command server ended"
        assert time.monotonic() < deadline, "the command server did not start"
        time.sleep(0.01)
    return path


def _serve(path: Path) -> dict[str, Any] | None:
    """Forks for each connection. Returns in the process of a command, with what it is to run."""
    with socket.socket(socket.AF_UNIX) as listener:
        unready = path.with_suffix(".unready")
        listener.bind(str(unready))
        listener.listen(64)
        unready.rename(path)
        # Whoever waits for a command ends by itself, and leaves nothing to be waited for.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        listener.settimeout(ORPHANED_EVERY_SECONDS)
        parent = os.getppid()
        while os.getppid() == parent:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                if os.fork() == 0:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    connection.settimeout(None)
                    return _answer(connection)
    return None


def _answer(connection: socket.socket) -> dict[str, Any]:
    """Forks once more: one runs the command, the other says how it ended."""
    _, files, _, _ = socket.recv_fds(connection, 1, OUTPUTS)
    received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    child = os.fork()
    if child == 0:
        for target, source in enumerate(files, start=1):
            os.dup2(source, target)
            os.close(source)
        connection.close()
        command: dict[str, Any] = json.loads(received)
        return command
    connection.sendall(child.to_bytes(PID_BYTES))
    for file in files:
        os.close(file)
    _, ended = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(ended)).encode())
    os._exit(0)


def _prepare_product(nowhere: Path) -> None:
    import typer  # noqa: F401

    import graph.schema
    import server.app
    import server.serving  # noqa: F401
    from db.migrations.functions import declared_functions
    from settings import get_settings
    from settings_sealed import secrets_read
    from tests.quickened import quicken

    graph.schema.slices()
    # Each command has settings of its own: whoever imports must not have read them.
    assert get_settings.cache_info().currsize == 0
    # The schema has nothing of them, but its check asks for expressions that name where the server is reached.
    os.environ.clear()
    os.environ["DATA_DIRECTORY"] = str(nowhere)
    graph.schema.build_schema()
    get_settings.cache_clear()
    assert not secrets_read()
    declared_functions()
    quicken()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    _prepare_product(place.with_suffix(".data"))
    if command := _serve(place):
        os.environ.clear()
        os.environ.update(command["environment"])
        sys.argv = ["tallygraph", *command["arguments"]]
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
