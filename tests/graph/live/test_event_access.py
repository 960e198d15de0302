"""What an actor is shown of an event, by the rule for reading of its table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import Boolean, Column, ForeignKey, MetaData, Table, Text, Uuid

from db.core.access import (
    Access,
    Admin,
    AllOf,
    AnyOf,
    Group,
    LikeOwn,
    Member,
    Owner,
    Public,
    Rule,
    Shared,
    Through,
    declare_group,
)
from db.core.actor import NOBODY, Actor
from graph.engine.execution.event_access import EventAccess, MembersUnknown
from graph.live.audiences import EventAudience, EventAudiences, Members
from graph.live.subscriptions import event_of

ANN, BOB = (Actor("authenticated", uuid4()) for _ in range(2))
TEAM, UNKNOWN_TEAM = str(uuid4()), str(uuid4())
OF_TEAM = EventAudience("team", TEAM, None)
EVERYBODY = EventAudience("everybody", None, None)
BOBS = {"user_id": BOB.user_claim}


def table_of(rule: Rule) -> Table:
    """A table with a rule, beside a parent and a table of memberships."""
    metadata = MetaData()
    for kind in ("team", "pair"):
        declare_group(Table(f"{kind}s", metadata), Group(kind, key="team_id", role="role"))
    parent = Table("parents", metadata, Column("id", Uuid, primary_key=True))
    parent.append_column(Column("team_id", Uuid))
    parent.append_column(Column("user_id", Uuid))
    parent.info["access"] = Access(read=AnyOf(Owner(), Member("team_id", group="team")))
    columns = [Column(name, Uuid) for name in ("user_id", "owner_id", "team_id")]
    flag, leads = Column("is_active", Boolean), Column("parent_id", ForeignKey("parents.id"))
    found = Table("rows", metadata, Column("id", Text, primary_key=True), *columns, flag, leads)
    found.info["access"] = Access(read=rule)
    return found


@pytest.fixture
async def members() -> Members:
    """Bob is a viewer of the one team that is known."""

    async def load(kind: str, identifiers: list[str]) -> Iterable[Any]:
        return [(identifier, BOB.user_id, "viewer") for identifier in identifiers]

    found = Members(load, lambda: None)
    await found.follow((), [("team", TEAM), ("pair", TEAM)])
    return found


BY_TEAM = Member("team_id", group="team")
BY_OWNERS = Member("team_id", roles=("owner",), group="team")
IN_TEAM = {"team_id": TEAM}
SHOWN, GONE, NOTHING = "shown", "gone", "nothing"


@pytest.mark.parametrize(
    ("rule", "change", "row", "audiences", "ann", "bob", "nobody"),
    [
        (Owner(), "UPDATE", BOBS, (), NOTHING, SHOWN, NOTHING),
        (Owner(), "DELETE", BOBS, (), NOTHING, GONE, NOTHING),
        (Owner(), "UPDATE", {"user_id": ""}, (), NOTHING, NOTHING, NOTHING),
        (Owner("owner_id"), "UPDATE", BOBS, (), NOTHING, NOTHING, NOTHING),
        (Admin(), "UPDATE", BOBS, (), NOTHING, NOTHING, NOTHING),
        (AnyOf(Owner(), Admin()), "UPDATE", BOBS, (), NOTHING, SHOWN, NOTHING),
        (Public(), "UPDATE", {}, None, SHOWN, SHOWN, SHOWN),
        (Public(), "DELETE", {}, None, GONE, GONE, GONE),
        (Public("is_active"), "UPDATE", {"is_active": True}, None, SHOWN, SHOWN, SHOWN),
        (Public("is_active"), "UPDATE", {"is_active": False}, None, GONE, GONE, GONE),
        (BY_TEAM, "UPDATE", IN_TEAM, (OF_TEAM,), NOTHING, SHOWN, NOTHING),
        (BY_TEAM, "DELETE", IN_TEAM, (OF_TEAM,), NOTHING, GONE, NOTHING),
        (BY_TEAM, "UPDATE", {"team_id": None}, (), NOTHING, NOTHING, NOTHING),
        (BY_OWNERS, "UPDATE", IN_TEAM, (OF_TEAM,), NOTHING, NOTHING, NOTHING),
        (
            BY_OWNERS,
            "DELETE",
            IN_TEAM,
            (EventAudience("team", TEAM, frozenset(("owner",))),),
            NOTHING,
            NOTHING,
            NOTHING,
        ),
        (AllOf(Owner(), BY_TEAM), "UPDATE", BOBS | IN_TEAM, (), NOTHING, SHOWN, NOTHING),
        (AllOf(Owner(), BY_OWNERS), "UPDATE", BOBS | IN_TEAM, (), NOTHING, NOTHING, NOTHING),
        (AllOf(Owner(), LikeOwn("id")), "UPDATE", BOBS, (), NOTHING, NOTHING, NOTHING),
        (Shared("team_id", "pair"), "UPDATE", IN_TEAM, (OF_TEAM,), NOTHING, SHOWN, NOTHING),
        (Through("parent_id"), "UPDATE", {}, (OF_TEAM,), NOTHING, SHOWN, NOTHING),
        (Through("parent_id"), "UPDATE", {}, (), NOTHING, SHOWN, NOTHING),
        (
            AnyOf(Public("is_active"), BY_TEAM),
            "UPDATE",
            {"is_active": False, **IN_TEAM},
            (EVERYBODY, OF_TEAM),
            GONE,
            SHOWN,
            GONE,
        ),
        (
            AnyOf(Public("is_active"), BY_TEAM),
            "UPDATE",
            {"is_active": False, **IN_TEAM},
            (OF_TEAM,),
            NOTHING,
            SHOWN,
            NOTHING,
        ),
    ],
)
def test_what_is_shown_of_an_event(
    members: Members,
    rule: Rule,
    change: str,
    row: dict[str, Any],
    audiences: tuple[EventAudience, ...] | None,
    ann: str,
    bob: str,
    nobody: str,
) -> None:
    """Where no audiences are told, the event is for its user: Bob, or everybody with `None`."""
    owner: UUID | None = None if audiences is None else BOB.user_id
    told = EventAudiences(None, audiences) if audiences else None
    fields = (10, 1, "rows.changed", change, owner, "one", orjson.dumps(row), told)
    event = event_of(fields, 1, members)
    access = EventAccess(table_of(rule))

    def shown(actor: Actor) -> str:
        if access.may_read(event, actor):
            return SHOWN
        return GONE if access.may_know(event, actor) else NOTHING

    assert (shown(ANN), shown(BOB), shown(NOBODY)) == (ann, bob, nobody)


def test_a_group_whose_members_are_unknown_is_asked_for(members: Members) -> None:
    row = orjson.dumps({"team_id": UNKNOWN_TEAM})
    event = event_of((10, 1, "t", "UPDATE", None, None, row, None), 1, members)
    with pytest.raises(MembersUnknown) as asked:
        EventAccess(table_of(BY_TEAM)).may_read(event, BOB)
    assert asked.value.group == ("team", UNKNOWN_TEAM)
