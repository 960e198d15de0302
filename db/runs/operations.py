"""Commands on runs, of clients and of the workers that call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.runs.rules import problems_of_number
from db.runs.tables import RunStatus

_START = SqlFunction[UUID](
    "app.start_run", "uuid", wanted="uuid", phone_number="text", idempotency_key="text"
).noting_place()
_BEGIN = SqlFunction[Any](
    "app.begin_call",
    "table(phone_number text, variables jsonb, definition jsonb, was_dialled boolean,"
    " dialled_at timestamp with time zone)",
    wanted="uuid",
    provider_name="text",
)
_REDIAL = SqlFunction[bool](
    "app.redial_call", "boolean", wanted="uuid", dialled_before="timestamp with time zone"
)
_NOTE = SqlFunction[str | None]("app.note_call", "text", wanted="uuid", call_ids="text[]")
_REPORT = SqlFunction[bool](
    "app.report_call",
    "boolean",
    wanted="uuid",
    call_id="text",
    news="text",
    seconds="integer",
    reason="text",
)
_COLLECTED = SqlFunction[bool](
    "app.note_collected",
    "boolean",
    wanted="uuid",
    cost="bigint",
    used="jsonb",
    said="text",
    recording="text",
)
_EARLIER = SqlFunction[int]("app.earlier_calls", "integer", wanted="uuid")
_SIMULATE = SqlFunction[None]("app.simulate_call", "void", wanted="uuid", planned="jsonb")
_CHECK_SILENT = SqlFunction[int]("app.check_silent_calls", "integer", at_most="integer")
_FIND = text("""
    select id, organization_id, status, provider_call_id, dialled_at, duration_seconds,
           ended_at, ended_at is not null as has_ended, collected_at is not null as is_collected
    from workflow_runs where id = :id
""")
_SIMULATED = text("""
    select plan, cast(extract(epoch from clock_timestamp() - placed_at) as float8) as passed_seconds
    from simulated_calls where run_id = :run_id
""")


@dataclass(frozen=True, slots=True)
class CallToMake:
    """What a worker needs to dial; look first whether the call is there when it `was_dialled`."""

    run_id: UUID
    phone_number: str
    variables: Mapping[str, Any]
    definition: Mapping[str, Any]
    was_dialled: bool
    dialled_at: datetime


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run's call has come."""

    id: UUID
    organization_id: UUID
    status: str
    provider_call_id: str | None
    dialled_at: datetime | None
    duration_seconds: int
    ended_at: datetime | None
    has_ended: bool
    is_collected: bool


def start_run(
    problems: Problems, workflow_id: UUID, *, to: str, idempotency_key: str
) -> FunctionCall[UUID]:
    """Asks for one call; gives its run.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_number(to))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _START(wanted=workflow_id, phone_number=to, idempotency_key=idempotency_key)


async def begin_call(database: Database, run_id: UUID, provider: str) -> CallToMake | None:
    """Notes that a call is about to be dialled; None when there is nothing to dial any more."""
    wanted = _BEGIN(wanted=run_id, provider_name=provider)
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(wanted.sql, *wanted.values)
    return CallToMake(run_id, **row) if row else None


async def redial_call(database: Database, call: CallToMake) -> bool:
    """Whether this worker, and no other, may dial again a call that did not come to be."""
    again = _REDIAL(wanted=call.run_id, dialled_before=call.dialled_at)
    return await call_as_service(database, again)


async def note_call(database: Database, run_id: UUID, call_ids: list[str]) -> str | None:
    """Notes which of the provider's calls is a run's, and gives it; None when it is none."""
    return await call_as_service(database, _NOTE(wanted=run_id, call_ids=call_ids))


async def report_call(
    database: Database,
    run_id: UUID,
    call_id: str | None,
    news: RunStatus,
    seconds: int = 0,
    reason: str | None = None,
) -> bool:
    """Notes what a provider tells of a call; False when that was known, late or not its call's."""
    told = _REPORT(wanted=run_id, call_id=call_id, news=news, seconds=seconds, reason=reason)
    return await call_as_service(database, told)


async def note_collected(
    database: Database,
    run_id: UUID,
    *,
    cost_micro_usd: int | None,
    usage: Mapping[str, Any],
    transcript: str | None,
    recording_path: str | None,
) -> bool:
    """Notes what an ended call cost and left; False when that was noted before."""
    collected = _COLLECTED(
        wanted=run_id,
        cost=cost_micro_usd,
        used=usage,
        said=transcript,
        recording=recording_path,
    )
    return await call_as_service(database, collected)


async def find_run(database: Database, run_id: UUID) -> RunState | None:
    """How far a run's call has come; None when there is no such run."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_FIND, id=run_id)
    return RunState(**row) if row else None


async def check_silent_calls(database: Database, at_most: int) -> int:
    """Has the provider asked about calls of which nothing was heard for long; gives how many."""
    return await call_as_service(database, _CHECK_SILENT(at_most=at_most))


async def earlier_calls(database: Database, run_id: UUID) -> int:
    """How often a run's number was called by the same workflow before it."""
    return await call_as_service(database, _EARLIER(wanted=run_id))


async def simulate_call(database: Database, run_id: UUID, plan: Mapping[str, Any]) -> None:
    """Notes in the simulator's network that a run's number was dialled."""
    await call_as_service(database, _SIMULATE(wanted=run_id, planned=plan))


async def simulated_call(
    database: Database, run_id: UUID
) -> tuple[Mapping[str, Any], float] | None:
    """The plan of a run's simulated call and the seconds since it was dialled; None before that."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_SIMULATED, run_id=run_id)
    return None if row is None else (row["plan"], row["passed_seconds"])
