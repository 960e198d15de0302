"""Whether an actor may have an event now: its row by the rule for reading, and that it is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Table

from db.core.access import (
    AllOf,
    Member,
    Owner,
    Public,
    Rule,
    Shared,
    Through,
    access_of,
    audiences,
    groups,
    parts,
)
from db.core.actor import Actor

# The kind of a group and its id, as text.
GroupKey = tuple[str, str]
Reads = Callable[[Any, Actor], bool]


class MembersUnknown(Exception):
    """Who is in a group has to be found out first."""

    def __init__(self, group: GroupKey) -> None:
        super().__init__(group)
        self.group = group


class EventAccess:
    """What an actor is shown of the events of one table, rechecked when they are delivered.

    What admins may read beside their own is no event of theirs. Both questions may raise
    `MembersUnknown`.
    """

    def __init__(self, table: Table) -> None:
        rule, found = access_of(table).read, audiences(table)
        self.is_for_all = [audience.kind for audience in found] == ["everybody"]
        self.has_groups = any(audience.kind in groups(table.metadata) for audience in found)
        self._reads = _reader(rule)

    def may_read(self, event: Any, actor: Actor) -> bool:
        """Whether the actor may read the row, as it is in the event's snapshot."""
        return event.change != "DELETE" and self._reads(event, actor)

    def may_know(self, event: Any, actor: Actor) -> bool:
        """Whether who may not read the row is told that it is gone: once they could read it."""
        if event.is_for_everybody:
            return True
        if event.change != "DELETE":
            return False
        return _is_for(event, actor)


def _reader(rule: Rule) -> Reads:
    """The rule as a function of an event and an actor."""
    found = [_reader_of_part(part) for part in parts(rule)]
    # Most rules have one part, and each subscriber asks for each event.
    return found[0] if len(found) == 1 else lambda event, actor: any(r(event, actor) for r in found)


def _reader_of_part(part: Rule) -> Reads:
    match part:
        case Owner(column):
            return lambda event, actor: (
                actor.user_id is not None and event.snapshot.get(column) == actor.user_text
            )
        case Public(""):
            return lambda _event, _actor: True
        case Public(only_if):
            return lambda event, _actor: event.snapshot.get(only_if) is True
        case Member(column, roles, group):
            return _reader_of_group(group, column, roles)
        case Shared(column, group):
            return _reader_of_group(group, column, ())
        case AllOf(rules):
            asked = [_reader_of_part(one) for one in rules]
            return lambda event, actor: all(reads(event, actor) for reads in asked)
        case Through():
            # The snapshot holds no row that this leads to, but the event knows its audiences.
            return _is_for
    # Admins are told of nothing beside their own; what else somebody has, an event does not know.
    return lambda _event, _actor: False


def _reader_of_group(kind: str, column: str, roles: Collection[str]) -> Reads:
    def reads(event: Any, actor: Actor) -> bool:
        group_id = event.snapshot.get(column)
        if group_id is None or actor.user_id is None:
            return False
        found: bool = event.members.belongs((kind, group_id), actor.user_id, roles)
        return found

    return reads


def _is_for(event: Any, actor: Actor) -> bool:
    """Whether the actor is in one of the event's audiences."""
    if not event.audiences:
        return event.user_id is None or bool(event.user_id == actor.user_id)
    return any(_is_among(audience, event, actor) for audience in event.audiences)


def _is_among(audience: Any, event: Any, actor: Actor) -> bool:
    if audience.id is None:
        return True
    if audience.group is None or actor.user_id is None:
        return bool(audience.id == actor.user_text)
    found: bool = event.members.belongs(audience.group, actor.user_id, audience.roles)
    return found
