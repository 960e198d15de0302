"""Play sessions through the API: turns and versions, confirmation, and the free activities of a day."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.play.operations import expire

from ..conftest import MakeUser
from ..jobs.helpers import eventually
from .conftest import Ask
from .playing import Play, codes, key


@pytest.fixture
def play(ask: Ask, owner: asyncpg.Connection) -> Play:
    """Who plays in these tests."""
    return Play(ask, owner)


async def test_who_plays_alone_is_given_activities_against_an_opponent(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    session = await play.started(one)
    assert [(p["seat"], p["isOpponent"]) for p in session["players"]] == [(1, False), (2, True)]
    assert (session["status"], session["current"]) == ("ACTIVE", None)
    drawn = await play("draw", one, id=session["id"], version=session["version"], kind="TRUTH")
    assert drawn["errors"] == []
    current = drawn["playSession"]["current"]
    assert (current["kind"], current["status"]) == ("TRUTH", "DRAWN")
    assert current["why"]["asked"] == "TRUTH"
    assert current["playerId"] == session["turn"]["playerId"]
    assert (drawn["dailyLimit"]["used"], drawn["dailyLimit"]["remaining"]) == (1, 24)
    done = await play("complete", one, id=session["id"], version=drawn["playSession"]["version"])
    assert done["playSession"]["current"] is None
    assert done["playSession"]["turn"] == session["turn"], "the opponent has no turn"


async def test_a_stale_action_changes_nothing_and_shows_the_present_state(
    play: Play, make_user: MakeUser
) -> None:
    one, two = await make_user(), await make_user()
    session = await play.pair(one, two)
    version = session["version"]
    drawn = await play("draw", one, id=session["id"], version=version)
    stale = await play("draw", two, id=session["id"], version=version)
    assert codes(stale) == ["STALE_TURN"]
    assert stale["playSession"] == drawn["playSession"]
    assert stale["dailyLimit"]["used"] == 0
    again = await play("draw", two, id=session["id"], version=drawn["playSession"]["version"])
    assert codes(again) == ["INVALID_STATE"]


async def test_nobody_plays_before_all_have_confirmed(play: Play, make_user: MakeUser) -> None:
    one, two, three = [await make_user() for _ in range(3)]
    session = await play.started(one)
    await play.owner.execute(
        "update play_sessions set ended_at = now(), status = 'ENDED' where id = $1",
        key(session["id"]),
    )
    waiting = await play.owner.fetchval(
        "insert into play_sessions (level, turn_player_id) values ('X', app.uuid_v7()) returning id"
    )
    await play.owner.execute(
        "insert into play_players (session_id, user_id, seat, status, name)"
        " values ($1, $2, 1, 'JOINED', 'One'), ($1, $3, 2, 'INVITED', 'Two'),"
        " ($1, $4, 3, 'INVITED', 'Three')",
        waiting, one.user_id, two.user_id, three.user_id,
    )  # fmt: skip
    wanted = f"playSession_{waiting}"
    for actor in (one, two):
        refused = await play("draw", actor, id=wanted, version=1)
        assert codes(refused) == ["CONFIRMATION_REQUIRED"]
        assert refused["playSession"]["status"] == "WAITING"
    old = replace(two, authenticated_at=1)
    assert codes(await play("confirm", old, id=wanted)) == ["FRESH_SIGN_IN_REQUIRED"]
    first = await play("confirm", two, id=wanted, level="R")
    assert (first["playSession"]["status"], first["playSession"]["level"]) == ("WAITING", "R")
    assert codes(await play("end", three, id=wanted)) == ["CONFIRMATION_REQUIRED"]
    last = await play("confirm", three, id=wanted)
    assert (last["playSession"]["status"], last["playSession"]["level"]) == ("ACTIVE", "R")
    again = await play("confirm", three, id=wanted)
    assert again["playSession"] == last["playSession"]


async def test_strangers_and_those_who_left_see_nothing(play: Play, make_user: MakeUser) -> None:
    one, two, stranger = [await make_user() for _ in range(3)]
    session = await play.pair(one, two)
    for call in ("draw", "skip", "complete"):
        answer = await play(call, stranger, id=session["id"], version=session["version"])
        assert (codes(answer), answer["playSession"]) == (["NOT_FOUND"], None)
    assert await play("see", stranger, id=session["id"]) is None
    assert codes(await play("leave", two, id=session["id"])) == []
    assert await play("see", two, id=session["id"]) is None
    left = await play("see", one, id=session["id"])
    assert left["status"] == "ABANDONED", "one is too few"
    late = await play("draw", one, id=session["id"], version=left["version"])
    assert codes(late) == ["INVALID_STATE"]


async def test_turns_go_round_and_pass_over_who_left(play: Play, make_user: MakeUser) -> None:
    actors = [await make_user() for _ in range(3)]
    session = await play.pair(*actors)
    seats = {p["id"]: p["seat"] for p in session["players"]}
    order = []
    for _ in range(4):
        order.append(seats[session["turn"]["playerId"]])
        drawn = await play("draw", actors[0], id=session["id"], version=session["version"])
        version = drawn["playSession"]["version"]
        session = (await play("complete", actors[1], id=session["id"], version=version))[
            "playSession"
        ]
    assert order == [1, 10, 11, 1]
    drawn = await play("draw", actors[0], id=session["id"], version=session["version"])
    version = drawn["playSession"]["version"]
    assert seats[drawn["playSession"]["turn"]["playerId"]] == 10
    for skips in range(2):
        await play("skip", actors[0], id=session["id"], version=version + skips)
    await play("leave", actors[1], id=session["id"])
    now = await play("see", actors[0], id=session["id"])
    assert seats[now["turn"]["playerId"]] == 11
    assert now["turns"]["nodes"][0]["status"] == "SKIPPED"
    assert now["status"] == "ACTIVE"
    # Whose turn it is now has skipped nothing yet.
    await play("draw", actors[0], id=session["id"], version=now["version"])
    skipped = await play("skip", actors[0], id=session["id"], version=now["version"] + 1)
    assert (skipped["errors"], skipped["playSession"]["nudge"]) == ([], None)


async def test_three_skips_in_a_row_are_a_nudge(play: Play, make_user: MakeUser) -> None:
    one = await make_user()
    session = await play.started(one)
    kind = (await play("draw", one, id=session["id"], version=1))["playSession"]["current"]["kind"]
    seen = []
    for version in range(2, 6):
        skipped = (await play("skip", one, id=session["id"], version=version))["playSession"]
        assert skipped["current"]["kind"] == kind
        seen.append(skipped["nudge"] and skipped["nudge"]["options"])
    assert seen == [None, None, ["LOWER_LEVEL", "REVIEW_BOUNDARIES", "CONTINUE"], None]
    done = await play("complete", one, id=session["id"], version=6)
    drawn = await play("draw", one, id=session["id"], version=7)
    assert done["errors"] == drawn["errors"] == []
    for version in range(8, 11):
        skipped = (await play("skip", one, id=session["id"], version=version))["playSession"]
    assert skipped["nudge"] is not None
    lower = await play("lower", one, id=session["id"], version=11, level="G")
    assert (lower["playSession"]["level"], lower["playSession"]["nudge"]) == ("G", None)
    higher = await play("lower", one, id=session["id"], version=12, level="X")
    assert codes(higher) == ["BAD_USER_INPUT"]


async def test_two_phones_at_random_never_disagree_and_never_pass_the_limit(
    play: Play, make_user: MakeUser
) -> None:
    one, two = await make_user(), await make_user()
    session = await play.pair(one, two, activities=200)
    chance = random.Random(7)
    states: dict[int, object] = {}
    done = {"draw": 0, "skip": 0}

    async def phone(actor: object) -> None:
        version = session["version"]
        for _ in range(45):
            call = chance.choice(("draw", "draw", "skip", "complete"))
            answer = await play(call, actor, id=session["id"], version=version)  # type: ignore[arg-type]
            now = answer["playSession"]
            assert states.setdefault(now["version"], now) == now
            version = now["version"] if chance.random() < 0.8 else version
            if not answer["errors"] and call in done:
                done[call] += 1
            assert answer["dailyLimit"]["used"] <= 25

    # Two devices of the first, one of the second.
    await asyncio.gather(phone(one), phone(one), phone(two))
    used = await play.owner.fetchval(
        "select sum(used) from play_days where user_id = any ($1)", [one.user_id, two.user_id]
    )
    turns = await play.owner.fetchval(
        "select count(*) from play_turns where session_id = $1", key(session["id"])
    )
    assert used == turns == done["draw"] + done["skip"]


async def test_twenty_five_a_day_are_free_on_all_devices_together(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    await play.owner.execute(
        "update users set time_zone = 'Pacific/Auckland' where id = $1", one.user_id
    )
    sessions = [await play.started(one, activities=30) for _ in range(4)]

    async def device(session: dict[str, object]) -> list[str]:
        version, refused = session["version"], []
        for _ in range(8):
            drawn = await play("draw", one, id=session["id"], version=version)
            refused += codes(drawn)
            if not drawn["errors"]:
                done = await play(
                    "complete", one, id=session["id"], version=drawn["playSession"]["version"]
                )
                version = done["playSession"]["version"]
        return refused

    found = await asyncio.gather(*(device(session) for session in sessions))
    assert [code for refused in found for code in refused] == ["DAILY_LIMIT_REACHED"] * (4 * 8 - 25)
    last = await play("draw", one, id=sessions[0]["id"], version=99)
    limit = last["dailyLimit"]
    assert (limit["used"], limit["remaining"], limit["upgradeRequired"]) == (25, 0, True)
    resets_at = datetime.fromisoformat(limit["resetsAt"])
    assert resets_at > datetime.now(UTC)
    await play.owner.execute(
        "update play_days set resets_at = now() where user_id = $1", one.user_id
    )
    drawn = await play("start", one, level="G")
    assert (drawn["dailyLimit"]["used"], drawn["dailyLimit"]["upgradeRequired"]) == (0, False)


async def test_a_paid_plan_has_no_limit(play: Play, make_user: MakeUser) -> None:
    one = await make_user()
    await play.owner.execute(
        "update users set plan_id = (select id from plans where price_cents > 0 limit 1)"
        " where id = $1",
        one.user_id,
    )
    session = await play.started(one)
    await play.owner.execute(
        "insert into play_days (user_id, used, zone, resets_at)"
        " values ($1, 25, 'UTC', now() + interval '1 hour')",
        one.user_id,
    )
    drawn = await play("draw", one, id=session["id"], version=1)
    assert drawn["errors"] == []
    assert drawn["dailyLimit"] | {"resetsAt": None} == {
        "used": 26, "limit": None, "remaining": None, "resetsAt": None, "upgradeRequired": False,
    }  # fmt: skip


async def test_starting_again_with_the_same_key_starts_one_session(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    players = [{"name": "Kim", "anatomy": ["vagina"]}, {"name": "Alex"}]
    first = await play("start", one, level="G", players=players, key="k")
    again = await play("start", one, level="G", players=players, key="k")
    assert first["playSession"] == again["playSession"]
    assert [p["name"] for p in first["playSession"]["players"][1:]] == ["Kim", "Alex"]
    assert [p["status"] for p in first["playSession"]["players"]] == [
        "JOINED", "PRESENT", "PRESENT",
    ]  # fmt: skip
    assert codes(await play("start", one, level="X", players=players, key="k")) == [
        "IDEMPOTENCY_CONFLICT"
    ]
    wrong = await play("start", one, level="G", players=[{"name": " "}, {"anatomy": ["tail"]}])
    assert codes(wrong) == ["BAD_USER_INPUT"] * 3
    # What those without an account are like was said for this session alone.
    bodies = "select anatomy from play_players where session_id = $1 order by seat"
    started = key(first["playSession"]["id"])
    before = [row["anatomy"] for row in await play.owner.fetch(bodies, started)]
    assert before[1:] == [["vagina"], []]
    await play("end", one, id=first["playSession"]["id"])
    after = [row["anatomy"] for row in await play.owner.fetch(bodies, started)]
    assert after == [before[0], [], []]


async def test_a_session_that_nobody_plays_expires(
    play: Play, make_user: MakeUser, database: Database
) -> None:
    one = await make_user()
    session = await play.started(one)
    await play.owner.execute(
        "update play_sessions set updated_at = now() - interval '7 days 1 second' where id = $1",
        key(session["id"]),
    )
    assert codes(await play("draw", one, id=session["id"], version=1)) == ["INVALID_STATE"]
    while await expire(database, 100):
        pass
    assert (await play("see", one, id=session["id"]))["status"] == "EXPIRED"
    ended = await play("end", one, id=session["id"])
    assert (ended["errors"], ended["playSession"]["status"]) == ([], "EXPIRED")


async def test_what_was_given_comes_again_only_when_nothing_else_is_left(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    session = await play.started(one, activities=0)
    for kind, text in (("TRUTH", "One?"), ("TRUTH", "Two?"), ("DARE", "Sing.")):
        theme = text[:-1].lower()
        await play.activities(key(session["id"]), 1, kind=kind, themes=[theme], text=text)
    given = []
    for version in range(1, 6, 2):
        drawn = await play("draw", one, id=session["id"], version=version, kind="TRUTH")
        given.append(drawn["playSession"]["current"])
        await play("complete", one, id=session["id"], version=version + 1)
    assert [one["isRepeated"] for one in given] == [False, False, True]
    assert given[2]["text"] == given[0]["text"] != given[1]["text"]
    assert (given[2]["why"]["repeated"], drawn["dailyLimit"]["used"]) == (True, 3)
    either = await play("draw", one, id=session["id"], version=7, kind="RANDOM")
    current = either["playSession"]["current"]
    assert (current["kind"], current["isRepeated"]) == ("DARE", False), "of which something is new"
    # There is no other dare that could come in its place.
    skipped = await play("skip", one, id=session["id"], version=8)
    assert codes(skipped) == ["NO_ACTIVITY_LEFT"]
    assert (skipped["playSession"]["current"], skipped["dailyLimit"]["used"]) == (current, 4)


async def test_who_plays_alone_is_given_nothing_that_takes_two(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    session = await play.started(one, activities=0)
    assert [p["name"] for p in session["players"]][1] == "Opponent"
    wanted = key(session["id"])
    await play.activities(wanted, 20, text="Kiss {partner}.")
    await play.activities(wanted, 20, text="Sing.", audience="COUPLES")
    drawn = await play("draw", one, id=session["id"], version=1)
    assert codes(drawn) == ["NO_ACTIVITY_LEFT"]
    await play.activities(wanted, 2, text="{active} sings.", audience="SOLO")
    drawn = await play("draw", one, id=session["id"], version=1)
    name = session["players"][0]["name"]
    assert drawn["playSession"]["current"]["text"] == f"{name} sings."


async def test_the_opponent_is_called_as_the_client_says(play: Play, make_user: MakeUser) -> None:
    one = await make_user()
    named = await play("start", one, level="G", opponent="  Robin ", key="o")
    assert [p["name"] for p in named["playSession"]["players"]][1] == "Robin"
    again = await play("start", one, level="G", opponent="Robin", key="o")
    assert again["playSession"]["id"] == named["playSession"]["id"]
    kim = [{"name": "Kim"}]
    for wrong in ({"opponent": " "}, {"opponent": "x\u202e"}, {"opponent": "R", "players": kim}):
        assert codes(await play("start", one, level="G", **wrong)) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("host_is_guest", [False, True])
@pytest.mark.parametrize("other", ["member", "guest", "without an account"])
async def test_members_and_guests_play_in_every_pairing(
    play: Play, make_user: MakeUser, host_is_guest: bool, other: str
) -> None:
    host, second = await make_user(), await make_user()
    for actor, is_guest in ((host, host_is_guest), (second, other == "guest")):
        if is_guest:
            await play.owner.execute(
                "update users set is_anonymous = true, email = null, email_key = null where id = $1",
                actor.user_id,
            )
    if other == "without an account":
        given = [{"name": "Kim", "anatomy": ["vagina"]}]
        session = (await play("start", host, level="R", players=given))["playSession"]
        await play.activities(key(session["id"]), 20)
        second = host
    else:
        session = await play.pair(host, second)
    assert session["status"] == "ACTIVE"
    seats = {player["id"]: place for place, player in enumerate(session["players"])}
    order = []
    for device in (host, second, host, second):
        order.append(seats[session["turn"]["playerId"]])
        drawn = await play("draw", device, id=session["id"], version=session["version"])
        assert drawn["errors"] == []
        version = drawn["playSession"]["version"]
        session = (await play("complete", device, id=session["id"], version=version))["playSession"]
    assert order == [0, 1, 0, 1]
    used = await play.owner.fetchval(
        "select sum(used) from play_days where user_id = any ($1)", [host.user_id, second.user_id]
    )
    assert used == 4


async def test_a_zone_changed_on_the_way_gives_no_second_day(
    play: Play, make_user: MakeUser
) -> None:
    one = await make_user()
    session = await play.started(one)
    zone = "update users set time_zone = $2 where id = $1"
    await play.owner.execute(zone, one.user_id, "Pacific/Kiritimati")
    first = await play("draw", one, id=session["id"], version=session["version"])
    await play.owner.execute("update play_days set used = 25 where user_id = $1", one.user_id)
    for name in ("Pacific/Pago_Pago", "UTC", "Asia/Kolkata", "Pacific/Kiritimati"):
        await play.owner.execute(zone, one.user_id, name)
        version = first["playSession"]["version"]
        refused = await play("skip", one, id=session["id"], version=version)
        assert codes(refused) == ["DAILY_LIMIT_REACHED"]
        assert refused["dailyLimit"]["resetsAt"] == first["dailyLimit"]["resetsAt"]


async def test_anybody_may_be_next_with_the_same_chance(
    owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    session = await owner.fetchval(
        "insert into play_sessions (level, status, player_order, turn_player_id)"
        " values ('R', 'ACTIVE', 'RANDOM', app.uuid_v7()) returning id"
    )
    await owner.execute(
        "insert into play_players (session_id, seat, name, status)"
        " select $1, n, 'P' || n, 'PRESENT' from generate_series(1, 3) n",
        session,
    )
    drawn = await owner.fetch(
        "select app.next_player(s) as player, count(*) from play_sessions s,"
        " generate_series(1, 900) n where s.id = $1 and n > 0 group by 1",
        session,
    )
    # 300 each: ten standard deviations, which are 14.
    assert sorted(row["count"] > 160 for row in drawn) == [True] * 3


async def test_a_move_holds_nothing_that_a_merge_of_its_account_waits_for(
    play: Play, make_user: MakeUser, cluster: EmbeddedDatabase
) -> None:
    one = await make_user()
    session = await play.started(one)
    drawn = await play("draw", one, id=session["id"], version=1)
    merging = await asyncpg.connect(cluster.owner_url)
    async with merging.transaction():
        await merging.execute("select from users where id = $1 for update", one.user_id)
        done = asyncio.create_task(play("skip", one, id=session["id"], version=2))
        mine = merging.get_server_pid()
        waits = "select exists (select from pg_locks where $1 = any (pg_blocking_pids(pid)))"
        await eventually(lambda: play.owner.fetchval(waits, mine), 10)
        for table, column in (("play_sessions", "id"), ("play_players", "session_id")):
            await merging.execute(
                f"select from {table} where {column} = $1 for update nowait", key(session["id"])
            )
        await merging.execute(
            "select from play_days where user_id = $1 for update nowait", one.user_id
        )
        # It is somebody else's by now.
        await merging.execute(
            "update play_players set user_id = null where session_id = $1", key(session["id"])
        )
    assert drawn["errors"] == []
    assert codes(await done) == ["NOT_FOUND"]
    await merging.close()
