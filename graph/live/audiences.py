"""Who an event is for: its audiences, and who is in their groups as of the newest read."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import MetaData

from db.core.access import audiences, groups
from graph.engine.execution.event_access import GroupKey, MembersUnknown

# The kinds of audiences that are no groups.
USER, EVERYBODY = "user", "everybody"
# Which groups have other members than before is told under such a topic. No client can name one.
MEMBERS_TOPIC = "members."
GROUPS_KNOWN = 10_000

# What each member is in a group; nothing where all are equal.
Roles = tuple[str | None, ...]
Load = Callable[[str, list[str]], Awaitable[Iterable[Any]]]


class EventAudience(NamedTuple):
    """One of an event's audiences: of a group, the members who have one of the roles."""

    kind: str
    id: str | None
    roles: frozenset[str] | None

    @property
    def group(self) -> GroupKey | None:
        """The group that it is, if it is one."""
        return None if self.id is None or self.kind == USER else (self.kind, self.id)


class EventAudiences(NamedTuple):
    """All audiences of one change, and what its events have in common."""

    change_id: int | None
    each: tuple[EventAudience, ...]


@lru_cache(1024)
def audiences_of(text: str) -> EventAudiences:
    """The audience of one row of the log."""
    kind, identifier, roles, change_id = orjson.loads(text)
    wanted = None if roles is None else frozenset(roles)
    return EventAudiences(change_id, (EventAudience(kind, identifier, wanted),))


class Topics:
    """What topics there are, and whom their events are for."""

    def __init__(self, metadata: MetaData) -> None:
        self.groups = groups(metadata)
        self._kinds = {
            watch.topic: frozenset(audience.kind for audience in audiences(table))
            for table in metadata.tables.values()
            if (watch := table.info.get("watch")) is not None
        }
        self._groups = {
            topic: found
            for topic, kinds in self._kinds.items()
            if (found := kinds & self.groups.keys())
        }

    def kinds(self, topic: str) -> frozenset[str]:
        """The kinds of audiences of a topic."""
        return self._kinds.get(topic, frozenset((USER, EVERYBODY)))

    def groups_of(self, topics: Iterable[str]) -> list[str]:
        """The kinds of groups among the audiences of these topics."""
        found = [self._groups[topic] for topic in topics if topic in self._groups]
        return sorted(frozenset[str]().union(*found))


class Members:
    """The members of groups that had events, as of the newest read of the log.

    Only the reader of the log changes them, and between two of its reads. What a read has not seen
    lies behind its position, so a later read tells of every change to what was loaded after it; as
    long as each does tell of that kind of groups.
    """

    def __init__(self, load: Load, wake: Callable[[], None]) -> None:
        self._load = load
        self._wake = wake
        # By the kind of the groups, then by their ids.
        self._known: dict[str, dict[str, dict[UUID, Roles]]] = defaultdict(dict)
        self._wanted: dict[GroupKey, asyncio.Future[None]] = {}

    def of(self, group: GroupKey) -> Mapping[UUID, Roles]:
        """The members of a group; raises `MembersUnknown`."""
        kind, identifier = group
        members = self._known[kind].get(identifier)
        if members is None:
            raise MembersUnknown(group)
        return members

    def belongs(self, group: GroupKey, user_id: UUID, roles: Collection[str] | None) -> bool:
        """Whether a user is in a group with one of the roles; raises `MembersUnknown`."""
        return has_role(self.of(group).get(user_id, ()), roles)

    async def know(self, group: GroupKey) -> None:
        """Wait until the reader has loaded the members of a group."""
        if group[1] not in self._known[group[0]]:
            wanted = self._wanted.setdefault(group, asyncio.get_running_loop().create_future())
            self._wake()
            # One who leaves must not take it away from the others.
            await asyncio.shield(wanted)

    def keep(self, kinds: Collection[str]) -> None:
        """Forget the groups of all other kinds: the next read does not tell how they change."""
        for kind, known in self._known.items():
            if known and kind not in kinds:
                known.clear()

    async def follow(self, changed: Iterable[GroupKey], needed: Iterable[GroupKey]) -> None:
        """Read again what a read of the log says has changed, and what is asked for."""
        asked = {(kind, one) for kind, one in changed if self._known[kind].pop(one, None)}
        asked |= {(kind, one) for kind, one in needed if one not in self._known[kind]}
        asked |= self._wanted.keys()
        for kind in {kind for kind, _ in asked}:
            await self._read(kind, [identifier for one, identifier in asked if one == kind])
        for group in asked & self._wanted.keys():
            wanted = self._wanted.pop(group)
            if not wanted.done():
                wanted.set_result(None)

    async def _read(self, kind: str, identifiers: list[str]) -> None:
        rows, known = await self._load(kind, identifiers), self._known[kind]
        while known and len(known) + len(identifiers) > GROUPS_KNOWN:
            known.pop(next(iter(known)))
        known |= {identifier: {} for identifier in identifiers}
        for group_id, user_id, role in rows:
            members = known[str(group_id)]
            members[user_id] = (*members.get(user_id, ()), role)


def has_role(roles: Roles, wanted: Collection[str] | None) -> bool:
    """Whether one of a member's roles will do; who is no member has none."""
    if not wanted:
        return bool(roles)
    return any(role in wanted for role in roles)
