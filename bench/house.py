"""What the measurements stand on: a database with people in it, their tokens, and the servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import orjson

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.workloads import export_statements
from db.embedded import destroy_embedded, start_embedded
from db.migrate import migrate
from db.seeding import load_seed
from settings import Settings

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 30.0
TOKEN_SECONDS = 24 * 3600
FILL_SQL = """
insert into users (email) select 'user' || n || '@example.test' from generate_series(1, {users}) n;
select app.grant_credits(id, 'ADMIN', 1000000) from users;
create temporary table chosen as select id from users order by id limit {busy_users};
insert into profiles (user_id, local_id, name, analysis, created_at, updated_at)
select u.id, n, 'Profile ' || n, '{{"season": "winter"}}', now() - n * interval '1 hour', now()
from chosen u, generate_series(1, 20) n;
insert into uploads (user_id, content_type, declared_size_bytes, expires_at)
select u.id, 'image/jpeg', 100000, now() + interval '1 day' from chosen u;
insert into generations
    (user_id, tool_id, upload_id, status, cache_key, credits_charged, created_at)
select p.user_id, 'hair-color', p.id, 'SUCCEEDED', md5(p.id::text || n), 1,
    now() - n * interval '1 hour'
from uploads p, generate_series(1, 20) n;
-- One spend each: a plan made over a table that was analyzed empty would read all of it for long.
select set_config('app.user_id', id::text, false), app.spend_credits(1, null, null, 'first')
from users;
analyze;
"""


@dataclass(frozen=True)
class Server:
    """A server under measurement."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class House:
    """Everything that runs."""

    ours: Server
    bare: Server
    tokens: list[str]
    owner_url: str

    @property
    def servers(self) -> tuple[Server, Server]:
        """Ours and the peer."""
        return self.ours, self.bare


async def fill(owner_url: str, users: int, busy_users: int) -> list[UUID]:
    """Makes the people; returns those with profiles and generations."""
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.execute(FILL_SQL.format(users=users, busy_users=busy_users))
        return [row["id"] for row in await owner.fetch("select id from chosen order by id")]
    finally:
        await owner.close()


def issue_tokens(settings: Settings, users: list[UUID]) -> dict[str, str]:
    """Two access tokens for each user, and whose they are."""
    issuer = AccessTokens(SigningKeys.load(settings), settings)
    return {
        issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token: str(user)
        for _ in range(2)
        for user in users
    }


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
    name: str, port: int, arguments: list[str], log: Path, **variables: str
) -> Iterator[Server]:
    """A server of its own process on the first core, from its first answer to the block's end."""
    with log.open("wb") as output, on_core(0):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await_listening(process, port, log)
        yield Server(name, port, process)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"a server did not start:\n{log.read_text()}")


@asynccontextmanager
async def open_house(users: int, busy_users: int) -> AsyncIterator[House]:
    """Starts and fills everything in a folder of its own; takes it all away again."""
    with tempfile.TemporaryDirectory(prefix="tallygraph-bench-") as folder:
        settings = Settings(
            data_directory=Path(folder) / "data", access_token_seconds=TOKEN_SECONDS
        )
        database = start_embedded(settings)
        try:
            await migrate(database.owner_url, settings)
            await load_seed(database.owner_url, "demo")
            tokens = issue_tokens(settings, await fill(database.owner_url, users, busy_users))
            ours, bare = free_port(), free_port()
            config = Path(folder) / "bare.json"
            config.write_bytes(
                orjson.dumps(
                    {
                        "url": database.owner_url,
                        "port": bare,
                        "password": settings.secret("database-authenticated-password"),
                        "pool_size": settings.pool_size,
                        "users": tokens,
                        "statements": await export_statements(database.owner_url, settings),
                    }
                )
            )
            with (
                start_ours(ours, settings, database.owner_url, Path(folder)) as our_server,
                running(
                    "bare", bare, ["bench.bare", str(config)], Path(folder) / "bare.log"
                ) as peer,
            ):
                yield House(our_server, peer, list(tokens), database.owner_url)
        finally:
            database.stop()
            destroy_embedded(settings)


def start_ours(
    port: int, settings: Settings, owner_url: str, folder: Path
) -> AbstractContextManager[Server]:
    """`tallygraph serve`, as a user starts it, and quiet."""
    return running(
        "tallygraph",
        port,
        ["cli", "serve"],
        folder / "tallygraph.log",
        PORT=str(port),
        DATABASE_URL=owner_url,
        DATA_DIRECTORY=str(settings.data_directory),
        ACCESS_TOKEN_SECONDS=str(TOKEN_SECONDS),
        LOG_LEVEL="warning",
    )


def start_bare(port: int, config: Path) -> AbstractContextManager[Server]:
    """The peer."""
    return running("bare", port, ["bench.bare", str(config)], config.with_suffix(".log"))
