"""The event log: reads rows of `events` in the order in which their transactions became visible."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any
from uuid import UUID

import orjson

from db.core.groups import groups_of_user, members_of_groups
from db.core.pool import Database, Pool
from db.core.registry import metadata
from graph.engine.execution.event_access import GroupKey
from graph.live.audiences import (
    EVERYBODY,
    MEMBERS_TOPIC,
    USER,
    EventAudiences,
    Topics,
    audiences_of,
)
from graph.live.cursors import EventCursor

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
       null as entity_id, json_build_object({beside}
         'epoch', epoch, 'xmin', oldest_open::text::bigint, 'xmax', next_xid::text::bigint,
         'newest', coalesce(newest, dropped_xid)::text::bigint,
         'unsettled', coalesce(newest >= oldest_open, false),
         'dropped', json_build_array(dropped_xid::text::bigint, dropped_id)
       )::text as snapshot, null as audience
from horizon, database_epoch
union all {rows}
order by xid, id nulls first
"""
_ROWS = """
(select events.xid::text::bigint as xid, id, topic, change, user_id, entity_id,
        {snapshot}::text as snapshot,
        case when change_id is not null or audience_kind not in ('user', 'everybody') then
          json_build_array(audience_kind, audience_id, audience_roles, change_id)::text
        end as audience
 from events
 where (events.xid, id) > ($1::text::xid8, $2::bigint)
   and events.xid < (select oldest_open from horizon) {condition}
 order by {leading} events.xid, id limit $3::int)
"""
# What is left of a change of which one event was given is no news.
_WATCHED = """and (events.xid, coalesce(change_id, id)) > ($1::text::xid8, $2::bigint)
   and (events.xid, id) <= ($4::text::xid8, $5::bigint) and topic = $6::text
   and ($7::text is null or entity_id = $7::text) """
# Their index begins with these; without naming them `user_id is null` would not walk it in order.
_LEADING = "user_id, topic,"
# What nobody here watches need not travel here.
_OF_TOPICS = "case when topic = any($4::text[]) then snapshot end"
_READ_NEW = _ROWS.format(snapshot=_OF_TOPICS, condition="", leading="")
READ_ALL = _READ.format(beside="", rows=_READ_NEW)
# Which groups have other members than before, by all that this statement sees: also by transactions
# that other open ones keep waiting, since one of those may have been committed later.
_REGROUPED = """
         'regrouped', (select json_agg(distinct array[audience_kind, audience_id::text]) from events
           where user_id is null and topic = any($5::text[])
             and (events.xid, id) > ($1::text::xid8, $2::bigint)),"""
READ_WITH_GROUPS = _READ.format(beside=_REGROUPED, rows=_READ_NEW)
_OF_USER = _ROWS.format(
    snapshot="snapshot", condition=_WATCHED + "and user_id = $8::uuid", leading=_LEADING
)
_OF_EVERYBODY = _ROWS.format(
    snapshot="snapshot", condition=_WATCHED + "and user_id is null {everybody}", leading=_LEADING
)
READ_WATCHED = _READ.format(
    beside="", rows=f"{_OF_USER} union all {_OF_EVERYBODY.format(everybody='')}"
)
# Of each group that the user is in now.
_OF_GROUPS = """
(select e.* from ({groups}) mine cross join lateral {rows} e order by e.xid, e.id limit $3::int)
"""
_IN_GROUP = """and audience_id = mine.group_id and audience_kind = '{kind}'
   and (audience_roles is null or mine.role = any (audience_roles))"""
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

    def expired(self, cursor: EventCursor) -> bool:
        """Whether rows after `cursor` may be gone, or `cursor` belongs to another history."""
        if cursor.epoch != self.epoch or cursor.xid > self.xmax:
            return True
        return (cursor.xid, cursor.id) < self.dropped


# A row of the log: xid, id, topic, change, user_id, entity_id, snapshot, audiences. The last is
# null for the usual event, which is for its user, or for everybody when that is null.
Row = Any


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in (xid, id) order, one for each change, and the head of the log in the same snapshot.

    `regrouped` are the groups that have other members than at the position read from.
    """

    head: Head
    rows: list[Row]
    full: bool
    regrouped: Sequence[GroupKey] = ()


class EventLog:
    """The reads of the hub, on a connection of its own, and of resuming subscribers."""

    def __init__(self, database: Database, topics: Topics | None = None) -> None:
        self._reader = database.separate_pool(
            "service", 1, application_name="tallygraph hub", **PLANNING
        )
        self._backlogs = database.separate_pool(
            "service", CONCURRENT_BACKLOG_READS, application_name="tallygraph backlog", **PLANNING
        )
        self._turns = asyncio.Semaphore(CONCURRENT_BACKLOG_READS)
        self._incarnation = ""
        self._topics = topics or Topics(metadata)
        self._watched = cache(partial(read_watched, self._topics))

    async def close(self) -> None:
        """Closes the connections."""
        await self._reader.close()
        await self._backlogs.close()

    async def head(self) -> Head:
        """The log as it stands, without rows."""
        async with self._turns:
            return (await self._read(self._backlogs, READ_ALL, "0", 0, 0, [])).head

    async def after(
        self, position: Position, topics: list[str], row_limit: int, groups: Sequence[str] = ()
    ) -> Batch:
        """Everything settled after `position`; the snapshots only of these topics.

        And which groups of these kinds have changed.
        """
        sql, watched = READ_ALL, [topics]
        if groups:
            sql = READ_WITH_GROUPS
            watched.append([MEMBERS_TOPIC + kind for kind in groups])
        xid, event_id = position
        return await self._read(self._reader, sql, str(xid), event_id, row_limit, *watched)

    async def members(self, kind: str, identifiers: list[str]) -> list[Any]:
        """Who is in which of these groups, and as what."""
        sql = members_of_groups(*self._topics.groups[kind])
        async with self._reader.connection() as connection:
            return await connection.fetch_rows(sql, (identifiers,), READ_TIMEOUT_SECONDS)

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
        sql = self._watched(event_filter.topic)
        async with self._turns:
            return await self._read(
                self._backlogs, sql, str(after[0]), after[1], row_limit, *watched
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
        # Several branches may each give as many as were asked for.
        rows = rows[:row_limit]
        full = 0 < row_limit <= len(rows)
        told = orjson.loads(head["snapshot"])
        regrouped = [(kind, group_id) for kind, group_id in told.get("regrouped") or ()]
        return Batch(_head(told, incarnation), _changes(rows, full=full), full, regrouped)


def read_watched(topics: Topics, topic: str) -> str:
    """The statement for what one subscriber missed of a topic."""
    kinds, groups = topics.kinds(topic), topics.groups_of([topic])
    if not groups:
        return READ_WATCHED
    branches = []
    if USER in kinds:
        branches.append(_OF_USER)
    if EVERYBODY in kinds:
        own = "and coalesce(audience_kind, 'everybody') = 'everybody'"
        branches.append(_OF_EVERYBODY.format(everybody=own))
    for kind in groups:
        mine = groups_of_user(*topics.groups[kind], "$8::uuid")
        condition = _WATCHED + _IN_GROUP.format(kind=kind)
        rows = _ROWS.format(snapshot="snapshot", condition=condition, leading="")
        branches.append(_OF_GROUPS.format(groups=mine, rows=rows))
    return _READ.format(beside="", rows=" union all ".join(branches))


def _changes(rows: list[Row], *, full: bool) -> list[Row]:
    """The rows with those of one change as one, where any has an audience of its own to tell.

    A change that a full batch may have cut in two is left to the next one.
    """
    if not any(row[7] for row in rows):
        return rows
    found: list[Row] = []
    for row in rows:
        told = audiences_of(row[7]) if row[7] else None
        last = found[-1] if found else None
        if last is not None and told is not None and _is_same_change(last, row, told):
            merged = EventAudiences(told.change_id, (*last[7].each, *told.each))
            found[-1] = (*row[:7], merged)
        else:
            found.append((*row[:7], told))
    is_cut = full and len(found) > 1 and found[-1][7] and found[-1][7].change_id is not None
    return found[:-1] if is_cut else found


def _is_same_change(last: Row, row: Row, told: EventAudiences) -> bool:
    if last[0] != row[0] or last[7] is None:
        return False
    return last[1] == row[1] or (told.change_id is not None and last[7].change_id == told.change_id)


def _head(told: Any, incarnation: str) -> Head:
    epoch, dropped = _epoch(told["epoch"], incarnation), tuple(told["dropped"])
    return Head(epoch, told["xmin"], told["xmax"], told["newest"], told["unsettled"], dropped)


@lru_cache(maxsize=2)
def _epoch(number: Any, incarnation: str) -> int:
    digest = hashlib.blake2b(f"{number}:{incarnation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
