"""Commands on campaigns and lists of contacts, of clients and of the workers that call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from db.campaigns.contacts import ContactRow, ListUnreadable, WrongRow, read_contacts
from db.campaigns.rules import (
    CallWindow,
    CampaignPlan,
    open_until,
    opens_at,
    problems_of_plan,
    problems_of_size,
)
from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key

__all__ = [
    "CallWindow",
    "CampaignPlan",
    "CampaignState",
    "ContactRow",
    "ListUnreadable",
    "WrongRow",
    "open_until",
    "opens_at",
    "read_contacts",
]

_CREATE_LIST = SqlFunction[UUID](
    "app.create_contact_list", "uuid", wanted_organization="uuid", size_bytes="bigint"
)
_CREATE = SqlFunction[UUID](
    "app.create_campaign",
    "uuid",
    wanted_workflow="uuid",
    wanted_list="uuid",
    given="jsonb",
    idempotency_key="text",
).noting_place()
_MOVE = SqlFunction[UUID]("app.move_campaign", "uuid", wanted="uuid", step="text").noting_place()
_KEEP = SqlFunction[bool](
    "app.keep_contacts", "boolean", wanted="uuid", kept="jsonb", wrong="jsonb"
)
_FINISH_SYNC = SqlFunction[None](
    "app.finish_sync", "void", wanted="uuid", row_count="integer", fault="text"
)
_TEND = SqlFunction[bool](
    "app.tend_campaign", "boolean", wanted="uuid", calls_until="timestamp with time zone"
)
_FIND = text("""
    select c.status, c.synced_at is not null as is_synced, c.time_zone, c.windows, c.starts_at,
           l.path
    from campaigns c left join contact_lists l on l.id = c.contact_list_id where c.id = :id
""")
_FIND_LIST = text("""
    select organization_id, size_bytes, expires_at, status = 'READY' as is_ready
    from contact_lists where id = :id
""")
_RECEIVED = text("""
    update contact_lists set status = 'READY', path = :path, size_bytes = :size_bytes,
        received_at = now()
    where id = :id and status = 'AWAITING'
    returning id
""")


@dataclass(frozen=True, slots=True)
class CampaignState:
    """What a worker needs to know of a campaign; `path` is where its list lies, if it does."""

    status: str
    is_synced: bool
    time_zone: str
    windows: tuple[CallWindow, ...]
    starts_at: datetime | None
    path: str | None


@dataclass(frozen=True, slots=True)
class AwaitedList:
    """A list of contacts as it was announced."""

    organization_id: UUID
    size_bytes: int
    expires_at: datetime
    is_ready: bool


def create_contact_list(
    problems: Problems, organization_id: UUID, size_bytes: int
) -> FunctionCall[UUID]:
    """A place for a list of contacts; gives it."""
    problems.add(problems_of_size(size_bytes))
    problems.refuse()
    return _CREATE_LIST(wanted_organization=organization_id, size_bytes=size_bytes)


def create_campaign(
    problems: Problems, workflow_id: UUID, list_id: UUID, plan: CampaignPlan, idempotency_key: str
) -> FunctionCall[UUID]:
    """Makes a campaign; gives it. What is wrong is told together with the `problems` before."""
    problems.add(problems_of_plan(plan))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    starts_at = plan.starts_at
    stored = {
        "name": plan.name.strip(),
        "time_zone": plan.time_zone,
        "windows": [window.stored() for window in plan.windows],
        "starts_at": None if starts_at is None else starts_at.isoformat(),
        "calls_per_second": plan.calls_per_second,
        "concurrency": plan.concurrency,
        "max_retries": plan.max_retries,
        "retry_delay_seconds": plan.retry_delay_seconds,
        "retry_on_busy": plan.retry_on_busy,
        "retry_on_no_answer": plan.retry_on_no_answer,
        "retry_on_voicemail": plan.retry_on_voicemail,
    }
    return _CREATE(
        wanted_workflow=workflow_id,
        wanted_list=list_id,
        given=stored,
        idempotency_key=idempotency_key,
    )


def move_campaign(
    campaign_id: UUID, step: Literal["START", "PAUSE", "RESUME", "CANCEL"]
) -> FunctionCall[UUID]:
    """Starts, pauses, resumes or cancels a campaign; INVALID_STATE where it does not stand so."""
    return _MOVE(wanted=campaign_id, step=step)


async def find_campaign(database: Database, campaign_id: UUID) -> CampaignState | None:
    """What a worker needs to know of a campaign; None when there is none."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_FIND, id=campaign_id)
    if row is None:
        return None
    windows = tuple(
        CallWindow(tuple(one["days"]), one["begins"], one["ends"]) for one in row["windows"]
    )
    return CampaignState(**dict(row) | {"windows": windows})


async def keep_contacts(
    database: Database, campaign_id: UUID, rows: Sequence[ContactRow | WrongRow]
) -> bool:
    """Keeps rows of a campaign's list; False when the campaign wants no more of them."""
    kept: list[Any] = []
    wrong: list[Any] = []
    for row in rows:
        if isinstance(row, ContactRow):
            kept.append([row.row_number, row.phone_number, row.variables])
        else:
            wrong.append([row.row_number, row.field, row.message])
    return await call_as_service(database, _KEEP(wanted=campaign_id, kept=kept, wrong=wrong))


async def finish_sync(
    database: Database, campaign_id: UUID, row_count: int, fault: str | None = None
) -> None:
    """Notes that all rows were read, or why they could not be."""
    done = _FINISH_SYNC(wanted=campaign_id, row_count=row_count, fault=fault)
    await call_as_service(database, done)


async def tend_campaign(
    database: Database, campaign_id: UUID, calls_until: datetime | None
) -> bool:
    """Begins what calls a campaign may begin until a time; gives whether it still runs."""
    return await call_as_service(database, _TEND(wanted=campaign_id, calls_until=calls_until))


async def find_list(database: Database, list_id: UUID) -> AwaitedList | None:
    """A list as it was announced; None when there is none."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_FIND_LIST, id=list_id)
    return AwaitedList(**row) if row else None


async def note_list(database: Database, list_id: UUID, path: str, size_bytes: int) -> bool:
    """Notes that a list has come; False when one had come before."""
    async with database.transaction(SERVICE) as transaction:
        noted = await transaction.fetch_value(
            _RECEIVED, id=list_id, path=path, size_bytes=size_bytes
        )
    return noted is not None
