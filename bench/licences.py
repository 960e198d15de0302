"""`python -m bench.licences`: licences that are verified and redeemed at a steady pace.

Games ask without a session whether keys hold: each key for the first time, which the database
answers, then all of them again, from memory. Then users redeem keys. Requests are sent at times
that are fixed beforehand, as in `bench.webhooks`, to one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.deployment import Environment, Server, open_environment, start_tallygraph
from bench.generations import percentile
from bench.load import request_bytes
from bench.processes import Postgres, busy_seconds
from bench.webhooks import Connections, at_a_pace
from db.core.row_ids import new_row_id
from db.licences.keys import LicenceKeys, new_key

VERIFIED_GOAL = 2.0
WARM_SECONDS = 1.0
# The first answer of a process is not kept, and a change in the log is about to be told of.
SETTLE_SECONDS = 1.0
VERIFY = (
    "mutation($key: String!) { verifyLicence(input: {key: $key}) { valid status errors { code } } }"
)
REDEEM = """mutation($key: String!) { redeemLicence(input: {key: $key}) {
  licence { id status } errors { code } } }"""
PRODUCT = """
with seller as (
    insert into users (email) values (gen_random_uuid() || '@example.test') returning id
)
insert into developer_products (user_id, name, roblox_group_id, proof_phrase)
select id, 'Tank', 1, 'phrase' from seller returning id, user_id
"""
LICENCES = """
insert into licences (id, developer_product_id, seller_id, key_hash, key_sealed, key_end)
select id, $1, $2, hash, sealed, last_signs
from unnest($3::uuid[], $4::bytea[], $5::bytea[], $6::text[]) as k (id, hash, sealed, last_signs)
"""
BUYERS = """
insert into users (email)
select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id
"""


@dataclass
class Figures:
    """Milliseconds, sorted, and the processor's for each request."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    redeemed: list[float] = field(default_factory=list)
    processor: dict[str, dict[str, float]] = field(default_factory=dict)


class Arena:
    """A server over licences."""

    def __init__(
        self,
        environment: Environment,
        server: Server,
        postgres: Postgres,
        owner: asyncpg.Connection,
    ) -> None:
        self._keys = LicenceKeys(environment.settings)
        self._issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
        self._port, self._owner = server.port, owner
        self._used: dict[str, Callable[[], float]] = {
            "API": partial(busy_seconds, server),
            "Postgres": postgres.cpu_seconds,
        }

    async def make(self, count: int) -> list[str]:
        """Licences that nobody has redeemed; their keys."""
        product = await self._owner.fetchrow(PRODUCT)
        assert product is not None
        made = {new_row_id(): new_key() for _ in range(count)}
        sealed = [self._keys.sealed(licence_id, key) for licence_id, key in made.items()]
        await self._owner.execute(
            LICENCES,
            product["id"],
            product["user_id"],
            list(made),
            [one.hash for one in sealed],
            [one.sealed for one in sealed],
            [one.end for one in sealed],
        )
        return list(made.values())

    async def run(self, verified: float, redeemed: float, seconds: float) -> Figures:
        """Each of the three at its pace."""
        figures = Figures()
        keys = await self.make(int(verified * seconds))
        fresh = await self.make(int(redeemed * seconds))
        await self._owner.execute("analyze licences")
        await asyncio.sleep(SETTLE_SECONDS)
        async with self._counted(figures, "first", len(keys)):
            figures.first = await self._send(self._verifying(keys), verified, seconds)
        async with self._counted(figures, "again", len(keys)):
            figures.again = await self._send(self._verifying(keys), verified, seconds)
        redeeming = await self._redeeming(fresh)
        async with self._counted(figures, "redeemed", len(fresh)):
            figures.redeemed = await self._send(redeeming, redeemed, seconds)
        return figures

    async def _send(
        self, requests: Iterator[Callable[[], bytes]], pace: float, seconds: float
    ) -> list[float]:
        async with Connections(self._port).open() as connections:
            done = await at_a_pace(connections, requests, pace, seconds)
        return sorted(milliseconds for _, milliseconds in done)

    def _verifying(self, keys: list[str]) -> Iterator[Callable[[], bytes]]:
        for key in cycle(keys):
            yield partial(self._request, None, VERIFY, key)

    async def _redeeming(self, keys: list[str]) -> Iterator[Callable[[], bytes]]:
        buyers = [row["id"] for row in await self._owner.fetch(BUYERS, len(keys))]
        requests = [
            self._request(self._token(buyer), REDEEM, key)
            for buyer, key in zip(buyers, keys, strict=True)
        ]
        return iter([partial(bytes, request) for request in requests])

    def _token(self, user: UUID) -> str:
        issued = self._issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False)
        return issued.token

    def _request(self, token: str | None, document: str, key: str) -> bytes:
        body = orjson.dumps({"query": document, "variables": {"key": key}})
        return request_bytes(self._port, token, body)

    @asynccontextmanager
    async def _counted(self, figures: Figures, name: str, requests: int) -> AsyncIterator[None]:
        """Notes what the processor did for each of these requests."""
        before = {part: used() for part, used in self._used.items()}
        yield
        figures.processor[name] = {
            part: (used() - before[part]) * 1000 / requests for part, used in self._used.items()
        }

    async def check(self, redeemed: int) -> None:
        """Refuses figures of requests that did not do what they should."""
        found = await self._owner.fetchval(
            "select count(*) from licences where status = 'REDEEMED'"
        )
        if found != redeemed:
            raise RuntimeError(f"{found} licences were redeemed, not {redeemed}")


async def measure(verified: float, redeemed: float, seconds: float) -> Figures:
    """Starts everything in a folder of its own, warms it up, measures, and takes it all away."""
    async with open_environment(users=0, busy_users=0) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        try:
            postgres = await Postgres.find(environment.owner_url)
            with start_tallygraph(environment) as server:
                arena = Arena(environment, server, postgres, owner)
                warm_seconds = min(WARM_SECONDS, seconds)
                await arena.run(verified, redeemed, warm_seconds)
                figures = await arena.run(verified, redeemed, seconds)
                await arena.check(int(redeemed * seconds) + int(redeemed * warm_seconds))
                return figures
        finally:
            await owner.close()


def show(figures: Figures, console: Console) -> None:
    """Prints the figures as a table."""
    headings = ("Milliseconds", "n", "p50", "p90", "p99", "Goal", "API", "Postgres")
    table = Table(*headings, title="Licences; the last two are the processor's for each request")
    for name, told, values, goal in (
        ("first", "Verified for the first time", figures.first, ""),
        ("again", "Verified from memory", figures.again, f"p50 ≤ {VERIFIED_GOAL:.0f}"),
        ("redeemed", "Redeemed", figures.redeemed, ""),
    ):
        shares = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)]
        used = [f"{value:.2f}" for value in figures.processor[name].values()]
        table.add_row(told, str(len(values)), *shares, goal, *used)
    console.print(table)


def main(
    verified: Annotated[float, typer.Option(help="Verifications in a second.")] = 1_000,
    redeemed: Annotated[float, typer.Option(help="Redemptions in a second.")] = 100,
    seconds: Annotated[float, typer.Option(help="How long each goes on.")] = 10.0,
) -> None:
    """Measures how fast licences are verified and redeemed."""
    figures = asyncio.run(measure(verified, redeemed, seconds), loop_factory=uvloop.new_event_loop)
    show(figures, Console(highlight=False))


if __name__ == "__main__":
    typer.run(main)
