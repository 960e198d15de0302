"""Commands of sync."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from db.core.actor import Actor
from db.core.commands import FunctionCall, SqlFunction, call_as_actor
from db.core.errors import refuse_any
from db.core.pool import Database
from db.core.retries import retried
from db.sync.changes import ProfileChange, RefusedChanges, SyncStrategy
from db.sync.rules import (
    AHEAD_MILLISECONDS,
    HybridClock,
    PackedChange,
    packed_changes,
    problems_of_sync,
)

# A page has as many changes, or fewer when they have more bytes.
PAGE_ROWS = 500
PAGE_BYTES = 2_000_000

_SYNC = SqlFunction[asyncpg.Record](
    "app.sync_changes",
    "record(done text, analyses text[], chats text[])",
    device="text",
    since="text",
    strategy="text",
    changes="jsonb",
    page_rows="integer",
    page_bytes="bigint",
    ahead="bigint",
).noting_place()

_RESOLVE = SqlFunction[UUID]("app.resolve_sync_conflict", "uuid", wanted="uuid", keep="text")


def resolve_conflict(conflict_id: UUID, keep: str) -> FunctionCall[UUID]:
    """Settles a conflict of the actor's: CURRENT stays, or what LOST comes back. Gives its id."""
    return _RESOLVE(wanted=conflict_id, keep=keep)


async def sync_profiles(
    database: Database, actor: Actor, sync: FunctionCall[asyncpg.Record]
) -> dict[str, Any]:
    """Runs a sync in one statement.

    Tells what was taken, what was refused, what lost, and a page of what changed. The analyses and
    chats of the latter are JSON already, which is written as it is.
    """
    text, analyses, chats = await retried(lambda: call_as_actor(database, actor, sync))
    done: dict[str, Any] = orjson.loads(text)
    for one, analysis, chat in zip(done["changes"], analyses, chats, strict=True):
        one["analysis"] = None if analysis is None else orjson.Fragment(analysis)
        one["chat_history"] = None if chat is None else orjson.Fragment(chat)
    for one in (done, *done["accepted"], *done["conflicts"]):
        one["clock"] = str(HybridClock.unpack(one["clock"]))
    return done


def refuse_sync(device_id: str, since: str | None, changes: Sequence[ProfileChange]) -> None:
    """Refuses a sync with something wrong that is of no single change."""
    refuse_any(problems_of_sync(device_id, since, len(changes)))


def good_changes(changes: Sequence[ProfileChange], refused: RefusedChanges) -> list[PackedChange]:
    """The changes as the database takes them; what is wrong with the others is in `refused`."""
    return packed_changes(changes, refused)


def sync_of(
    device_id: str, since: str | None, strategy: SyncStrategy, packed: Sequence[PackedChange]
) -> FunctionCall[asyncpg.Record]:
    """The command of a sync."""
    return _SYNC(
        device=device_id,
        since=since,
        strategy=strategy.value,
        changes=packed,
        page_rows=PAGE_ROWS,
        page_bytes=PAGE_BYTES,
        ahead=HybridClock(AHEAD_MILLISECONDS).packed(),
    )
