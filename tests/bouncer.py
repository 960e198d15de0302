"""Starts real PgBouncers with the configuration that the documentation gives."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from db.embedded.database import EmbeddedDatabase
from db.embedded.process import SYSTEM_DIRECTORY, choose_user
from tests.running import ROOT

EXAMPLE = ROOT / "examples" / "pgbouncer.ini"
# Where `.ci/run` puts a newer one than Debian 12 has.
NEWER = SYSTEM_DIRECTORY / "pgbouncer" / "pgbouncer"
START_SECONDS = 60
USERLIST_COMMAND = re.compile(r'psql -XAt -c "(.+?)" > /etc/pgbouncer/userlist.txt', re.DOTALL)


def find_bouncer(*, preparing: bool) -> str:
    """A PgBouncer; with `preparing`, one that knows prepared statements (1.21 or later)."""
    for program in (shutil.which("pgbouncer", path=f"{os.defpath}:/usr/sbin"), str(NEWER)):
        if (
            program
            and os.access(program, os.X_OK)
            and (not preparing or knows_prepared_statements(program))
        ):
            return program
    wanted = "PgBouncer 1.21 or later" if preparing else "PgBouncer"
    pytest.skip(f"this needs {wanted}: install it, or run .ci/run")


def knows_prepared_statements(program: str) -> bool:
    """Whether it can keep them itself: PgBouncer 1.21 or later."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    assert found
    return tuple(map(int, found.groups())) >= (1, 21)


@dataclass
class Bouncer:
    """A PgBouncer in a folder of its own; `url` leads through it."""

    program: str
    preparing: bool
    folder: Path
    port: int
    options: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"postgresql://127.0.0.1:{self.port}/tallygraph"

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.folder / "log").read_text()

    def write_configuration(self, database: EmbeddedDatabase, userlist: str) -> None:
        """The documented configuration; only places and sizes are this test's own."""
        own = {
            "tallygraph": f"host=127.0.0.1 port={database.port} dbname={database.database}",
            "listen_port": str(self.port),
            "auth_file": str(self.folder / "userlist.txt"),
            "unix_socket_dir": "",
            **self.options,
        }
        text = EXAMPLE.read_text()
        for name, value in own.items():
            line = f"{name} = {value}"
            text, found = re.subn(rf"^{name} = .*$", line, text, flags=re.MULTILINE)
            text += "" if found else f"{line}\n"
        (self.folder / "pgbouncer.ini").write_text(text)
        (self.folder / "userlist.txt").write_text(userlist)
        user = choose_user(self.folder / "none")
        for path in (self.folder, *self.folder.iterdir()):
            user.own(path)

    def start(self) -> None:
        """Starts it, as an account that is not root's: it refuses that one."""
        user = choose_user(self.folder / "none")
        account = {"user": user.uid, "group": user.gid} if user.drops_privileges else {}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, str(self.folder / "pgbouncer.ini")],
                **account,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"PgBouncer did not start:\n{self.log}")

    def kill(self) -> None:
        """Ends it like a crash."""
        assert self.process
        self.process.kill()
        self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def userlist(database: EmbeddedDatabase) -> str:
    """userlist.txt as the documentation's command writes it: names and Postgres's SCRAM secrets."""
    documented = USERLIST_COMMAND.search((ROOT / "docs" / "operations.md").read_text())
    assert documented
    query = documented[1].replace('\\"', '"')  # as the shell would
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        return "".join(f"{row[0]}\n" for row in await superuser.fetch(query))
    finally:
        await superuser.close()


@contextmanager
def running_bouncer(
    database: EmbeddedDatabase, users: str, *, preparing: bool, **options: str
) -> Iterator[Bouncer]:
    """A PgBouncer for a block, with or without prepared statements of its own."""
    program = find_bouncer(preparing=preparing)
    if knows_prepared_statements(program):
        options["max_prepared_statements"] = "200" if preparing else "0"
    folder = Path(tempfile.mkdtemp(prefix="tallygraph-pgbouncer-"))
    bouncer = Bouncer(program, preparing, folder, _free_port(), options)
    try:
        bouncer.write_configuration(database, users)
        bouncer.start()
        yield bouncer
    finally:
        if bouncer.process and bouncer.process.poll() is None:
            bouncer.kill()
        shutil.rmtree(folder)
