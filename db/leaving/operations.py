"""Commands of leaving: deleting accounts, and the archives of what users have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call, call_as_service, call_rows
from db.core.origin import audited_place
from db.core.pool import Database, Transaction

# What one transaction erases at most of one table, so that none takes long.
ROWS_AT_ONCE = 500
ARCHIVES_AT_ONCE = 100

_SCHEDULE = SqlFunction[Any](
    "app.schedule_deletion",
    "record(deletes_at timestamp with time zone, ended_sessions uuid[])",
    leaving="uuid",
    grace="interval",
    place="jsonb",
)
_CANCEL = SqlFunction[bool]("app.cancel_deletion", "boolean", returning_user="uuid", place="jsonb")
_ENQUEUE_DUE = SqlFunction[int]("app.enqueue_due_erasings", "integer")
_BEGIN = SqlFunction[bool]("app.begin_erasing", "boolean", leaving="uuid")
_ERASE_ROWS = SqlFunction[int]("app.erase_rows", "integer", leaving="uuid", at_most="integer")
_FINISH = SqlFunction[bool]("app.finish_erasing", "boolean", leaving="uuid")
_REQUEST_EXPORT = SqlFunction[UUID]("app.request_export", "uuid", place="jsonb")
_FINISH_EXPORT = SqlFunction[list[str] | None](
    "app.finish_export",
    "text[]",
    wanted="uuid",
    fenced_attempt="integer",
    archive_path="text",
    archive_bytes="bigint",
)
_EXPIRE_EXPORTS = SqlFunction[list[str]]("app.expire_exports", "text[]", at_most="integer")
_START_EXPORT = text("""
    update data_exports set status = 'RUNNING', attempts = attempts + 1
    where id = :id and status in ('QUEUED', 'RUNNING') returning user_id, attempts
""")
_FAIL_EXPORT = text("""
    update data_exports set status = 'FAILED', finished_at = clock_timestamp()
    where id = :id and status in ('QUEUED', 'RUNNING')
""")


@dataclass(frozen=True, slots=True)
class ScheduledDeletion:
    """When an account is deleted, and the sessions that ended with the decision."""

    deletes_at: datetime
    ended_sessions: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class BegunExport:
    """An archive that a worker is to make, whose it is, and the number of the attempt."""

    id: UUID
    user_id: UUID
    attempt: int


async def schedule_deletion(
    transaction: Transaction, user_id: UUID, grace: timedelta
) -> ScheduledDeletion:
    """Has an account deleted after a while; LAST_OWNER when an organization would lose its owner.

    Its sessions end. For the server and the database's owner.
    """
    wanted = _SCHEDULE(leaving=user_id, grace=grace, place=audited_place())
    (row,) = await call_rows(transaction, wanted)
    return ScheduledDeletion(row["deletes_at"], tuple(row["ended_sessions"]))


async def cancel_deletion(transaction: Transaction, user_id: UUID) -> bool:
    """Keeps an account that was to be deleted; false when it was not."""
    return await call(transaction, _CANCEL(returning_user=user_id, place=audited_place()))


async def enqueue_due_erasings(database: Database) -> int:
    """Makes a job of every account whose time has come; returns how many there are."""
    return await call_as_service(database, _ENQUEUE_DUE())


async def begin_erasing(database: Database, user_id: UUID) -> bool:
    """Whether an account is to be erased now; from here on nobody can sign in to it."""
    return await call_as_service(database, _BEGIN(leaving=user_id))


async def erase_rows(database: Database, user_id: UUID) -> int:
    """Erases some rows of an account; 0 when nothing is left but the account."""
    return await call_as_service(database, _ERASE_ROWS(leaving=user_id, at_most=ROWS_AT_ONCE))


async def finish_erasing(database: Database, user_id: UUID) -> bool:
    """Removes the account and has its files removed; false when it is gone already."""
    return await call_as_service(database, _FINISH(leaving=user_id))


def request_export() -> FunctionCall[UUID]:
    """Asks for an archive of all that the actor has; gives the one that is being made."""
    return _REQUEST_EXPORT(place=audited_place())


async def start_export(database: Database, export_id: UUID) -> BegunExport | None:
    """Begins an attempt at an archive; None when there is nothing left to do."""
    async with database.transaction(SERVICE) as transaction:
        row = await transaction.fetch_one(_START_EXPORT, id=export_id)
    return BegunExport(export_id, row["user_id"], row["attempts"]) if row else None


async def finish_export(
    database: Database, export: BegunExport, path: str, size_bytes: int
) -> list[str] | None:
    """The archive is stored; gives the files that it replaces, None when it came too late."""
    finished = _FINISH_EXPORT(
        wanted=export.id,
        fenced_attempt=export.attempt,
        archive_path=path,
        archive_bytes=size_bytes,
    )
    return await call_as_service(database, finished)


async def fail_export(database: Database, export_id: UUID) -> None:
    """The archive could not be made."""
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(_FAIL_EXPORT, id=export_id)


async def expire_exports(database: Database) -> list[str]:
    """Ends archives whose time is over; gives their files, none when there are no more."""
    return await call_as_service(database, _EXPIRE_EXPORTS(at_most=ARCHIVES_AT_ONCE))
