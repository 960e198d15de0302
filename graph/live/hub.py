"""The hub: one reader per process that carries new events to every subscriber, in order."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import structlog
from sqlalchemy import MetaData

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.core.registry import metadata
from graph.engine.execution.event_access import GroupKey, MembersUnknown
from graph.live.audiences import Members, Topics
from graph.live.bus import WakeBus
from graph.live.cursors import EventCursor, expired_cursor
from graph.live.event_log import Batch, EventFilter, EventLog, Head, Position
from graph.live.horizon import Horizon
from graph.live.routing import ByUser, groups_watched, of_entity, recipients
from graph.live.subscriptions import EventSubscription, HubStopped, SubscriptionAway, event_of

BATCH_ROWS = 500
BACKLOG_ROWS = 200
BUFFER_EVENTS = 256
# How long a subscriber may stay behind before its socket is given up.
SLOW_SECONDS = 10.0
HEARTBEAT_SECONDS = 1.0
# Whoever listens answers from memory by it: a change whose wake-up was lost is still told in time.
LISTENING_HEARTBEAT_SECONDS = 0.25
# While a transaction is open, rows wait behind it, and its rollback wakes nobody: ask often.
UNSETTLED_POLL_SECONDS = 0.01
# Under load wake-ups never stop; a short pause lets one read serve many of them.
READ_PAUSE_SECONDS = 0.002
# Nobody sees how soon a memory is told: while nobody subscribes, reads are that far apart.
LISTENING_PAUSE_SECONDS = 0.02
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 1.0
# Who watches is told that nothing can be read here when so many looks in a row find the same read
# unanswered: within five seconds with the heartbeat before it, and later than one connection that
# died takes to be replaced. Looks, since time alone passes while this process is held up itself.
SILENT_LOOKS = 15
LOOK_SECONDS = 0.25
READY_TIMEOUT_SECONDS = SILENT_LOOKS * LOOK_SECONDS
# Longer than any transaction of the server should take.
HELD_BACK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class EventHub:
    """Reads `events` past its position on every wake-up and on a slow heartbeat."""

    def __init__(
        self,
        database: Database,
        bus: WakeBus,
        *,
        buffer_events: int = BUFFER_EVENTS,
        slow_seconds: float = SLOW_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        metadata: MetaData = metadata,
    ) -> None:
        self.position: Position = (0, 0)
        self.read_at: float | None = None
        # Since when committed events wait for an open transaction, by the monotonic clock.
        self.held_since: float | None = None
        self._horizon = Horizon()
        self._held_by = 0
        self._held_was_told = False
        self._topics = Topics(metadata)
        self._log = EventLog(database, self._topics)
        self._bus = bus
        self._buffer_events = buffer_events
        self._slow_seconds = slow_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._head: Head | None = None
        self._ready = asyncio.Event()
        self._woken = asyncio.Event()
        self.members = Members(self._log.members, self._woken.set)
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # The timeouts of those who read for themselves while they begin or catch up.
        self._waiting: set[asyncio.Timeout] = set()
        self._is_reading = False
        self._subscriptions: dict[str, ByUser] = defaultdict(dict)
        self._of_one_row: set[EventSubscription] = set()
        # Who keeps something in memory that a change makes old, by topic.
        self._listeners: dict[str, list[Callable[[str | None], None]]] = defaultdict(list)

    async def start(self) -> None:
        """Begin reading; a database that is away is waited for in the background."""
        await self._bus.start(self._woken.set)
        self._tasks = [
            asyncio.create_task(self._read_for_ever(), name="live-hub"),
            asyncio.create_task(self._beat(), name="live-heartbeat"),
            asyncio.create_task(self._watch_for_silence(), name="live-silence"),
        ]

    async def stop(self) -> None:
        """Stop reading and end every subscription; their clients resume elsewhere."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bus.stop()
        await self._log.close()
        self._end_all(HubStopped("the server is restarting"))

    def wake(self) -> None:
        """This process has committed an event: read it here, and tell the other processes."""
        self._woken.set()
        self._bus.publish()

    def listen(self, topic: str, listener: Callable[[str | None], None]) -> None:
        """Call `listener` with the entity of each event of a topic, whoever it is for.

        With None it is told that events may have been missed. From the first listener on, the log
        is read whether or not anybody subscribes.
        """
        self._listeners[topic].append(listener)
        self._wanted.set()

    def subscribe(
        self,
        *,
        topic: str,
        user_id: UUID | None,
        entity_id: str | None = None,
        after: EventCursor | str | None = None,
    ) -> EventSubscription:
        """Events of `topic` for everybody, this user and their groups; an async context manager."""
        event_filter = EventFilter(topic, user_id, entity_id)
        return EventSubscription(self, event_filter, after, self._buffer_events, self._slow_seconds)

    def snapshot_cursor(self, snapshot_text: str) -> str:
        """The cursor of a state read in the statement whose `app.seen_of_events()` this is."""
        if self._head is None:
            raise _away()
        return EventCursor.from_snapshot(self._head.epoch, snapshot_text).encode()

    async def ready(self) -> Head:
        """The last known head of the log, once there is one."""
        if self._head is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), READY_TIMEOUT_SECONDS)
        if self._head is None:
            raise _away()
        return self._head

    async def fresh_head(self) -> Head:
        """The head of the log as it is now."""
        return await self._if_readable(self._log.head)

    async def read_backlog(
        self, event_filter: EventFilter, after: Position, until: Position
    ) -> Batch:
        """A piece of what one subscriber missed; waits through short outages of the database."""
        return await self._if_readable(
            lambda: self._log.backlog(event_filter, after, until, BACKLOG_ROWS)
        )

    async def know_members(self, group: GroupKey) -> None:
        """Wait until it is known who is in a group; as long as the log is read."""
        await self._if_readable(lambda: self.members.know(group))

    def register(self, subscription: EventSubscription) -> None:
        """Deliver to this subscription from the next event on."""
        wanted = subscription.filter
        self._subscriptions[wanted.topic].setdefault(wanted.user_id, set()).add(subscription)
        if wanted.user_id is not None and wanted.entity_id is not None:
            self._of_one_row.add(subscription)
        self._wanted.set()

    def unregister(self, subscription: EventSubscription) -> None:
        """Deliver nothing more to it."""
        wanted = subscription.filter
        by_user = self._subscriptions[wanted.topic]
        found = by_user.get(wanted.user_id, set())
        found.discard(subscription)
        self._of_one_row.discard(subscription)
        if not found:
            by_user.pop(wanted.user_id, None)
        if not self._is_wanted():
            self._wanted.clear()

    def subscriptions(self) -> list[EventSubscription]:
        """All subscriptions that run in this process."""
        by_users = self._subscriptions.values()
        return [one for by_user in by_users for found in by_user.values() for one in found]

    def users(self) -> set[UUID]:
        """Who has subscriptions of their own here."""
        found = set[UUID | None]().union(*self._subscriptions.values())
        return {user_id for user_id in found if user_id is not None}

    def of_user(self, user_id: UUID) -> list[EventSubscription]:
        """The subscriptions of one user."""
        by_users = self._subscriptions.values()
        return [one for by_user in by_users for one in by_user.get(user_id, ())]

    def of_one_row(self) -> list[EventSubscription]:
        """The subscriptions of users that watch a single row."""
        return list(self._of_one_row)

    def subscription_count(self) -> int:
        """How many subscriptions run in this process."""
        return len(self.subscriptions())

    def behind_seconds(self, now: float) -> float | None:
        """How long ago the log was read to its end; nothing before the first read."""
        if self.read_at is None:
            return None
        return now - min(self.read_at, self.held_since or self.read_at)

    def untold_seconds(self, now: float) -> float | None:
        """For how long there may be changes of which no listener was told; None when unknown."""
        known_until = self._horizon.known_until
        return None if known_until is None else now - known_until

    async def _read_for_ever(self) -> None:
        while True:
            batch = await self._until_answered(self._read_next)
            if batch.full:
                await asyncio.sleep(0)
                continue
            if not self._is_wanted():
                # Nobody would see what a wake-up tells of; the heartbeat keeps the position near.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), self._heartbeat_seconds)
                continue
            if batch.head.unsettled:
                asyncio.get_running_loop().call_later(UNSETTLED_POLL_SECONDS, self._woken.set)
            await self._woken.wait()
            await self._pause()

    async def _pause(self) -> None:
        """Waits only when the last read is just over: most wake-ups come later than that."""
        assert self.read_at is not None
        pause = READ_PAUSE_SECONDS if self._is_watched() else LISTENING_PAUSE_SECONDS
        seconds_left = self.read_at + pause - time.monotonic()
        if seconds_left > 0:
            await asyncio.sleep(seconds_left)

    async def _beat(self) -> None:
        """Wakes the reader now and then; a deadline for each of its waits would cost more."""
        while True:
            await asyncio.sleep(
                min(self._heartbeat_seconds, LISTENING_HEARTBEAT_SECONDS)
                if self._listeners
                else self._heartbeat_seconds
            )
            self._woken.set()

    async def _read_next(self) -> Batch:
        # Cleared before the read: a wake-up during it asks for another.
        self._woken.clear()
        self._is_reading = True
        if self._head is None:
            head = await self._log.head()
            self._begin_at(head)
        topics = [topic for topic, by_user in self._subscriptions.items() if by_user]
        groups = self._topics.groups_of(topics)
        self.members.keep(groups)
        rows = BATCH_ROWS if topics or self._listeners else 0
        began_at = time.monotonic()
        batch = await self._log.after(self.position, topics, rows, groups)
        if self._is_another_history(batch.head):
            self._begin_at(batch.head)
            self._tell_all_listeners()
            self._end_all(expired_cursor())
            return Batch(batch.head, [], full=True)
        self._head = batch.head
        if self._topics.groups:
            await self.members.follow(
                batch.regrouped, groups_watched(batch.rows, self._subscriptions)
            )
        self._note_progress(batch)
        if not rows:
            batch = self._pass_over(batch)
        elif not self._deliver(batch):
            batch = replace(batch, full=True)
        self._horizon.note(began_at, batch.head, is_all=not batch.full)
        return batch

    def _is_wanted(self) -> bool:
        return bool(self._listeners) or self._is_watched()

    def _is_watched(self) -> bool:
        return any(self._subscriptions.values())

    def _tell_all_listeners(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener(None)

    def _pass_over(self, batch: Batch) -> Batch:
        """Goes on behind what nobody watched, without its rows; who came meanwhile wants them."""
        if self._is_wanted():
            return replace(batch, full=True)
        self.position = max(self.position, _settled(batch.head))
        return batch

    def _note_progress(self, batch: Batch) -> None:
        """Says once of each transaction that it keeps committed events waiting."""
        now = time.monotonic()
        self.read_at, self._is_reading = now, False
        if not batch.head.unsettled:
            self.held_since = None
        elif self.held_since is None or batch.head.xmin != self._held_by:
            self.held_since, self._held_by, self._held_was_told = now, batch.head.xmin, False
        elif now - self.held_since > HELD_BACK_SECONDS and not self._held_was_told:
            self._held_was_told = True
            log.warning("live.held_back", seconds=HELD_BACK_SECONDS, by_transaction=self._held_by)

    def _begin_at(self, head: Head) -> None:
        self._head = head
        self.read_at = time.monotonic()
        self._horizon.forget()
        self.position = _settled(head)
        self.members.keep(())
        self._ready.set()

    def _is_another_history(self, head: Head) -> bool:
        """A restore under a running process would otherwise leave it waiting for old numbers.

        And who slept for longer than events are kept would continue behind a gap.
        """
        assert self._head is not None
        is_restored = head.epoch != self._head.epoch or head.xmax < self.position[0]
        return is_restored or self.position < head.dropped

    def _deliver(self, batch: Batch) -> bool:
        """Hands events over; false when one must be read again, since its topic is new here."""
        epoch, watched, members = batch.head.epoch, self._subscriptions, self.members
        for row in batch.rows:
            xid, event_id, topic, _, user_id, entity_id, snapshot, audiences = row
            by_user = watched.get(topic)
            for listener in self._listeners.get(topic, ()):
                listener(entity_id)
            if not by_user:
                self.position = (xid, event_id)
                continue
            if snapshot is None:
                return False
            try:
                found = recipients(by_user, user_id, audiences, members)
            except MembersUnknown:
                return False
            watching = of_entity(found, entity_id)
            self.position = (xid, event_id)
            if watching:
                event = event_of(row, epoch, members)
                for subscription in watching:
                    subscription.push(event)
        return True

    async def _watch_for_silence(self) -> None:
        """Ends subscriptions, resumably, when the log cannot be read: another node may read it."""
        looks, seen_at = 0, self.read_at
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            is_same_read = self._is_reading and self.read_at == seen_at
            looks, seen_at = looks + 1 if is_same_read else 0, self.read_at
            if looks == SILENT_LOOKS:
                looks = 0
                log.warning("live.silent", seconds=SILENT_LOOKS * LOOK_SECONDS)
                self._end_all(SubscriptionAway("events cannot be read here at the moment"))
                waiting, self._waiting = self._waiting, set()
                for timeout in waiting:
                    timeout.reschedule(asyncio.get_running_loop().time())

    async def _if_readable[Answer](self, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """What one subscriber reads for itself; `SERVICE_UNAVAILABLE` once nothing can be read."""
        try:
            async with asyncio.timeout(None) as timeout:
                self._waiting.add(timeout)
                try:
                    return await self._until_answered(read)
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError:
            raise _away() from None

    def _end_all(self, reason: Exception) -> None:
        for by_user in list(self._subscriptions.values()):
            for found in list(by_user.values()):
                for subscription in list(found):
                    subscription.fail(reason)

    async def _until_answered[Answer](self, read: Callable[[], Awaitable[Answer]]) -> Answer:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                return await read()
            except Exception as error:
                log.warning("live.read_failed", error=error, retry_seconds=retry_seconds)
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, LONGEST_RETRY_SECONDS)


def _settled(head: Head) -> Position:
    """Behind every event that can be read.

    Not beyond the newest one: after a crash, numbers that nobody used are given again.
    """
    return (min(head.xmin, head.newest + 1), 0)


def _away() -> DomainError:
    return DomainError(
        ErrorCode.SERVICE_UNAVAILABLE, "Live updates are not available now. Try again soon."
    )
