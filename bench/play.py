"""`python -m bench.play`: drawing from a large bank, and pairs that play at once.

With `--write` it renews docs/benchmarks-play.md. The choice is timed as its statement, on one
connection. Then players draw end to end, in turn at our server and at a bare application with the
same statement. Then each pair draws and completes in turn
at a steady pace on one device, and the other one follows over an event stream: an action's time is
from when it was due until the other device has its version.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
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
from bench.deployment import Environment, open_environment, start_tallygraph
from bench.generations import percentile
from bench.load import request_bytes
from bench.play_peers import SHARE_GOAL, Shares, compare_draws
from bench.webhooks import Connections

CHOICE_GOAL, DELIVERY_GOAL = 5.0, 100.0
# Players who draw end to end at once.
DRAWERS = 8
WRITTEN = Path(__file__).resolve().parents[1] / "docs" / "benchmarks-play.md"
BANK = """
insert into activities
    (id, kind, level, intensity, text, themes, preference_keys, domains, limit_keys, source)
select encode(sha256(n::text::bytea), 'hex'), (array['TRUTH', 'DARE'])[1 + n % 2],
    (array['G', 'R', 'X'])[1 + n / 2 % 3], 1 + n / 6 % 5,
    'Activity ' || n || ' for {active} and {partner}.',
    array['theme-' || n % 40], array['B' || 1 + n % 18 || 'a'], array['SENSATION'],
    case n % 10 when 0 then array['impact'] when 1 then array['anal'] else '{}' end, 'IMPORTED'
from generate_series(1, $1) n
"""
# Each user has what a profile and a hundred activities make of them.
PLAYERS = """
with made as (
    insert into users (email)
    select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id
), limited as (
    insert into boundaries (user_id, item_id, kind, source)
    select id, item, 'HARD', 'SET' from made, unnest(array['impact', 'B3a', 'B9a']) item
), shown as (
    insert into play_history (user_id, activity_id, kind, theme)
    select id, encode(sha256((n * 7)::text::bytea), 'hex'), 'TRUTH', 'theme-' || n % 40
    from made, generate_series(1, 100) n
)
insert into play_themes (user_id, theme, weight)
select id, 'theme-' || n, 0.1 from made, generate_series(1, 20) n
returning user_id
"""
PAIRS = """
with placed as (
    select app.uuid_v7() as session_id, app.uuid_v7() as first_id,
        u[2 * n - 1] as one, u[2 * n] as other
    from (select $1::uuid[] as u) given, generate_series(1, cardinality(u) / 2) n
), played as (
    insert into play_sessions (id, level, status, turn_player_id)
    select session_id, 'X', 'ACTIVE', first_id from placed
), seated as (
    insert into play_players (id, session_id, user_id, seat, name, status)
    select first_id, session_id, one, 1, 'One', 'JOINED' from placed
    union all select app.uuid_v7(), session_id, other, 2, 'Other', 'JOINED' from placed
) select session_id, one, other from placed
"""
CHOICE = """
select c.activity_id from play_sessions s, play_players a, play_players p,
    lateral app.choose_activity(s, a, p, $2, false) c
where s.id = $1 and a.session_id = s.id and a.seat = 1 and p.session_id = s.id and p.seat = 2
"""
SELECTION = "playSession { version current { id text } } errors { code }"
DRAW = (
    "mutation($id: ID!, $v: Int!) {"
    f" drawActivity(input: {{sessionId: $id, version: $v}}) {{ {SELECTION} }} }}"
)
COMPLETE = (
    "mutation($id: ID!, $v: Int!) {"
    " completeActivity(input: {sessionId: $id, version: $v, feedback: LIKE})"
    f" {{ {SELECTION} }} }}"
)
WATCH = """subscription($id: ID!) { playSessionChanged(id: $id) {
  playSession { version turn { playerId } current { id text } } } }"""
VERSION = re.compile(rb'"version":(\d+)')


@dataclass
class Figures:
    """Milliseconds, sorted."""

    chosen: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    missing: int = 0
    shares: Shares = field(default_factory=Shares)


class Pair:
    """Two devices in a session: one acts, the other one follows."""

    def __init__(self, session: UUID, port: int, actor: str, follower: str) -> None:
        self._id = f"playSession_{session}"
        self._port, self._actor, self._follower = port, actor, follower
        self._version = 1
        self.due: dict[int, float] = {}
        self.seen: dict[int, float] = {}

    async def follow(self, stack: AsyncExitStack) -> asyncio.Task[None]:
        """Opens the other device's stream, and waits for the session as it is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        stack.callback(writer.close)
        request = self._request(self._follower, WATCH, id=self._id)
        writer.write(request.replace(b"Accept: application/json", b"Accept: text/event-stream", 1))
        await self._next(reader)
        return asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            version = await self._next(reader)
            self.seen.setdefault(version, time.perf_counter())

    async def _next(self, reader: asyncio.StreamReader) -> int:
        while True:
            found = VERSION.search(await reader.readuntil(b"\n"))
            if found is not None:
                return int(found[1])

    def _request(self, token: str, text: str, **variables: Any) -> bytes:
        body = orjson.dumps({"query": text, "variables": variables})
        return request_bytes(self._port, token, body)

    async def act(self, connections: Connections, due: float) -> float:
        """Draws, or completes what is drawn; how long its answer took."""
        text = DRAW if self._version % 2 else COMPLETE
        request = self._request(self._actor, text, id=self._id, v=self._version)
        self.due[self._version + 1] = due
        answer = orjson.loads(await connections.send(request))
        (payload,) = answer["data"].values()
        if payload["errors"]:
            raise RuntimeError(str(payload["errors"]))
        self._version = payload["playSession"]["version"]
        return (time.perf_counter() - due) * 1000

    def delivered(self) -> list[float]:
        """Milliseconds of the actions that have come to the other device."""
        return [
            (self.seen[version] - due) * 1000
            for version, due in self.due.items()
            if version in self.seen
        ]


async def choose(owner: asyncpg.Connection, sessions: list[UUID], draws: int) -> list[float]:
    """How long the choice takes, for one session after the other."""
    taken = []
    for number in range(draws):
        began = time.perf_counter()
        await owner.fetchval(
            CHOICE, sessions[number % len(sessions)], ("TRUTH", "DARE")[number % 2]
        )
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def play(pairs: list[Pair], port: int, pause: float, seconds: float) -> Figures:
    """Has every pair act at its pace."""
    figures = Figures()

    async def one(number: int, pair: Pair, connections: Connections) -> None:
        due = began + pause * number / len(pairs)
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            figures.answered.append(await pair.act(connections, due))
            due += pause

    async with AsyncExitStack() as stack:
        followers = [await pair.follow(stack) for pair in pairs]
        connections = await stack.enter_async_context(Connections(port).open())
        began = time.perf_counter() + 0.1
        await asyncio.gather(*(one(n, pair, connections) for n, pair in enumerate(pairs)))
        await asyncio.sleep(1)
        for follower in followers:
            follower.cancel()
    figures.delivered = sorted(taken for pair in pairs for taken in pair.delivered())
    figures.missing = sum(len(pair.due) for pair in pairs) - len(figures.delivered)
    figures.answered.sort()
    return figures


def _tokens(environment: Environment, users: list[UUID]) -> list[str]:
    issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
    return [issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token for user in users]


async def measure(
    *, activities: int, draws: int, pairs: int, pause: float, seconds: float, rounds: int = 0
) -> Figures:
    """Starts everything in a folder of its own, measures, and takes it all away."""
    async with open_environment(users=0, busy_users=0) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        try:
            await owner.execute(BANK, activities)
            await owner.execute("select app.set_play_rules(1000, 0)")
            users = {row["user_id"] for row in await owner.fetch(PLAYERS, 2 * pairs)}
            rows = await owner.fetch(PAIRS, sorted(users))
            apart = await owner.fetch(
                PAIRS, sorted({r["user_id"] for r in await owner.fetch(PLAYERS, 2 * DRAWERS)})
            )
            await owner.execute("analyze")
            sessions = [row["session_id"] for row in rows]
            await choose(owner, sessions, min(draws, 20))
            chosen = await choose(owner, sessions, draws)
            with start_tallygraph(environment) as server:
                shares = Shares()
                if rounds:
                    tokens = _tokens(environment, [one for _, one, _ in apart])
                    players = [(s, one, t) for (s, one, _), t in zip(apart, tokens, strict=True)]
                    shares = await compare_draws(
                        environment, owner, server, players, rounds=rounds, seconds=seconds / 4
                    )
                playing = [
                    Pair(session, server.port, *_tokens(environment, [one, other]))
                    for session, one, other in rows
                ]
                figures = await play(playing, server.port, pause, seconds)
            figures.chosen, figures.shares = sorted(chosen), shares
            return figures
        finally:
            await owner.close()


HEADINGS = ("Milliseconds", "n", "p50", "p90", "p99", "Goal")


def rows(figures: Figures) -> list[tuple[str, ...]]:
    """What was timed, a row each."""
    timed = (
        ("The choice of an activity", figures.chosen, f"p50 ≤ {CHOICE_GOAL:.0f}"),
        ("An action answered", figures.answered, ""),
        ("From the action to the other device", figures.delivered, f"p99 ≤ {DELIVERY_GOAL:.0f}"),
    )
    return [
        (
            name,
            str(len(values)),
            *(f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)),
            goal,
        )
        for name, values, goal in timed
    ]


def pace(shares: Shares) -> str:
    """How fast players draw at our server and at the bare application."""
    return (
        f"Drawing end to end, {DRAWERS} players at once, median of {len(shares.ours)} rounds: "
        f"{median(shares.ours):,.0f} draws a second here, {median(shares.bare):,.0f} at a bare "
        f"application that runs the same statement: {shares.share:.2f}× (goal: ≥ {SHARE_GOAL})."
    )


def text(figures: Figures, *, activities: int, pairs: int, pause: float) -> str:
    """The page of the documentation."""
    lines = ["| " + " | ".join(row) + " |" for row in (HEADINGS, ("---",) * 6, *rows(figures))]
    return "\n".join(
        [
            "# Benchmark: playing",
            "",
            "Written by `python -m bench.play --write`, all on one machine: a bank of",
            f"{activities:,} activities, players with boundaries and 100 earlier activities.",
            f"{pairs} pairs play at once, each with an action every {pause:g} seconds. The other",
            "device follows over an event stream: a time is from when an action was due until that",
            "device has its version.",
            "",
            *lines,
            "",
            pace(figures.shares),
            "",
        ]
    )


def show(figures: Figures, console: Console) -> None:
    """Prints the figures as a table."""
    table = Table(*HEADINGS, title="Play")
    for row in rows(figures):
        table.add_row(*row)
    console.print(table)
    if figures.shares.ours:
        console.print(pace(figures.shares))
    if figures.missing:
        console.print(f"{figures.missing} actions never came to the other device.", style="red")


def main(
    activities: Annotated[int, typer.Option(help="Activities in the bank.")] = 100_000,
    draws: Annotated[int, typer.Option(help="How often the choice is timed.")] = 500,
    pairs: Annotated[int, typer.Option(help="Pairs that play at once.")] = 200,
    pause: Annotated[float, typer.Option(help="Seconds between two actions of a pair.")] = 4.0,
    seconds: Annotated[float, typer.Option(help="How long they play.")] = 20.0,
    rounds: Annotated[int, typer.Option(help="Rounds of drawing at each server.")] = 5,
    write_file: Annotated[
        bool, typer.Option("--write", help="Renew docs/benchmarks-play.md.")
    ] = False,
) -> None:
    """Measures how long the choice takes, and how soon the other device has an action."""
    found = measure(
        activities=activities,
        draws=draws,
        pairs=pairs,
        pause=pause,
        seconds=seconds,
        rounds=rounds,
    )
    figures = asyncio.run(found, loop_factory=uvloop.new_event_loop)
    show(figures, Console(highlight=False))
    if write_file:
        WRITTEN.write_text(text(figures, activities=activities, pairs=pairs, pause=pause))


if __name__ == "__main__":
    typer.run(main)
