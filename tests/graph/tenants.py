"""Two tenants who share connections, each of which still carries the other's claim."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from sqlalchemy import text

from db.core.actor import Actor
from db.core.errors import DomainError
from db.core.outages import connection_lost
from db.core.pool import Database, PooledConnection

from ..conftest import MakeUser
from .conftest import Ask

LIST = """{ viewer { id email credits { balance available }
  creditTransactions { nodes { id } } profiles { nodes { id name } edges { node { id } } }
  notifications { nodes { id } } generations { nodes { id } } } }"""
NODE = "query($id: ID!) { node(id: $id) { id ... on Profile { name } ... on User { email } } }"
CREATE = 'mutation { createProfile(input: {name: "x", analysis: {}}) { profile { id } } }'
TAKE = """mutation($id: ID!) { updateProfile(input: {id: $id, name: "taken"}) {
  profile { id name } errors { code } } }"""
SPEND = """mutation($key: String!) {
  spendCredits(input: {amount: 1, reason: "hostile", idempotencyKey: $key}) {
    transaction { id } credits { balance } errors { code } } }"""
# The engine's own form of a statement, around a fault that Postgres meets after the claim was set.
CLAIMED = """with claims as materialized (select set_config('app.user_id', $1::text, true))
select (select {fault}) from claims"""
DIVISION = CLAIMED.format(fault="(1 / (length($1::text) - 36))::text")
SLEEP = CLAIMED.format(fault="pg_sleep(5)::text")
STATEMENT_TIMEOUT = text("select set_config('statement_timeout', '5ms', true)")
SLEEP_IN_TRANSACTION = text("select pg_sleep(5)::text")


async def with_profile(ask: Ask, make_user: MakeUser) -> tuple[Actor, str]:
    actor = await make_user(credits=20)
    made = await ask(CREATE, actor=actor)
    return actor, made["data"]["createProfile"]["profile"]["id"]


def foreign(answer: Any, other: Actor, other_profile: str) -> bool:
    """Whether an answer mentions anything of another user's."""
    told = orjson.dumps(answer).decode()
    return str(other.user_id) in told or other_profile in told


async def stale(database: Database, claim: str, count: int = 3) -> None:
    """Leaves a session-wide claim of somebody else on every connection of the pool.

    Through a pooler they are the server's connections: all are held at once, each by a transaction.
    """
    pool = database.pools["authenticated"]
    held: list[PooledConnection] = [await pool.acquire() for _ in range(count)]
    for connection in held:
        await connection.raw.execute("begin")
    for connection in held:
        await connection.raw.execute(f"select set_config('app.user_id', '{claim}', false); commit")
        pool.release(connection)


async def division(database: Database, claim: str) -> Any:
    """A statement that fails in Postgres with the claim set."""
    async with database.pools["authenticated"].connection() as connection:
        return await connection.fetch_value(DIVISION, [claim])


async def sleep(database: Database, claim: str) -> Any:
    """A statement that only ends when it is cancelled, with the claim set."""
    async with database.pools["authenticated"].connection() as connection:
        return await connection.fetch_value(SLEEP, [claim])


async def timeout(database: Database, actor: Actor) -> Any:
    """A transaction that Postgres ends for taking too long, with the claim set."""
    async with database.transaction(actor) as transaction:
        await transaction.execute(STATEMENT_TIMEOUT)
        return await transaction.fetch_value(SLEEP_IN_TRANSACTION)


@dataclass
class Tally:
    """What came of hostile rounds: rows of the wrong tenant, and every way in which calls ended."""

    leaks: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def count(self, answer: Any, other: Actor, other_profile: str) -> None:
        if isinstance(answer, BaseException):
            self.ends[type(answer).__name__] += 1
            known = asyncio.CancelledError | DomainError | asyncpg.PostgresError
            assert isinstance(answer, known) or connection_lost(answer), repr(answer)
        elif isinstance(answer, dict):
            self.ends["answered"] += 1
            self.leaks += foreign(answer, other, other_profile)

    def assert_hostile(self, rounds: int) -> None:
        """Nothing leaked, and the rounds held what they claim to hold."""
        assert self.leaks == 0
        assert self.ends["answered"] > 3 * rounds
        assert self.ends["CancelledError"] > rounds / 4
        assert self.ends["DivisionByZeroError"] > rounds / 8
        assert self.ends["QueryCanceledError"] > rounds / 16


async def hostile_round(
    database: Database, ask: Ask, pair: list[tuple[Actor, str]], number: str
) -> list[tuple[Any, Actor, str]]:
    """Both tenants at once over connections whose session claim is one of them's, amid faults."""
    (one, own_profile), (other, other_profile) = pair
    await stale(database, str(random.choice(pair)[0].user_id))
    calls: list[tuple[Awaitable[Any], Actor, str]] = []
    for me, mine, you, yours in (
        (one, own_profile, other, other_profile),
        (other, other_profile, one, own_profile),
    ):
        calls += [
            (ask(LIST, actor=me), you, yours),
            (ask(NODE, {"id": mine}, actor=me), you, yours),
            (ask(NODE, {"id": yours}, actor=me), you, yours),
        ]
    key = {"key": number}
    calls += [
        (ask(TAKE, {"id": other_profile}, actor=one), other, other_profile),
        (ask(SPEND, key, actor=one), other, other_profile),
    ]
    chosen: list[Callable[[], Awaitable[Any]]] = random.sample(
        [
            lambda: division(database, str(other.user_id)),
            lambda: timeout(database, other),
            lambda: ask("{ viewer { creditTransactions(first: -1) { nodes { id } } } }", actor=one),
        ],
        2,
    )
    calls += [(fault(), other, other_profile) for fault in chosen]
    random.shuffle(calls)
    sleeping = asyncio.ensure_future(sleep(database, str(other.user_id)))
    tasks = [asyncio.ensure_future(call) for call, _, _ in calls]
    await asyncio.sleep(random.random() * 0.004)
    sleeping.cancel()
    if random.random() < 0.3:
        random.choice(tasks).cancel()
    answers = await asyncio.gather(*tasks, sleeping, return_exceptions=True)
    victims = [(you, yours) for _, you, yours in calls] + [(other, other_profile)]
    return [(answer, *victim) for answer, victim in zip(answers, victims, strict=True)]


async def hostile_rounds(database: Database, ask: Ask, make_user: MakeUser, rounds: int) -> Tally:
    """Interleaves tenants, cancellations, timeouts and errors; `Tally.leaks` should stay 0."""
    tenants = [await with_profile(ask, make_user) for _ in range(2)]
    tally = Tally()
    for number in range(rounds):
        pair = random.sample(tenants, 2)
        for answer, victim, profile in await hostile_round(database, ask, pair, str(number)):
            tally.count(answer, victim, profile)
    for actor, profile in tenants:
        kept = await ask(NODE, {"id": profile}, actor=actor)
        # Taken by the other, or hidden from its owner.
        tally.leaks += (kept["data"]["node"] or {}).get("name") != "x"
    return tally
