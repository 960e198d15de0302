"""Which subscriptions receive an event: those in its audiences that subscribe to its row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from graph.engine.execution.event_access import GroupKey
from graph.live.audiences import EventAudience, EventAudiences, Members, has_role
from graph.live.event_log import Row
from graph.live.subscriptions import EventSubscription

# The subscriptions to one topic by their users; by none, those that get what is for everybody.
ByUser = dict[UUID | None, set[EventSubscription]]


def recipients(
    by_user: ByUser, user_id: UUID | None, audiences: EventAudiences | None, members: Members
) -> Iterable[Iterable[EventSubscription]]:
    """The subscriptions of everybody in an event's audiences; raises `MembersUnknown`."""
    if audiences is not None:
        return _of_audiences(by_user, audiences.each, members)
    return by_user.values() if user_id is None else (by_user.get(user_id, ()),)


def of_entity(
    found: Iterable[Iterable[EventSubscription]], entity_id: str | None
) -> list[EventSubscription]:
    """Those that watch all rows, or this one."""
    return [
        one
        for subscriptions in found
        for one in subscriptions
        if (wanted := one.filter.entity_id) is None or wanted == entity_id
    ]


def groups_watched(rows: Iterable[Row], watched: Mapping[str, ByUser]) -> Iterator[GroupKey]:
    """The groups among the audiences of events whose topic somebody watches."""
    for row in rows:
        if row[7] is not None and watched.get(row[2]):
            for audience in row[7].each:
                if audience.group is not None:
                    yield audience.group


def _of_audiences(
    by_user: ByUser, audiences: Iterable[EventAudience], members: Members
) -> Iterable[Iterable[EventSubscription]]:
    # Who is in several audiences is found once.
    users = set[UUID | None]()
    for audience in audiences:
        if audience.id is None:
            return by_user.values()
        if audience.group is None:
            users.add(UUID(audience.id))
            continue
        there = members.of(audience.group)
        # The shorter way round: few members among many who watch, or the other way.
        some = there if len(there) < len(by_user) else by_user
        users.update(
            user for user in some if user and has_role(there.get(user, ()), audience.roles)
        )
    return [by_user[user] for user in users if user in by_user]
