"""`python -m bench organizations`: what row-level security and limits of plans cost.

Statements of Tallygraph's own, run in turn on one connection each: a list of 50 workflows with the
last call of each, as a member and as the tables' owner, whom no policy binds; and making a
workflow, where the plan's limit is counted and where it is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import orjson

from bench.deployment import Environment, open_environment
from bench.figures import Options
from bench.measure import Say
from db.core.actor import Actor
from db.core.pool import Database
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.planning.parameters import Request
from graph.schema import build_schema

LISTED, CALLS_OF_EACH, GOAL = 50, 40, 0.9
DOCUMENT = f"""query List($o: ID!) {{ organization(id: $o) {{ name workflows(first: {LISTED}) {{
  nodes {{ id name status runs(first: 1) {{ nodes {{ id status createdAt }} }} }} }} }} }}"""
# Other organizations have as much, so that what is not theirs is there to be passed by.
FILL = """
with made as (
    insert into organizations (id, name, plan_id) select u.id, 'One', 'enterprise'
    from (select id from users where email is not null order by id limit 20) u returning id),
members as (
    insert into organization_members (organization_id, user_id, role)
    select id, id, 'OWNER' from made),
workflows as (
    insert into workflows (organization_id, name, created_at)
    select m.id, 'Workflow ' || n, now() - n * interval '1 hour'
    from made m, generate_series(1, $1) n
    returning id, organization_id),
versions as (
    insert into workflow_versions
        (workflow_id, organization_id, number, hash, definition, is_current)
    select w.id, w.organization_id, 1, encode(sha256(w.id::text::bytea), 'hex'), '{}', true
    from workflows w returning id, workflow_id, organization_id)
insert into workflow_runs (organization_id, workflow_id, version_id, phone_number, created_at)
select v.organization_id, v.workflow_id, v.id, '+4930901820', now() - n * interval '1 minute'
from versions v, generate_series(1, $2) n
"""
CREATE = "select app.create_workflow($1, $2, '{}'::jsonb, $3, '{}'::jsonb, $2)"
UNCOUNTED = """
create or replace function app.enforce_plan_limit(
    wanted uuid, limited_kind text, amount integer default 1
) returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 0'
"""
COPY = "uncounted"

Once = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Compared:
    """Seconds of each round: with what is measured, and without."""

    what: str
    whole: list[float]
    bare: list[float]

    @property
    def ratios(self) -> list[float]:
        """How fast it is beside the bare one, round by round; 1 is as fast."""
        return [bare / whole for whole, bare in zip(self.whole, self.bare, strict=True)]

    def __str__(self) -> str:
        """One line for people."""
        ratios = self.ratios
        return (
            f"{self.what}: {statistics.median(ratios):.2f}× "
            f"({min(ratios):.2f}–{max(ratios):.2f}); the goal is {GOAL}×"
        )


async def measure_organizations(options: Options, say: Say) -> list[Compared]:
    """Rounds of both, in turn; who is first changes every round."""
    say("Starting and filling a database")
    async with _filled(options) as (environment, organization):
        member, owner, counted, uncounted = [
            await asyncpg.connect(url)
            for url in (
                _as_member(environment, environment.owner_url),
                environment.owner_url,
                _as_member(environment, environment.owner_url),
                _as_member(environment, _other(environment.owner_url, COPY)),
            )
        ]
        try:
            lists = [await _list(environment, one, organization) for one in (member, owner)]
            found = [await _compared("The list under row-level security", lists, options, say)]
            creates = [_create(one, organization) for one in (counted, uncounted)]
            found.append(await _compared("Making a workflow, counted", creates, options, say))
        finally:
            for one in (member, owner, counted, uncounted):
                await one.close()
    return found


@asynccontextmanager
async def _filled(options: Options) -> AsyncIterator[tuple[Environment, UUID]]:
    """The database with organizations, and a copy of it in which no limit is counted."""
    async with open_environment(options.users, options.busy_users) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        await owner.execute(FILL.replace("$1", str(LISTED)).replace("$2", str(CALLS_OF_EACH)))
        await owner.execute("analyze")
        organization: UUID = await owner.fetchval("select id from organizations limit 1")
        await owner.close()
        place = urlsplit(environment.owner_url)
        maintenance = await asyncpg.connect(_other(environment.owner_url, "postgres"))
        await maintenance.execute(f"create database {COPY} template {place.path[1:]}")
        await maintenance.close()
        copy = await asyncpg.connect(_other(environment.owner_url, COPY))
        await copy.execute(UNCOUNTED)
        await copy.close()
        yield environment, organization


def _other(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _as_member(environment: Environment, url: str) -> str:
    place = urlsplit(url)
    address = f"authenticated:{environment.password}@{place.hostname}:{place.port}"
    return urlunsplit(place._replace(netloc=address))


async def _list(
    environment: Environment, connection: asyncpg.Connection, organization: UUID
) -> Once:
    """Reads the list by the engine's own statement; the owner of the organization has its id."""
    database = Database(environment.owner_url, environment.settings)
    engine = Engine(build_schema(), database, introspection=True)
    operation = engine.documents.operation(DOCUMENT, None)
    given = {"o": f"organization_{organization}"}
    variables = coerce_variables(engine.schema, operation, given)
    actor = Actor("authenticated", organization)
    statement = await engine.query_statement(operation, variables, actor)
    assert statement is not None, "this query compiles"
    arguments = [*statement.arguments(Request(variables, actor.user_id)), actor.user_claim]
    prepared = await connection.prepare(statement.with_claims)
    answer = orjson.loads(await prepared.fetchval(*arguments))
    assert len(answer["organization"]["workflows"]["nodes"]) == LISTED

    async def once() -> object:
        return await prepared.fetchval(*arguments)

    return once


def _create(connection: asyncpg.Connection, organization: UUID) -> Once:
    """Makes a workflow and takes it back, so that there are as many at each time."""
    numbers = count()

    async def once() -> object:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(
                "select set_config('app.user_id', $1, true)", str(organization)
            )
            number = next(numbers)
            return await connection.fetchval(CREATE, organization, f"w {number}", f"{number:064x}")
        finally:
            await transaction.rollback()

    return once


async def _compared(what: str, both: list[Once], options: Options, say: Say) -> Compared:
    """Rounds of as many each as the first does in its time."""
    whole, bare = both
    for one in both:
        await _seconds(one, 20)
    times = max(10, int(options.seconds / (await _seconds(whole, 10) / 10) / 2))
    found: dict[Any, list[float]] = {whole: [], bare: []}
    for number in range(options.rounds):
        say(f"{what}: round {number + 1} of {options.rounds}")
        for one in both if number % 2 else reversed(both):
            found[one].append(await _seconds(one, times))
    return Compared(what, found[whole], found[bare])


async def _seconds(once: Once, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        await once()
    return time.perf_counter() - began
