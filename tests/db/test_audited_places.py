"""What clients do and the audit log notes is noted with the network and the device it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module

import asyncpg
import pytest

from db.core.commands import SqlFunction, call, declared_functions
from db.core.origin import asked_from
from db.core.pool import Database
from db.organizations import operations as organizations

from ..conftest import MakeUser
from ..running import ROOT

FUNCTIONS = """
select 'app.' || p.proname as name, p.prosrc as body,
       bool_or(has_function_privilege('authenticated', p.oid, 'EXECUTE')) as is_for_clients
from pg_proc p where p.pronamespace = 'app'::regnamespace group by 1, 2
"""
CALLED = re.compile(r"\bapp\.\w+(?=\s*\()")
NOTES = "insert into public.audit_log"
# It gives several values; `db/billing/operations.py` notes the place beside it.
BESIDE = frozenset({"app.request_refund"})


@dataclass(frozen=True)
class Phone:
    address: str = "203.0.113.77"
    user_agent: str = "Firefox on Linux"


def reaches_the_log(name: str, bodies: dict[str, str], seen: set[str]) -> bool:
    """Whether a function writes an entry, or one that it calls."""
    if name in seen or name not in bodies:
        return False
    seen.add(name)
    body = bodies[name]
    return NOTES in body or any(reaches_the_log(one, bodies, seen) for one in CALLED.findall(body))


def says_from_where(function: SqlFunction[object]) -> bool:
    given = function.arguments.keys() & {"place", "from_network"}
    return function.notes_place or bool(given) or function.name in BESIDE


async def test_every_function_that_clients_call_says_from_where(owner: asyncpg.Connection) -> None:
    for path in sorted((ROOT / "db").glob("*/operations.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    rows = await owner.fetch(FUNCTIONS)
    bodies: dict[str, str] = {}
    for row in rows:
        bodies[row["name"]] = bodies.get(row["name"], "") + row["body"]
    for_clients = {row["name"] for row in rows if row["is_for_clients"]}
    noted = [
        function
        for function in declared_functions()
        if function.name in for_clients and reaches_the_log(function.name, bodies, set())
    ]
    assert len(noted) > 30
    assert [one.name for one in noted if not says_from_where(one)] == []


@pytest.mark.parametrize("is_known", [True, False])
async def test_an_entry_has_the_place_of_its_own_transaction(
    database: Database, owner: asyncpg.Connection, make_user: MakeUser, is_known: bool
) -> None:
    actor = await make_user()
    if is_known:
        asked_from(Phone())
    made = organizations.create(name="Acme", idempotency_key="k")
    async with database.transaction(actor) as transaction:
        await call(transaction, made)
    row = await owner.fetchrow(
        "select network, device from audit_log where user_id = $1 and action = 'create_organization'",
        actor.user_id,
    )
    assert tuple(row) == (("203.0.113.0/24", "Firefox on Linux") if is_known else (None, None))
