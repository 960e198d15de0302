"""What membership costs: a list of 50 under `Member`, and the same list under `Owner`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.answers import check_same_answers
from bench.deployment import (
    Deployment,
    Environment,
    Server,
    free_port,
    on_core,
    open_environment,
    our_variables,
    python,
    running,
    start_tallygraph,
)
from bench.figures import Options, Result
from bench.measure import Loader, Say
from bench.peers.members_server import BY_MEMBERSHIP
from bench.processes import Postgres
from bench.rounds import measure_round
from bench.workloads import TALLYGRAPH, Workload, same
from db.core.rls import policies
from db.profiles.tables import Profile

MEMBERS = "members"
LISTED = 50
DOCUMENT = f"""query List {{
  viewer {{ id profiles(first: {LISTED}) {{ nodes {{ id name createdAt }} }} }}
}}"""
LIST = Workload("list", f"a list of {LISTED}", DOCUMENT, same(DOCUMENT), (MEMBERS,))
# Every user is a member of one organization, which has the user's id.
FILL_SQL = f"""
create temporary table busy as select distinct user_id as id from profiles;
insert into profiles (user_id, local_id, name, analysis, created_at, updated_at)
select b.id, n, 'Profile ' || n, '{{}}', now() - n * interval '1 hour', now()
from busy b, generate_series(1, {LISTED}) n
where not exists (select from profiles p where p.user_id = b.id and p.local_id = n);
insert into organizations (id, name) select id, 'One' from busy;
insert into organization_members (organization_id, user_id, role) select id, id, 'OWNER' from busy;
drop table busy;
analyze;
"""


async def copy_database(owner_url: str) -> str:
    """Fills the database, and copies it: in the copy profiles are read by membership. Its URL."""
    owner = await asyncpg.connect(owner_url)
    await owner.execute(FILL_SQL)
    await owner.close()
    place = urlsplit(owner_url)
    maintenance = await asyncpg.connect(urlunsplit(place._replace(path="/postgres")))
    await maintenance.execute(f"create database {MEMBERS} template {place.path[1:]}")
    await maintenance.close()
    url = urlunsplit(place._replace(path=f"/{MEMBERS}"))
    copy = await asyncpg.connect(url)
    await copy.execute("drop policy owner_select on profiles")
    found = policies(Profile.__table__, BY_MEMBERSHIP)  # type: ignore[arg-type]
    await copy.execute(f"create policy member_select {found['member_select']}")
    await copy.close()
    return url


def start_members(environment: Environment, url: str) -> AbstractContextManager[Server]:
    """Our server over the copy."""
    port = free_port()
    variables = {**our_variables(environment, port), "DATABASE_URL": url}
    command = python("bench.peers.members_server", "serve")
    return running(MEMBERS, port, command, environment.folder, **variables)


@asynccontextmanager
async def open_membership(options: Options) -> AsyncIterator[Deployment]:
    """Our server as it is, and over a copy of the database whose profiles are an organization's."""
    async with open_environment(options.users, options.busy_users) as environment:
        url = await copy_database(environment.owner_url)
        with start_tallygraph(environment) as ours, start_members(environment, url) as members:
            yield Deployment(environment, {TALLYGRAPH: ours, MEMBERS: members})


async def measure_membership(options: Options, say: Say) -> Result:
    """Rounds of the list under both rules, in turn; who is first changes every round."""
    say("Starting and filling a database, copying it, starting the servers")
    result = Result(LIST, {TALLYGRAPH: [], MEMBERS: []})
    async with open_membership(options) as deployment:
        await check_same_answers(deployment, LIST, deployment.people)
        postgres = await Postgres.find(deployment.owner_url)
        loaders = [
            Loader(deployment, LIST, server, options.connections)
            for server in deployment.servers.values()
        ]
        with on_core(-1):
            for loader in loaders:
                await loader.load(options.seconds / 2)
            for number in range(options.rounds):
                for loader in loaders if number % 2 else reversed(loaders):
                    name = loader.server.name
                    say(f"Round {number + 1} of {options.rounds}, {name}")
                    load = loader.load(options.seconds)
                    result.rounds[name].append(await measure_round([loader.server], load, postgres))
    return result
