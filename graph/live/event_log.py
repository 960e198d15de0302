"""The event log: reads rows of `events` in the order in which their transactions became visible."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from db.core.pool import Database, Pool
from graph.live.cursors import Cursor

Position = tuple[int, int]

# A connection can be dead without saying so: silence must end in an error.
READ_TIMEOUT_SECONDS = 3.0
# Clients that all come back at once wait for one another, not for the requests' connections.
CONCURRENT_BACKLOG_READS = 4

# Planning for each day's partition costs more than the read itself, so it is planned once. A plan
# for any position must walk the indexes in order: a sort would read all that is left, each time.
PLANNING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_sort": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}

# One statement, so that rows and horizon come from one snapshot: every transaction below xmin has
# ended, so no row can still appear among those that are returned. Its first row, without an id,
# tells of the log as a whole. xid8 travels as a number, since drivers know no codec for it. Each
# branch is a few steps into one index of each day, however long the log is.
_READ = """
with horizon as materialized (
  select pg_snapshot_xmin(seen) as oldest_open, pg_snapshot_xmax(seen) as next_xid,
         (select xid from events order by events.xid desc, id desc limit 1) as newest
  from pg_current_snapshot() as seen
)
select 0::bigint as xid, null::bigint as id, null as topic, null as change, null::uuid as user_id,
       null as entity_id, json_build_object(
         'epoch', epoch, 'xmin', oldest_open::text::bigint, 'xmax', next_xid::text::bigint,
         'newest', coalesce(newest, dropped_xid)::text::bigint,
         'unsettled', coalesce(newest >= oldest_open, false),
         'dropped', json_build_array(dropped_xid::text::bigint, dropped_id)
       )::text as snapshot
from horizon, database_epoch
union all {rows}
order by xid, id nulls first
"""
_ROWS = """
(select events.xid::text::bigint, id, topic, change, user_id, entity_id, {snapshot}::text
 from events
 where (events.xid, id) > ($1::text::xid8, $2::bigint)
   and events.xid < (select oldest_open from horizon) {condition}
 order by {leading} events.xid, id limit $3::int)
"""
_WATCHED = """and (events.xid, id) <= ($4::text::xid8, $5::bigint) and topic = $6::text
   and ($7::text is null or entity_id = $7::text) and user_id """
# Their index begins with these; without naming them `user_id is null` would not walk it in order.
_LEADING = "user_id, topic,"
# What nobody here watches need not travel here.
_OF_TOPICS = "case when topic = any($4::text[]) then snapshot end"
READ_ALL = _READ.format(rows=_ROWS.format(snapshot=_OF_TOPICS, condition="", leading=""))
READ_WATCHED = _READ.format(
    rows=_ROWS.format(snapshot="snapshot", condition=_WATCHED + "= $8::uuid", leading=_LEADING)
    + " union all "
    + _ROWS.format(snapshot="snapshot", condition=_WATCHED + "is null", leading=_LEADING)
)
# What a restore or a promoted standby changes by itself, whichever way it was made.
_INCARNATION = """
select concat_ws(':', system_identifier, timeline_id, 'events'::regclass::oid)
from pg_control_system(), pg_control_checkpoint()
"""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a subscriber may and wants to see; `user_id` null means public ones only."""

    topic: str
    user_id: UUID | None
    entity_id: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """What one read saw of the log as a whole; `dropped` is the newest position not kept."""

    epoch: int
    xmin: int
    xmax: int
    newest: int
    unsettled: bool
    dropped: Position

    def expired(self, cursor: Cursor) -> bool:
        """Whether rows after `cursor` may be gone, or `cursor` belongs to another history."""
        if cursor.epoch != self.epoch or cursor.xid > self.xmax:
            return True
        return (cursor.xid, cursor.id) < self.dropped


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in (xid, id) order, and the head of the log in the same snapshot."""

    head: Head
    rows: list[Any]
    full: bool


class EventLog:
    """The reads of the hub, on a connection of its own, and of resuming subscribers."""

    def __init__(self, database: Database) -> None:
        self._reader = database.separate_pool(
            "service", 1, application_name="tallygraph hub", **PLANNING
        )
        self._backlogs = database.separate_pool(
            "service", CONCURRENT_BACKLOG_READS, application_name="tallygraph backlog", **PLANNING
        )
        self._turns = asyncio.Semaphore(CONCURRENT_BACKLOG_READS)
        self._incarnation = ""

    async def close(self) -> None:
        """Closes the connections."""
        await self._reader.close()
        await self._backlogs.close()

    async def head(self) -> Head:
        """The log as it stands, without rows."""
        async with self._turns:
            return (await self._read(self._backlogs, READ_ALL, "0", 0, 0, [])).head

    async def after(self, position: Position, topics: list[str], row_limit: int) -> Batch:
        """Everything settled after `position`; the snapshots only of these topics."""
        return await self._read(
            self._reader, READ_ALL, str(position[0]), position[1], row_limit, topics
        )

    async def backlog(
        self, event_filter: EventFilter, after: Position, until: Position, row_limit: int
    ) -> Batch:
        """What one subscriber missed after `after`, up to and including `until`."""
        watched = (
            str(until[0]),
            until[1],
            event_filter.topic,
            event_filter.entity_id,
            event_filter.user_id,
        )
        async with self._turns:
            return await self._read(
                self._backlogs, READ_WATCHED, str(after[0]), after[1], row_limit, *watched
            )

    async def _read(
        self, pool: Pool, sql: str, after_xid: str, after_id: int, row_limit: int, *watched: Any
    ) -> Batch:
        try:
            async with pool.connection() as connection:
                if not self._incarnation:
                    self._incarnation = await connection.raw.fetchval(
                        _INCARNATION, timeout=READ_TIMEOUT_SECONDS
                    )
                incarnation = self._incarnation
                arguments = (after_xid, after_id, row_limit, *watched)
                head, *rows = await connection.fetch_rows(sql, arguments, READ_TIMEOUT_SECONDS)
        except BaseException:
            # Whoever answers next may be another server than before.
            self._incarnation = ""
            raise
        # Two branches may each give as many as were asked for.
        rows = rows[:row_limit]
        return Batch(_head(head, incarnation), rows, full=0 < row_limit <= len(rows))


def _head(record: Any, incarnation: str) -> Head:
    told = orjson.loads(record["snapshot"])
    epoch, dropped = _epoch(told["epoch"], incarnation), tuple(told["dropped"])
    return Head(epoch, told["xmin"], told["xmax"], told["newest"], told["unsettled"], dropped)


@lru_cache(maxsize=2)
def _epoch(number: Any, incarnation: str) -> int:
    digest = hashlib.blake2b(f"{number}:{incarnation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
