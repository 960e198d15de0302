"""`python -m bench.webhooks`: payments that are told of at a steady pace while users spend.

The sandbox delivers signed webhooks, each of an order of its own, and users send `spendCredits`,
both at times that are fixed beforehand: an answer's time counts from when its request was due, so
that a server that stalls cannot make its clients ask less. The credits' time is from there to the
movement in the ledger. API and worker are processes of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import asyncpg
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.deployment import (
    Environment,
    Server,
    open_environment,
    start_tallygraph,
    start_worker,
)
from bench.documents import OURS, SPEND, worded
from bench.generations import percentile
from bench.load import request_bytes
from bench.processes import Postgres, busy_seconds
from payments.sandbox import SandboxProvider, make_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECTIONS = 48
SPENDERS = 200
WARM_SECONDS = 2.0
# How long credits that are still missing at the end are waited for.
SETTLE_SECONDS = 30.0
ACKNOWLEDGED_GOAL, CREDITED_GOAL = 20.0, 150.0
DOCUMENT = worded(SPEND, OURS)
FILL = """
with buyers as (
    insert into users (email)
    select gen_random_uuid() || '@example.test' from generate_series(1, $1)
    returning id
), ordered as (
    insert into orders
        (user_id, product_id, kind, credits, provider, amount_cents, currency, expires_at)
    select id, 'credits-50', 'CREDITS', 50, 'sandbox', 500, 'USD', now() + interval '1 day'
    from buyers returning id
)
insert into order_references (provider, reference, order_id)
select 'sandbox', id::text, id from ordered returning order_id
"""
SPENDING = """
insert into users (email)
select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id
"""
CREDITED = """
select reference_id, extract(epoch from created_at)::float8 as at
from credit_transactions where type = 'PURCHASE' and reference_id = any($1)
"""


@dataclass
class Figures:
    """Milliseconds, sorted, and how many orders never had their credits."""

    acknowledged: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    credited: list[float] = field(default_factory=list)
    missing: int = 0
    # Milliseconds for each webhook, what the spends took included.
    processor: dict[str, float] = field(default_factory=dict)


class Connections:
    """Keep-alive connections to the server; a request takes one that is free."""

    def __init__(self, port: int, count: int = CONNECTIONS) -> None:
        self._port = port
        self._count = count
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connections]:
        """Opens them all, and closes them at the end."""
        opened = [
            await asyncio.open_connection("127.0.0.1", self._port) for _ in range(self._count)
        ]
        for one in opened:
            self._free.put_nowait(one)
        try:
            yield self
        finally:
            for _, writer in opened:
                writer.close()

    async def send(self, request: bytes) -> bytes:
        """Sends a request; the answer's body, of status 200."""
        reader, writer = await self._free.get()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            start = head.lower().index(b"content-length:") + len(b"content-length:")
            body = await reader.readexactly(int(head[start : head.index(b"\r", start)]))
        finally:
            self._free.put_nowait((reader, writer))
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError((head + body)[:1000].decode(errors="replace"))
        return body


def webhook_bytes(port: int, sandbox: SandboxProvider, order: UUID) -> bytes:
    """A delivery of a payment."""
    told = {
        "order": str(order),
        "payment": str(uuid4()),
        "amount_cents": 500,
        "currency": "USD",
    }
    delivery = sandbox.delivery("payment.succeeded", told)
    headers = "".join(f"{name}: {value}\r\n" for name, value in delivery.headers.items())
    return (
        f"POST /webhooks/sandbox HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
        f"Content-Length: {len(delivery.body)}\r\n\r\n"
    ).encode() + delivery.body


def spend_bytes(port: int, token: str) -> bytes:
    """A spend of one credit, under a new key."""
    given = {"amount": 1, "idempotencyKey": uuid4().hex}
    body = orjson.dumps({"query": DOCUMENT, "variables": {"input": given}})
    return request_bytes(port, token, body)


async def at_a_pace(
    connections: Connections, requests: Iterator[Callable[[], bytes]], pace: float, seconds: float
) -> list[tuple[float, float]]:
    """Sends so many requests a second, whatever the server does: when each was due, its time."""
    done: list[tuple[float, float]] = []
    began, wall = time.perf_counter(), time.time()

    async def one(due: float, make: Callable[[], bytes]) -> None:
        await connections.send(make())
        done.append((wall + due - began, (time.perf_counter() - due) * 1000))

    tasks = []
    for number in range(int(pace * seconds)):
        due = began + number / pace
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.create_task(one(due, next(requests))))
    await asyncio.gather(*tasks)
    return done


class Arena:
    """A server and a worker over orders and users."""

    def __init__(
        self,
        environment: Environment,
        server: Server,
        worker: Server,
        postgres: Postgres,
        owner: asyncpg.Connection,
    ) -> None:
        sandbox = make_sandbox(environment.settings)
        assert sandbox is not None
        self._sandbox = sandbox
        self._issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
        self._port = server.port
        self._owner = owner
        self._processes: dict[str, Callable[[], float]] = {
            "API": partial(busy_seconds, server),
            "worker": partial(busy_seconds, worker),
            "Postgres": postgres.cpu_seconds,
        }

    async def run(self, webhooks: float, spends: float, seconds: float) -> Figures:
        """One run of both at their paces."""
        orders = [row["order_id"] for row in await self._owner.fetch(FILL, int(webhooks * seconds))]
        tokens = await self._spenders()
        due: dict[str, float] = {}
        figures = Figures()
        before = {name: used() for name, used in self._processes.items()}
        async with Connections(self._port).open() as connections:
            told, spent = await asyncio.gather(
                at_a_pace(connections, self._webhooks(orders, due), webhooks, seconds),
                at_a_pace(connections, self._spends(tokens), spends, seconds),
            )
        figures.acknowledged = sorted(milliseconds for _, milliseconds in told)
        figures.spent = sorted(milliseconds for _, milliseconds in spent)
        credited = await self._credited(orders)
        figures.processor = {
            name: (used() - before[name]) * 1000 / len(orders)
            for name, used in self._processes.items()
        }
        figures.missing = len(orders) - len(credited)
        figures.credited = sorted((at - due[order]) * 1000 for order, at in credited.items())
        return figures

    async def _spenders(self) -> list[str]:
        users = [row["id"] for row in await self._owner.fetch(SPENDING, SPENDERS)]
        await self._owner.execute(
            "select app.grant_credits(u, 'ADMIN', 1000000) from unnest($1::uuid[]) u", users
        )
        return [
            self._issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token
            for user in users
        ]

    def _webhooks(self, orders: list[UUID], due: dict[str, float]) -> Iterator[Callable[[], bytes]]:
        for order in orders:

            def make(order: UUID = order) -> bytes:
                due[str(order)] = time.time()
                return webhook_bytes(self._port, self._sandbox, order)

            yield make

    def _spends(self, tokens: list[str]) -> Iterator[Callable[[], bytes]]:
        for token in cycle(tokens):
            yield partial(spend_bytes, self._port, token)

    async def _credited(self, orders: list[UUID]) -> dict[str, float]:
        """When each order's credits came, once all have or nothing more comes."""
        wanted = [str(order) for order in orders]
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            found = {
                row["reference_id"]: row["at"] for row in await self._owner.fetch(CREDITED, wanted)
            }
            if len(found) == len(orders) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.2)


async def measure(webhooks: float, spends: float, seconds: float) -> Figures:
    """Starts everything in a folder of its own, warms it up, measures, and takes it all away."""
    async with open_environment(users=0, busy_users=0) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        try:
            postgres = await Postgres.find(environment.owner_url)
            with start_tallygraph(environment) as server, start_worker(environment) as worker:
                arena = Arena(environment, server, worker, postgres, owner)
                await arena.run(webhooks, spends, min(WARM_SECONDS, seconds))
                return await arena.run(webhooks, spends, seconds)
        finally:
            await owner.close()


def show(figures: Figures, console: Console) -> None:
    """Prints the figures as a table."""
    table = Table("Milliseconds", "n", "p50", "p90", "p99", "Goal", title="Webhooks")
    for name, values, goal in (
        ("A webhook acknowledged", figures.acknowledged, f"p99 ≤ {ACKNOWLEDGED_GOAL:.0f}"),
        ("From the webhook to the credits", figures.credited, f"p50 ≤ {CREDITED_GOAL:.0f}"),
        ("A spend", figures.spent, ""),
    ):
        shares = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)]
        table.add_row(name, str(len(values)), *shares, goal)
    console.print(table)
    used = ", ".join(f"{name} {value:.2f}" for name, value in figures.processor.items())
    console.print(f"Processor time in ms for each webhook, spends included: {used}")
    if figures.missing:
        console.print(f"{figures.missing} orders never had their credits.", style="red")


def main(
    webhooks: Annotated[float, typer.Option(help="Webhooks in a second.")] = 200,
    spends: Annotated[float, typer.Option(help="Spends in a second.")] = 100,
    seconds: Annotated[float, typer.Option(help="How long it goes on.")] = 10.0,
) -> None:
    """Measures how fast webhooks are acknowledged, and how soon the credits are there."""
    figures = asyncio.run(measure(webhooks, spends, seconds), loop_factory=uvloop.new_event_loop)
    show(figures, Console(highlight=False))


if __name__ == "__main__":
    typer.run(main)
