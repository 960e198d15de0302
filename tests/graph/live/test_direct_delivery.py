"""Events that are delivered past a subscriber's task: in order, once, and only when all is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from graph.engine.execution.event_access import GroupKey
from graph.live.audiences import Members
from graph.live.cursors import EventCursor
from graph.live.event_log import Batch, EventFilter, Head, Position
from graph.live.subscriptions import DeliveredEvent, EventSubscription, event_of

HEAD = Head(epoch=1, xmin=10, xmax=10, newest=9, unsettled=False, dropped=(0, 0))


async def nobody_asks(_kind: str, _identifiers: list[str]) -> list[Any]:
    raise AssertionError("these are no events of groups")


class Feed:
    """A hub without a database."""

    position: Position = (9, 0)
    members = Members(nobody_asks, lambda: None)

    async def ready(self) -> Head:
        return HEAD

    fresh_head = ready

    async def read_backlog(
        self, _event_filter: EventFilter, _after: Position, _until: Position
    ) -> Batch:
        raise AssertionError("nothing was missed")

    async def know_members(self, _group: GroupKey) -> None: ...

    def register(self, subscription: EventSubscription) -> None: ...

    def unregister(self, subscription: EventSubscription) -> None: ...


def event(number: int) -> DeliveredEvent:
    row = (10, number, "direct.tested", "UPDATE", uuid4(), "one", b"{}", None)
    return event_of(row, HEAD.epoch, Feed.members)


class Consumer:
    """Takes what is not delivered past it; `ways` tells by which way each event came."""

    def __init__(self, subscription: EventSubscription) -> None:
        self.subscription = subscription
        self.ways: list[tuple[str, int]] = []
        self.is_open = True
        self.is_broken = False
        subscription.deliver_past(self.deliver)
        self.task = asyncio.create_task(self.consume())

    def deliver(self, event: DeliveredEvent) -> bool:
        if self.is_broken:
            raise RuntimeError("it cannot be made")
        if self.is_open:
            self.ways.append(("past", event.id))
        return self.is_open

    async def consume(self) -> None:
        async for found in self.subscription:
            self.ways.append(("task", found.id))

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def consumer() -> AsyncIterator[Consumer]:
    event_filter = EventFilter("direct.tested", uuid4(), None)
    async with EventSubscription(Feed(), event_filter, None, 10, 1.0) as subscription:
        consumer = Consumer(subscription)
        await consumer.settle()
        yield consumer
        consumer.task.cancel()


def push(consumer: Consumer, *numbers: int) -> None:
    for number in numbers:
        consumer.subscription.push(event(number))


async def test_while_the_consumer_waits_events_are_delivered_past_it(consumer: Consumer) -> None:
    push(consumer, 1, 2)
    assert consumer.ways == [("past", 1), ("past", 2)]


async def test_what_cannot_be_delivered_at_once_holds_back_all_that_follows(
    consumer: Consumer,
) -> None:
    push(consumer, 1)
    consumer.is_open = False
    push(consumer, 2)
    consumer.is_open = True
    push(consumer, 3)  # it may not overtake the second
    await consumer.settle()
    push(consumer, 4)
    assert consumer.ways == [("past", 1), ("task", 2), ("task", 3), ("past", 4)]


async def test_what_cannot_be_made_is_left_to_the_consumer(consumer: Consumer) -> None:
    consumer.is_broken = True
    push(consumer, 1)
    await consumer.settle()
    assert consumer.ways == [("task", 1)]


async def test_what_the_first_read_has_shown_is_not_delivered_past(consumer: Consumer) -> None:
    consumer.subscription.skip_seen("11:11:")
    push(consumer, 1)
    await consumer.settle()
    assert consumer.ways == []


async def test_nothing_is_delivered_past_an_end(consumer: Consumer) -> None:
    consumer.subscription.fail(ConnectionError("over"))
    push(consumer, 1)
    with pytest.raises(ConnectionError):
        await consumer.task
    assert ("past", 1) not in consumer.ways


async def test_nothing_is_delivered_past_a_consumer_that_was_cancelled(consumer: Consumer) -> None:
    consumer.task.cancel()
    push(consumer, 1)  # before the task has noticed: its operation's id may be another's by now
    assert consumer.ways == []


def test_a_position_is_written_like_its_cursor() -> None:
    unpadded: Any = EventCursor(2**63, 10, 7).encode()
    assert "=" not in unpadded
    row = (10, 7, "t", "UPDATE", None, None, b"{}", None)
    assert event_of(row, 2**63, Feed.members).cursor == unpadded
