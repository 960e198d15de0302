"""One subscriber of the hub: its backlog first, then a bounded buffer of live events."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

import orjson

from graph.engine.execution.event_access import GroupKey
from graph.live.audiences import EventAudience, Members
from graph.live.cursors import EventCursor, decode_cursor, encoded_position, expired_cursor
from graph.live.event_log import Batch, EventFilter, Head, Position, Row


class SubscriptionClosed(Exception):
    """The server ended a subscription that the client can resume from its last cursor."""


class SlowConsumer(SubscriptionClosed):
    """A subscriber took events more slowly than they came, for longer than it may."""


class HubStopped(SubscriptionClosed):
    """This process is going away."""


class SubscriptionAway(SubscriptionClosed):
    """Something the server needs was away for too long."""


@dataclass(slots=True)
class DeliveredEvent:
    """One change, as it was when it happened. `cursor` resumes right after it.

    It is for `user_id`, or for everybody when that is null, unless `audiences` says otherwise.
    `members` tells who is in the groups among them now. `encoded` keeps what was made of it, so
    that all who want the same share it.
    """

    xid: int
    id: int
    topic: str
    change: str
    user_id: UUID | None
    entity_id: str | None
    snapshot: dict[str, Any]
    cursor: str
    audiences: tuple[EventAudience, ...]
    members: Members
    encoded: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_for_everybody(self) -> bool:
        """Whether everybody is among its audiences."""
        if self.audiences:
            return any(audience.id is None for audience in self.audiences)
        return self.user_id is None


def event_of(row: Row, epoch: int, members: Members) -> DeliveredEvent:
    """The event in a row of the log.

    The position of a change that has several is that of the first thing it wrote: who has seen one
    of them has seen all.
    """
    xid, event_id, topic, change, user_id, entity_id, snapshot, audiences = row
    each: tuple[EventAudience, ...] = ()
    if audiences is not None:
        event_id, each = audiences.change_id or event_id, audiences.each
    cursor = encoded_position(epoch, xid, event_id)
    row_image = orjson.loads(snapshot)
    return DeliveredEvent(
        xid, event_id, topic, change, user_id, entity_id, row_image, cursor, each, members
    )


# Delivers an event at once; false when that cannot be now.
Deliver = Callable[[DeliveredEvent], bool]
_NONE_MISSED: Iterator[DeliveredEvent] = iter(())


class Feed(Protocol):
    """What a subscription needs of the hub."""

    position: Position
    members: Members

    async def ready(self) -> Head: ...
    async def fresh_head(self) -> Head: ...
    async def read_backlog(
        self, event_filter: EventFilter, after: Position, until: Position
    ) -> Batch: ...
    async def know_members(self, group: GroupKey) -> None: ...
    def register(self, subscription: EventSubscription) -> None: ...
    def unregister(self, subscription: EventSubscription) -> None: ...


class EventSubscription:
    """The events that pass one filter, each exactly once and in order, from `after` or from now.

    Register first, then read what was missed up to where the hub stood: whatever the hub reads
    later arrives in the buffer, so nothing can fall between the two. A burst that overflows the
    buffer is read from the log once the buffer is empty; who takes too long over it is cut off.
    While the consumer has nothing to do but wait, events can be delivered past it.
    """

    __slots__ = (
        "_after",
        "_buffer",
        "_buffer_size",
        "_deliver",
        "_dropping_since",
        "_epoch",
        "_failure",
        "_feed",
        "_missed",
        "_missed_from",
        "_missed_until",
        "_requested",
        "_slow_seconds",
        "_waiting",
        "filter",
    )

    def __init__(
        self,
        feed: Feed,
        event_filter: EventFilter,
        after: EventCursor | str | None,
        buffer_size: int,
        slow_seconds: float,
    ) -> None:
        self.filter = event_filter
        self._feed = feed
        self._requested = after
        self._after: EventCursor | None = None
        self._missed_until: Position | None = None
        self._missed_from: Position = (0, 0)
        self._epoch = 0
        self._missed = _NONE_MISSED
        # Made when it is needed: most subscribers never lag, and an empty one has 600 bytes.
        self._buffer: deque[DeliveredEvent] | None = None
        self._buffer_size = buffer_size
        self._slow_seconds = slow_seconds
        self._dropping_since: float | None = None
        self._failure: Exception | None = None
        # The consumer's future while it waits for an event.
        self._waiting: asyncio.Future[None] | None = None
        self._deliver: Deliver | None = None

    async def __aenter__(self) -> Self:
        head = await self._feed.ready()
        after = self._requested
        if isinstance(after, str):
            after = decode_cursor(after)
        if after is not None:
            if after.xid >= head.xmax or (after.xid, after.id) < self._feed.position:
                head = await self._feed.fresh_head()
            if head.expired(after):
                raise expired_cursor()
            self._after = after
            self._missed_from = (after.xid, after.id)
        self._epoch = head.epoch
        # No await from here to the end: the hub must not move between the lines.
        if after is None:
            self._missed_from = self._feed.position
        elif self._missed_from < self._feed.position:
            self._missed_until = self._feed.position
        self._feed.register(self)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._feed.unregister(self)

    def skip_seen(self, snapshot_text: str) -> str:
        """Skip what a read made since entering has shown; returns the cursor of that read.

        `snapshot_text` is `app.seen_of_events()` of the very statement that read the state. The
        read came after this subscription was registered, so no backlog is needed.
        """
        self._after = EventCursor.from_snapshot(self._epoch, snapshot_text)
        return self._after.encode()

    async def know_members(self, group: GroupKey) -> None:
        """Wait until it is known who is in a group."""
        await self._feed.know_members(group)

    def deliver_past(self, deliver: Deliver) -> None:
        """Offer events to `deliver` from now on while the consumer only waits.

        That spares the consumer's task, and all that stands between it and the socket.
        """
        self._deliver = deliver

    def push(self, event: DeliveredEvent) -> None:
        """Called by the hub for each event that passes the filter."""
        # Whether the consumer only waits: not about to go on, cancelled, or behind its cursor.
        waiting = self._waiting
        is_idle = waiting is not None and self._after is None and not waiting.done()
        if is_idle and self._is_delivered(event):
            self._missed_from = (event.xid, event.id)
        elif self._dropping_since:
            self._drop()
        elif self._buffer is None:
            self._buffer = deque((event,))
            self._wake()
        elif len(self._buffer) < self._buffer_size:
            self._buffer.append(event)
        else:
            self._drop()

    def _is_delivered(self, event: DeliveredEvent) -> bool:
        try:
            return self._deliver is not None and self._deliver(event)
        except Exception:
            # It will meet the consumer again, who reports it.
            return False

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _drop(self) -> None:
        now = time.monotonic()
        self._dropping_since = self._dropping_since or now
        if now - self._dropping_since > self._slow_seconds:
            self.fail(SlowConsumer("events came faster than they were taken"))

    def fail(self, reason: Exception) -> None:
        """End this subscription once what it already holds has been taken."""
        self._failure = self._failure or reason
        self._feed.unregister(self)
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DeliveredEvent:
        while True:
            event = await self._take()
            after = self._after
            if after is None:
                return event
            if after.seen(event.xid, event.id):
                continue
            advanced = after.advance(event.xid, event.id)
            if not advanced.xmax:
                # Events come in order, so nothing that follows can have been seen.
                self._after = None
                return event
            self._after = advanced
            return replace(event, cursor=advanced.encode(), encoded={})

    async def _take(self) -> DeliveredEvent:
        while True:
            missed = next(self._missed, None)
            if missed is not None:
                return missed
            if self._missed_until is not None:
                await self._read_missed(self._missed_until)
            elif self._buffer:
                event = self._buffer.popleft()
                if not self._buffer:
                    self._buffer = None
                self._missed_from = (event.xid, event.id)
                return event
            elif self._failure:
                raise self._failure
            elif self._dropping_since:
                self._dropping_since = None
                self._missed_until = self._feed.position
            else:
                self._waiting = asyncio.get_running_loop().create_future()
                try:
                    await self._waiting
                finally:
                    self._waiting = None

    async def _read_missed(self, until: Position) -> None:
        batch = await self._feed.read_backlog(self.filter, self._missed_from, until)
        if batch.head.expired(EventCursor(self._epoch, *self._missed_from)):
            raise expired_cursor()
        members = self._feed.members
        events = [event_of(row, self._epoch, members) for row in batch.rows]
        self._missed = iter(events)
        if batch.full:
            self._missed_from = (events[-1].xid, events[-1].id)
        else:
            self._missed_until = None
