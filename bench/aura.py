"""`python -m bench.aura`: Aura's syncs and chats; with `--write` it renews docs/benchmarks-aura.md.

A sync of changes through the API against the same rows upserted one by one, as PostgREST does:
each in a transaction with the role and the claims, once by a request to a bare application and
once straight to Postgres. A first sync against COPY of the same rows, both ways. Chats are
`bench.chat`'s.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench import chat
from bench.chart import Bar, Block, picture
from bench.deployment import (
    Environment,
    Server,
    open_environment,
    start_bare,
    start_tallygraph,
)
from bench.generations import percentile
from bench.load import request_bytes
from bench.peers.bare_rows import upsert
from bench.processes import memory_mebibytes, usable_cores
from bench.report import DOCS, markdown_table
from bench.webhooks import Connections
from db.core.pool import role_url

OURS, ROWS, SENT = "tallygraph", "row by row", "row by row over HTTP"
COPY, BARE = "COPY", "COPY into a bare table"
LEAST_FASTER, MOST_SLOWER, MOST_MEBIBYTES = 5.0, 3.0, 200.0
# Of so many devices in a round, as one takes a few hundredths of a second.
SYNCS = 10
# As many as keep a request below the server's limit of values.
MOST_CHANGES = 250
SYNC = """mutation($input: SyncProfilesInput!) { syncProfiles(input: $input) {
  changes { id localId deleted name analysis createdAt updatedAt } accepted { id }
  cursor hasMore errors { code message } } }"""
ONE_USER = "insert into users (email) values (gen_random_uuid() || '@example.test') returning id"
COPIED = (
    "select id, local_id, name, analysis, created_at, updated_at from profiles where user_id = $1"
)
COLUMNS = ("user_id", "local_id", "name", "analysis")
BARE_TABLE = "create temp table bare_rows as select user_id, local_id, name, analysis from profiles"
# Of the size that a complete analysis has.
ANALYSIS = {
    "basics": {"name": "Kim", "age": 31, "location": "Lisbon"},
    "photos": [{"description": "On a wall, laughing " * 4, "vibe": "warm"} for _ in range(4)],
    "recommended_openers": [{"message": "Which wall do you like best? " * 3}] * 3,
    "overall_analysis": {"summary": "Climbs and reads. " * 10, "green_flags": ["Asks back"] * 4},
}


@dataclass
class AuraFigures:
    """Seconds of each turn, by who took them; and what the server's memory grew to."""

    changes: int
    profiles: int
    sync: dict[str, list[float]] = field(default_factory=dict)
    down: dict[str, list[float]] = field(default_factory=dict)
    up: dict[str, list[float]] = field(default_factory=dict)
    mebibytes: float = 0.0
    chats: chat.Figures = field(default_factory=chat.Figures)


@dataclass
class AuraPhone:
    """A device of a new user."""

    user: UUID
    token: str
    server: Server
    device_id: str = field(default_factory=lambda: str(uuid4()))
    clock: int = 1_700_000_000_000

    async def sync(self, since: str | None, changes: list[dict[str, Any]]) -> dict[str, Any]:
        """One request; the payload."""
        given = {"deviceId": self.device_id, "since": since, "changes": changes}
        body = orjson.dumps({"query": SYNC, "variables": {"input": given}})
        async with Connections(self.server.port, 1).open() as connections:
            answer = await connections.send(request_bytes(self.server.port, self.token, body))
        said = orjson.loads(answer)
        if "errors" in said or said["data"]["syncProfiles"]["errors"]:
            raise RuntimeError(answer[:1000].decode())
        payload: dict[str, Any] = said["data"]["syncProfiles"]
        return payload

    async def send(self, since: str | None, first: int, count: int) -> str:
        """Sends new versions of so many profiles in as few requests as it takes; the new cursor."""
        for start in range(first, first + count, MOST_CHANGES):
            numbers = range(start, min(start + MOST_CHANGES, first + count))
            self.clock += 1
            changes = [_change(n, self.clock) for n in numbers]
            payload = await self.sync(since, changes)
            assert len(payload["accepted"]) == len(changes)
            since = payload["cursor"]
        assert since is not None
        return since

    async def fetch(self) -> list[bytes]:
        """Fetches everything, as a new device on one connection: the answers, page by page.

        Only the cursor is read of each, as COPY's reader does not read its rows either.
        """
        pages: list[bytes] = []
        since, has_more = None, True
        async with Connections(self.server.port, 1).open() as connections:
            while has_more:
                given: dict[str, Any] = {
                    "deviceId": self.device_id,
                    "since": since,
                    "changes": [],
                }
                body = orjson.dumps({"query": SYNC, "variables": {"input": given}})
                page = await connections.send(request_bytes(self.server.port, self.token, body))
                pages.append(page)
                tail = orjson.loads(b"{" + page[page.rindex(b'"cursor":') : -2])
                since, has_more = tail["cursor"], tail["hasMore"]
        return pages


def _change(number: int, clock: int) -> dict[str, Any]:
    analysis = ANALYSIS | {"version": clock}
    return {"localId": number, "clock": f"{clock}:0", "name": f"n {clock}", "analysis": analysis}


async def a_phone(environment: Environment, owner: asyncpg.Connection, server: Server) -> AuraPhone:
    """A device of somebody who has just signed up."""
    user = await owner.fetchval(ONE_USER)
    issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
    issued = issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False)
    return AuraPhone(user, issued.token, server)


async def row_by_row(connection: asyncpg.Connection, user: UUID, first: int, count: int) -> None:
    """Each row in a transaction of its own with its claims, as PostgREST sends it."""
    analysis = orjson.dumps(ANALYSIS | {"version": first}).decode()
    for number in range(first, first + count):
        await upsert(connection, str(user), number, f"n {number}", analysis)


async def row_by_row_over_http(server: Server, user: UUID, first: int, count: int) -> None:
    """The same, each row in a request of its own to the bare application."""
    analysis = ANALYSIS | {"version": first}
    async with Connections(server.port, 1).open() as connections:
        for number in range(first, first + count):
            given = {"user": str(user), "localId": number, "name": f"n {number}"}
            variables = {"input": given | {"analysis": analysis}}
            body = orjson.dumps({"query": "upsert", "variables": variables})
            await connections.send(request_bytes(server.port, None, body))


async def copied_in(
    owner: asyncpg.Connection, user: UUID, count: int, table: str = "profiles"
) -> None:
    """The same rows by COPY, in one transaction."""
    analysis = orjson.dumps(ANALYSIS).decode()
    rows = [(user, number, f"n {number}", analysis) for number in range(count)]
    await owner.copy_records_to_table(table, records=rows, columns=COLUMNS)


async def copied_out(owner: asyncpg.Connection, user: UUID) -> None:
    """The rows by COPY."""
    await owner.copy_from_query(COPIED, user, output=io.BytesIO())


@contextmanager
def watched_memory(server: Server, figures: AuraFigures) -> Iterator[None]:
    """Notes the most memory that the server had during a block."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            figures.mebibytes = max(figures.mebibytes, memory_mebibytes(server))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


async def _syncs(environment: Environment, figures: AuraFigures, rounds: int) -> None:
    """Rounds in which both take turns; the first is only to warm up."""
    owner = await asyncpg.connect(environment.owner_url)
    url = role_url(environment.owner_url, "authenticated", environment.password)
    rows = await asyncpg.connect(url)
    bare = start_bare(environment, {}, "", "bench.peers.bare_rows")
    with start_tallygraph(environment) as server, bare as peer:
        for number in range(rounds + 1):
            taken = await _one_round(environment, owner, rows, (server, peer), figures)
            for seconds, name, value in taken if number else ():
                seconds.setdefault(name, []).append(value)
            if not number:
                # As autovacuum does within a minute: until then plans are made for an empty table.
                await owner.execute("analyze profiles")
    await rows.close()
    await owner.close()


async def _one_round(
    environment: Environment,
    owner: asyncpg.Connection,
    rows: asyncpg.Connection,
    servers: tuple[Server, Server],
    figures: AuraFigures,
) -> list[tuple[dict[str, list[float]], str, float]]:
    taken = []

    async def timed(seconds: dict[str, list[float]], name: str, work: Any) -> Any:
        started = perf_counter()
        result = await work
        taken.append((seconds, name, perf_counter() - started))
        return result

    server, peer = servers
    for _ in range(SYNCS):
        # Half of the changes are to what is there.
        half = figures.changes // 2
        phone, other, third = [await a_phone(environment, owner, server) for _ in range(3)]
        cursor = await phone.send(None, 0, half)
        await row_by_row(rows, other.user, 0, half)
        await row_by_row_over_http(peer, third.user, 0, half)
        await timed(figures.sync, OURS, phone.send(cursor, 0, figures.changes))
        await timed(figures.sync, SENT, row_by_row_over_http(peer, third.user, 0, figures.changes))
        await timed(figures.sync, ROWS, row_by_row(rows, other.user, 0, figures.changes))
    phone, other = [await a_phone(environment, owner, server) for _ in range(2)]
    with watched_memory(server, figures):
        await timed(figures.up, OURS, phone.send(None, 0, figures.profiles))
        await timed(figures.up, COPY, copied_in(owner, other.user, figures.profiles))
        phone.device_id = str(uuid4())
        await owner.execute(f"{BARE_TABLE} with no data")
        await timed(figures.up, BARE, copied_in(owner, other.user, figures.profiles, "bare_rows"))
        await owner.execute("drop table bare_rows")
        pages = await timed(figures.down, OURS, phone.fetch())
        answers = [orjson.loads(page)["data"]["syncProfiles"] for page in pages]
        found = sum(len(answer["changes"]) for answer in answers)
        assert found == figures.profiles, found
        await timed(figures.down, COPY, copied_out(owner, phone.user))
    return taken


async def measure(
    *, changes: int, profiles: int, rounds: int, chats: int, pieces: int, first_words: int = 20
) -> AuraFigures:
    """Starts everything in folders of its own, measures, and takes it all away."""
    figures = AuraFigures(changes, profiles)
    async with open_environment(users=0, busy_users=0) as environment:
        await _syncs(environment, figures, rounds)
    figures.chats = await chat.measure(
        chats=chats, pieces=pieces, every=0.3, first_words=first_words
    )
    return figures


HEADER = ("What", "Against", "Ours", "Theirs", "Goal", "Reached (min–max)")


def lines(figures: AuraFigures) -> list[list[str]]:
    """One line for each goal."""
    told = [
        _against(f"A sync of {figures.changes:,} changes", figures.sync, SENT, LEAST_FASTER),
        _against(f"A sync of {figures.changes:,} changes", figures.sync, ROWS, LEAST_FASTER),
        _against(f"First sync of {figures.profiles:,} profiles", figures.down, COPY),
        _against(f"Sending {figures.profiles:,} new profiles", figures.up, COPY),
        _against(f"Sending {figures.profiles:,} new profiles", figures.up, BARE),
    ]
    memory = f"{figures.mebibytes:.0f} MiB"
    mark = "✓" if figures.mebibytes <= MOST_MEBIBYTES else "✗"
    told.append(["The server's memory meanwhile", "", memory, "", "≤ 200 MiB", f"{mark} {memory}"])
    first = percentile(figures.chats.first, 0.5)
    mark = "✓" if first <= chat.FIRST_WORD_GOAL else "✗"
    goal, reached = f"p50 ≤ {chat.FIRST_WORD_GOAL:.0f} ms", f"{mark} {first:.1f} ms"
    told.append(["First word of a reply", "the provider's", f"{first:.1f} ms", "", goal, reached])
    return told


def _against(
    what: str, seconds: dict[str, list[float]], peer: str, least: float | None = None
) -> list[str]:
    """Ours next to a peer's: at least so many times as fast, or at most three times as slow."""
    ours, theirs = (statistics.median(seconds[name]) * 1000 for name in (OURS, peer))
    ratios = [ours / theirs for ours, theirs in zip(seconds[OURS], seconds[peer], strict=True)]
    if least is not None:
        ratios = [1 / ratio for ratio in ratios]
    middle = statistics.median(ratios)
    is_met = middle >= least if least is not None else middle <= MOST_SLOWER
    goal = f"≥ {least:g}× as fast" if least is not None else f"≤ {MOST_SLOWER:g}× as long"
    reached = f"{'✓' if is_met else '✗'} {middle:.2f}× ({min(ratios):.2f}–{max(ratios):.2f})"
    return [what, peer, f"{ours:,.0f} ms", f"{theirs:,.0f} ms", goal, reached]


def show(figures: AuraFigures, console: Console) -> None:
    """Prints the figures."""
    table = Table(*HEADER, title="Aura", title_justify="left")
    for line in lines(figures):
        table.add_row(*line)
    console.print(table)
    chat.show(figures.chats, console)


def chart(figures: AuraFigures) -> str:
    """docs/benchmarks-aura.svg: shorter is better."""
    blocks = [
        Block(
            title,
            [
                Bar(name, middle, f"{middle:,.0f} ms")
                for name, taken in seconds.items()
                for middle in [statistics.median(taken) * 1000]
            ],
        )
        for title, seconds in (
            (f"A sync of {figures.changes:,} changes", figures.sync),
            (f"First sync of {figures.profiles:,} profiles", figures.down),
            (f"Sending {figures.profiles:,} new profiles", figures.up),
        )
    ]
    return picture(
        "Milliseconds of syncs, of Tallygraph and its peers",
        "Milliseconds until all of it is done; less is better. Each block has its own scale.",
        "Peers talk to Postgres itself, Tallygraph's clients to its API.",
        blocks,
    )


def write(figures: AuraFigures, rounds: int, chats: int) -> None:
    """Renews the page and its chart."""
    told = figures.chats
    shares = [f"{percentile(told.told, share):.0f}" for share in (0.5, 0.9, 0.99)]
    page = PAGE.format(
        table=markdown_table(HEADER, lines(figures)),
        chats=chats,
        told=" · ".join(shares),
        cpu=f"{told.cpu_microseconds:.0f}",
        missing=told.missing,
        rounds=rounds,
        syncs=SYNCS,
        cores=usable_cores(),
        bytes=f"{len(orjson.dumps(ANALYSIS)):,}",
    )
    (DOCS / "benchmarks-aura.md").write_text(page)
    (DOCS / "benchmarks-aura.svg").write_text(chart(figures))


PAGE = """# Benchmarks of syncs and chats

What do a device's syncs take, and how soon are the words of a reply with the client?

![Milliseconds of syncs](benchmarks-aura.svg)

{table}

Ratios compare two that took turns; each figure is the median of all. A round has {syncs} syncs.

- **A sync** is one request, half of whose changes are to profiles that are there. **Row by row**
  is the same as upserts, each in a transaction with the role and the claims, as PostgREST sends
  it: **over HTTP** each in a request of its own to a bare application that checks no token, and
  else straight to Postgres, without the HTTP and JSON that ours pays.
- **A first sync** fetches everything on a new device, page by page over HTTP, each page in a
  transaction of its own. **COPY** reads the same columns of the same rows straight from Postgres,
  in one statement. Neither reader parses what it gets.
- **Sending** is a device's first sync in the other direction, 250 changes in a request, each of
  which is judged and gets its versions and
  position. COPY writes the rows in one transaction into the same table, whose constraints
  and triggers (events, quotas, versions) it pays like any writer. **Into a bare table** is
  COPY into one of the same columns without any of these.
- An analysis has {bytes} bytes. The server's memory is its resident set, while it syncs.

## Chats

{chats} chats are followed at once, each over an event stream. From the worker's write of a piece
to its client: p50 · p90 · p99 {told} ms.
Each delta takes {cpu} µs of the server's processor, and {missing} never came. Next to
Strawberry's own handler live delivery stands in
[benchmarks-live.md](benchmarks-live.md).

## How it is measured

```
.venv/bin/python -m bench.aura       # --help lists the options; --write renews this page
```

{cores} cores, {rounds} rounds after one to warm up, both in turn, Postgres embedded with fsync
on. Expect absolute figures to differ on
another machine; compare the ratios.
"""


def main(
    changes: Annotated[int, typer.Option(help="Changes of a sync.")] = 100,
    profiles: Annotated[int, typer.Option(help="Profiles of a first sync.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 5,
    chats: Annotated[int, typer.Option(help="Chats that are followed at once.")] = 500,
    pieces: Annotated[int, typer.Option(help="Pieces of each reply.")] = 50,
    publish: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks-aura.md and its chart.")
    ] = False,
) -> None:
    """Measures syncs and chats."""
    work = measure(changes=changes, profiles=profiles, rounds=rounds, chats=chats, pieces=pieces)
    figures = asyncio.run(work, loop_factory=uvloop.new_event_loop)
    show(figures, Console(highlight=False))
    if publish:
        write(figures, rounds, chats)


if __name__ == "__main__":
    typer.run(main)
