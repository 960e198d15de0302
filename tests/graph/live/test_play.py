"""Play sessions of partners: asked, confirmed, and followed on each one's device."""

from __future__ import annotations

import asyncpg
import pytest

from graph.engine.execution.engine import Engine
from server.services import Services

from ...conftest import MakeUser
from ..conftest import Ask
from ..playing import Play, codes, key
from .test_topics import Stream

WATCH = """subscription { playSessionChanged(id: "%s") { cursor playSession {
  id status version turn { playerId } players { name status } current { text kind status } } } }"""
PLACES = """{ viewer { playPlaces { nodes { status session { id level } } }
  notifications { nodes { titleKey data } } } }"""


@pytest.fixture
def play(ask: Ask, owner: asyncpg.Connection) -> Play:
    """Who plays in these tests."""
    return Play(ask, owner)


async def partner_of(play: Play, one: object, other: object) -> str:
    """Connects two users; the global id of the other as a partner of the one."""
    await play.owner.execute("select app.connect_partners($1, $2)", one, other)
    found = await play.owner.fetchval(
        "select id from partners where user_id = $1 and partner_id = $2", one, other
    )
    return f"partner_{found}"


async def test_partners_are_asked_and_follow_the_session_each_on_their_own_device(
    play: Play, make_user: MakeUser, engine: Engine, services: Services, ask: Ask
) -> None:
    one, two = await make_user(), await make_user()
    partner = await partner_of(play, one.user_id, two.user_id)
    started = await play("start", one, level="R", players=[{"partnerId": partner}])
    assert started["errors"] == []
    session = started["playSession"]
    assert session["status"] == "WAITING"
    await play.activities(key(session["id"]), 20)
    seen = (await ask(PLACES, actor=two))["data"]["viewer"]
    assert seen["playPlaces"]["nodes"] == [
        {"status": "INVITED", "session": {"id": session["id"], "level": "R"}}
    ]
    (told,) = seen["notifications"]["nodes"]
    assert told["titleKey"] == "notifications.playSession.title"
    assert told["data"]["playSessionId"] == session["id"]

    streams = [Stream(engine, services, actor, WATCH % session["id"]) for actor in (one, two)]
    for stream in streams:
        assert (await stream.item())[0]["playSession"]["status"] == "WAITING"
    confirmed = await play("confirm", two, id=session["id"])
    version = confirmed["playSession"]["version"]
    items = [await stream.item() for stream in streams]
    for payload, _ in items:
        assert payload["playSession"]["status"] == "ACTIVE"
        assert payload["playSession"]["version"] == version
    drawn = await play("draw", two, id=session["id"], version=version)
    shown = [(await stream.item())[0]["playSession"] for stream in streams]
    assert shown[0] == shown[1]
    assert shown[0]["current"]["text"] == drawn["playSession"]["current"]["text"]
    # A phone that was away goes on where it was.
    resumed = Stream(engine, services, one, WATCH % session["id"], after=items[0][1].cursor)
    assert (await resumed.item())[0]["playSession"] == shown[0]
    await play("end", one, id=session["id"])
    for stream in (*streams, resumed):
        assert (await stream.item())[0]["playSession"]["status"] == "ENDED"
        await stream.close()


async def test_nobody_is_asked_who_is_no_partner_now(play: Play, make_user: MakeUser) -> None:
    one, two, stranger = [await make_user() for _ in range(3)]
    partner = await partner_of(play, one.user_id, two.user_id)
    given = {"partnerId": partner}
    twice = await play("start", one, level="G", players=[given, given])
    assert codes(twice) == ["NOT_FOUND"]
    assert twice["errors"][0]["path"] == ["input", "players", "1", "partnerId"]
    assert codes(await play("start", stranger, level="G", players=[given])) == ["NOT_FOUND"]
    await play.owner.execute(
        "update partners set status = 'DISCONNECTED' where user_id = any ($1)",
        [one.user_id, two.user_id],
    )
    assert codes(await play("start", one, level="G", players=[given])) == ["NOT_FOUND"]
    places = await play.owner.fetchval(
        "select count(*) from play_players where user_id = $1", two.user_id
    )
    assert places == 0


PART = """mutation($id: ID!) { answer: %s(input: {partnerId: $id}) { errors { code } } }"""


@pytest.mark.parametrize("call", ["disconnectPartner", "removePartner", "blockPartner"])
@pytest.mark.parametrize("is_confirmed", [True, False])
async def test_parting_ends_what_the_two_play_on_both_devices(
    play: Play,
    make_user: MakeUser,
    engine: Engine,
    services: Services,
    ask: Ask,
    call: str,
    is_confirmed: bool,
) -> None:
    one, two = await make_user(), await make_user()
    partner = await partner_of(play, one.user_id, two.user_id)
    of_one = await partner_of(play, two.user_id, one.user_id)
    started = await play("start", one, level="R", players=[{"partnerId": partner}])
    session, alone = started["playSession"], await play.started(one)
    if is_confirmed:
        await play("confirm", two, id=session["id"])
    streams = [Stream(engine, services, actor, WATCH % session["id"]) for actor in (one, two)]
    for stream in streams:
        await stream.item()
    answer = await ask(PART % call, {"id": of_one}, actor=two)
    assert answer["data"]["answer"] == {"errors": []}
    for stream in streams:
        assert (await stream.item())[0]["playSession"]["status"] == "ENDED"
        await stream.close()
    version = (await play("see", one, id=session["id"]))["version"]
    for late in ("draw", "skip"):
        assert codes(await play(late, one, id=session["id"], version=version)) == ["INVALID_STATE"]
    assert codes(await play("confirm", two, id=session["id"])) == ["INVALID_STATE"]
    assert (await play("see", one, id=alone["id"]))["status"] == "ACTIVE"


async def test_who_parts_ends_the_group_for_all_alike(
    play: Play, make_user: MakeUser, ask: Ask
) -> None:
    one, two, three = [await make_user() for _ in range(3)]
    partners = [await partner_of(play, one.user_id, other.user_id) for other in (two, three)]
    given = [{"partnerId": partner} for partner in partners]
    session = (await play("start", one, level="R", players=given))["playSession"]["id"]
    for other in (two, three):
        assert codes(await play("confirm", other, id=session)) == []
    of_one = await partner_of(play, two.user_id, one.user_id)
    await ask(PART % "disconnectPartner", {"id": of_one}, actor=two)
    # Nobody can tell by it who wanted to part, nor from whom.
    seen = [await play("see", player, id=session) for player in (one, two, three)]
    assert [left["status"] for left in seen] == ["ENDED"] * 3
    assert [p["status"] for p in seen[0]["players"]] == ["JOINED"] * 3
