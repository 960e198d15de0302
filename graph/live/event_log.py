"""The event log: reads rows of `events` in the order in which their transactions became visible."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from db.actor import SERVICE
from db.pool import Database
from graph.live.cursors import Cursor, epoch_number

Position = tuple[int, int]

READ_TIMEOUT_SECONDS = 5.0
_FARTHEST: Position = (2**63 - 1, 2**63 - 1)

# One statement, so that rows and horizon come from one snapshot: every transaction below xmin has
# ended, so no row can still appear among those that are returned. xid8 travels as text, since
# drivers know no codec for it. Newest and oldest are each one step into the index, at any size
# (`order by xid` alone would mean the text, and sort the whole table).
_READ = """
with horizon as materialized (
  select pg_snapshot_xmin(pg_current_snapshot()) as xmin,
         pg_snapshot_xmax(pg_current_snapshot()) as xmax
)
select (select epoch from database_epoch limit 1) as epoch,
       cast(cast(horizon.xmin as text) as bigint) as xmin,
       cast(cast(horizon.xmax as text) as bigint) as xmax,
       coalesce((select xid from events order by events.xid desc, id desc limit 1) >= horizon.xmin,
                false) as unsettled,
       (select cast(cast(xid as text) as bigint)
        from events order by events.xid, id limit 1) as oldest_xid,
       (select id from events order by events.xid, id limit 1) as oldest_id,
       cast(cast(found.xid as text) as bigint) as xid, found.id, found.topic, found.user_id,
       found.entity_id, found.snapshot
from horizon left join lateral (
  select events.xid, id, topic, user_id, entity_id, cast(snapshot as text) as snapshot
  from events
  where (events.xid, id) > (cast(cast(:after_xid as text) as xid8), cast(:after_id as bigint))
    and (events.xid, id) <= (cast(cast(:until_xid as text) as xid8), cast(:until_id as bigint))
    and events.xid < horizon.xmin {watched}
  order by events.xid, id
  limit cast(:row_limit as int)
) as found on true
order by found.xid, found.id
"""
READ_ALL = text(_READ.format(watched=""))
READ_WATCHED = text(
    _READ.format(
        watched="""
    and topic = cast(:topic as text)
    and (user_id is null or user_id = cast(:user_id as uuid))
    and (cast(:entity_id as text) is null or entity_id = cast(:entity_id as text))"""
    )
)


@dataclass(frozen=True, slots=True)
class Watch:
    """What a subscriber may and wants to see; `user_id` null means public events only."""

    topic: str
    user_id: UUID | None
    entity_id: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """What one read saw of the log as a whole."""

    epoch: int
    xmin: int
    xmax: int
    unsettled: bool
    oldest: Position | None

    def expired(self, cursor: Cursor) -> bool:
        """Whether rows after `cursor` may be gone, or `cursor` belongs to another history."""
        if cursor.epoch != self.epoch or cursor.xid > self.xmax:
            return True
        # Id 1 is the first event there ever was: while it is here nothing has been dropped.
        return self.oldest is not None and self.oldest[1] > 1 and cursor.xid < self.oldest[0]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in (xid, id) order, and the head of the log in the same snapshot."""

    head: Head
    rows: list[Any]
    full: bool


class EventLog:
    """The reads of the hub and of resuming subscribers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        """The log as it stands, without rows."""
        return (await self._read(READ_ALL, (0, 0), _FARTHEST, 0, {})).head

    async def after(self, position: Position, row_limit: int) -> Batch:
        """Everything settled after `position`."""
        return await self._read(READ_ALL, position, _FARTHEST, row_limit, {})

    async def backlog(
        self, watch: Watch, after: Position, until: Position, row_limit: int
    ) -> Batch:
        """What one subscriber missed after `after`, up to and including `until`."""
        watched = {
            "topic": watch.topic,
            "user_id": watch.user_id,
            "entity_id": watch.entity_id,
        }
        return await self._read(READ_WATCHED, after, until, row_limit, watched)

    async def _read(
        self,
        statement: Any,
        after: Position,
        until: Position,
        row_limit: int,
        watched: dict[str, Any],
    ) -> Batch:
        # A connection can be dead without saying so: silence must end in an error.
        async with (
            asyncio.timeout(READ_TIMEOUT_SECONDS),
            self._database.transaction(SERVICE) as transaction,
        ):
            records = await transaction.fetch_all(
                statement,
                after_xid=str(after[0]),
                after_id=after[1],
                until_xid=str(until[0]),
                until_id=until[1],
                row_limit=row_limit,
                **watched,
            )
        rows = [record for record in records if record["id"] is not None]
        return Batch(_head(records[0]), rows, full=0 < row_limit <= len(rows))


def _head(record: Any) -> Head:
    oldest = None
    if record["oldest_id"] is not None:
        oldest = (record["oldest_xid"], record["oldest_id"])
    return Head(
        epoch_number(record["epoch"]), record["xmin"], record["xmax"], record["unsettled"], oldest
    )
