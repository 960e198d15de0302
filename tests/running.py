"""Starts the real server as a process of its own, the way a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from settings import Settings
from tests.commands import ForkedProcess, run_forked
from tests.prepared import prepare

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 110
STOP_SECONDS = 60
COMMAND_SECONDS = 110

type Process = subprocess.Popen[bytes] | ForkedProcess


@dataclass
class RunningServer:
    """A server process: where it listens, where its data and its log are."""

    url: str
    process: Process
    data_directory: Path
    log: Path

    @cached_property
    def owner_url(self) -> str:
        """The database as its owner, as `tallygraph db url` prints it."""
        return run_command(self.data_directory, "db", "url").stdout.strip()

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


def environment(data_directory: Path, **variables: str) -> dict[str, str]:
    """This process's environment with a deployment of its own."""
    return {**os.environ, "DATA_DIRECTORY": str(data_directory), "PORT": "0", **variables}


def run_command(
    data_directory: Path, *arguments: str, root: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs `tallygraph …` to its end, of the code in `root`."""
    if root == ROOT:
        return run_forked([*arguments], environment(data_directory, **variables), COMMAND_SECONDS)
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=root,
        env=environment(data_directory, **variables),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def start_command(
    arguments: list[str], variables: dict[str, str], output: IO[bytes], root: Path = ROOT
) -> Process:
    """Starts `tallygraph …` of the code in `root`, with all that it prints in one file."""
    if root == ROOT:
        return ForkedProcess(arguments, variables, output.fileno(), output.fileno())
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        cwd=root,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def start_server(data_directory: Path, root: Path = ROOT, **variables: str) -> RunningServer:
    """`tallygraph dev` on a free port, once it has said that it is ready.

    Where it would make its database first, it finds one that is made and migrated.
    """
    data_directory.mkdir(parents=True, exist_ok=True)
    if "DATABASE_URL" not in variables:
        prepare(Settings(data_directory=data_directory))
    return start_server_as_is(data_directory, root, **variables)


def start_server_as_is(data_directory: Path, root: Path = ROOT, **variables: str) -> RunningServer:
    """`tallygraph dev` on whatever is in its folder, so in an empty one with nothing at all."""
    data_directory.mkdir(parents=True, exist_ok=True)
    log = data_directory / "server.log"
    with log.open("ab") as output:
        process = start_command(["dev"], environment(data_directory, **variables), output, root)
    lock = data_directory / "server.lock"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            found = json.loads(lock.read_text())
            if found["pid"] == process.pid:
                return RunningServer(found["url"], process, data_directory, log)
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@contextmanager
def running_server(
    data_directory: Path, root: Path = ROOT, **variables: str
) -> Iterator[RunningServer]:
    """A server for a block."""
    server = start_server(data_directory, root, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
