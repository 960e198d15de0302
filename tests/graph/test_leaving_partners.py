"""What partners see of somebody who has asked for the deletion of their account, and when they come back."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from jobs.leaving import erase_account

from ..conftest import MakeUser
from .conftest import Ask
from .playing import Play, codes, key
from .test_partners import Two, email

SCHEDULE = "select deletes_at from app.schedule_deletion($1, interval '30 days', '{}')"
CANCEL = "select app.cancel_deletion($1, '{}')"
STATUSES = """
select snapshot ->> 'status' from events where topic = 'partners.changed' and user_id = $1
order by id desc limit 2
"""


@pytest.fixture
async def two(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> Two:
    return Two(ask, owner, await make_user(), await make_user())


async def shown(two: Two, actor: Actor) -> tuple[str, str]:
    """Whether somebody is connected with their one partner, and what is shared with them."""
    (partner,) = (await two("see", actor))["partners"]["nodes"]
    return partner["status"], partner["shared"]


async def test_partners_are_told_and_what_is_played_ends(two: Two) -> None:
    of_bob, of_ada = await two.connected()
    await two("share", two.bob, id=of_ada, level="ALL")
    asked = await two.requested(two.bob, Actor("authenticated", UUID(int=7)))
    play = Play(two.ask, two.owner)
    session = await play.pair(two.ada, two.bob)
    await two.owner.execute(SCHEDULE, two.bob.user_id)
    assert await shown(two, two.ada) == ("DISCONNECTED", "ALL")
    told = [row[0] for row in await two.owner.fetch(STATUSES, two.ada.user_id)]
    assert told == ["DISCONNECTED", "CONNECTED"]
    drawn = await play("draw", two.ada, id=session["id"], version=session["version"] + 1)
    assert codes(drawn) == ["INVALID_STATE"]
    assert drawn["playSession"]["status"] == "ABANDONED"
    sent = (await two("see", two.bob))["sentPartnerRequests"]["nodes"]
    assert [one["status"] for one in sent if one["id"] == asked["id"]] == ["CANCELLED"]
    # Who stays may show less before the other comes back.
    assert await two.codes("share", two.ada, id=of_bob, level="DEMOGRAPHICS") == []
    assert await shown(two, two.bob) == ("DISCONNECTED", "OVERLAPPING")
    await two.owner.execute(CANCEL, two.bob.user_id)
    assert await shown(two, two.ada) == ("CONNECTED", "ALL")
    assert await shown(two, two.bob) == ("CONNECTED", "DEMOGRAPHICS")


@pytest.mark.parametrize("meanwhile", ["disconnect", "remove", "block"])
async def test_what_is_ended_meanwhile_does_not_come_back(two: Two, meanwhile: str) -> None:
    of_bob, _ = await two.connected()
    await two.owner.execute(SCHEDULE, two.bob.user_id)
    assert await two.codes(meanwhile, two.ada, id=of_bob) == []
    await two.owner.execute(CANCEL, two.bob.user_id)
    assert (await shown(two, two.bob))[0] == "DISCONNECTED"


async def test_two_who_leave_are_connected_again_when_both_are_back(two: Two) -> None:
    await two.connected()
    for actor in (two.ada, two.bob):
        await two.owner.execute(SCHEDULE, actor.user_id)
    await two.owner.execute(CANCEL, two.ada.user_id)
    assert (await shown(two, two.ada))[0] == "DISCONNECTED"
    await two.owner.execute(CANCEL, two.bob.user_id)
    assert (await shown(two, two.ada))[0] == (await shown(two, two.bob))[0] == "CONNECTED"


async def test_who_was_an_ex_before_stays_one(two: Two) -> None:
    of_bob, _ = await two.connected()
    await two("disconnect", two.ada, id=of_bob)
    await two.owner.execute(SCHEDULE, two.bob.user_id)
    await two.owner.execute(CANCEL, two.bob.user_id)
    assert (await shown(two, two.ada))[0] == "DISCONNECTED"
    # Who asks them meanwhile is connected when they come back and accept.
    await two.owner.execute(SCHEDULE, two.bob.user_id)
    request = await two.requested(two.ada, two.bob)
    await two.owner.execute(CANCEL, two.bob.user_id)
    assert await two.codes("accept", two.bob, id=request["id"]) == []
    assert (await shown(two, two.ada))[0] == "CONNECTED"
    assert await two.codes("request", two.ada, e=email(two.bob)) == ["BAD_USER_INPUT"]


async def test_a_game_goes_with_the_last_of_its_players_who_has_an_account(
    two: Two, database: Database
) -> None:
    play = Play(two.ask, two.owner)
    others = [{"name": "Kim", "anatomy": []}, {"name": "Robin", "anatomy": []}]
    ended, alone = [
        (await play("start", two.ada, level="G", players=others))["playSession"]["id"]
        for _ in range(2)
    ]
    await play("end", two.ada, id=ended)
    shared = (await play.pair(two.ada, two.bob))["id"]
    games = [key(one) for one in (ended, alone, shared)]
    for who, left in ((two.ada, [games[2]]), (two.bob, [])):
        await two.owner.execute("select app.schedule_deletion($1, interval '0', '{}')", who.user_id)
        assert who.user_id
        await erase_account(database, user_id=who.user_id)
        found = await two.owner.fetch(
            "select distinct s.id from play_sessions s join play_players p on p.session_id = s.id"
            " where s.id = any ($1)",
            games,
        )
        assert [row[0] for row in found] == left
