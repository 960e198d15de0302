"""Who is asked to play along: how often, until when, and never beside somebody whom they have blocked."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db.core.actor import Actor
from db.embedded.database import EmbeddedDatabase

from ..attuned import onboard
from ..conftest import MakeUser
from ..jobs.helpers import eventually
from .conftest import Ask
from .playing import CALLS, Play, codes, key

PLACES = """select p.status from play_players p where p.user_id = $1 order by p.created_at, p.id"""

# How many locks of two people those hold who wait for somebody.
HELD = """
select count(l.pid) from (select distinct pid from pg_locks where $1 = any (pg_blocking_pids(pid))) w
left join pg_locks l on l.pid = w.pid and l.locktype = 'advisory' and l.granted group by w.pid
"""

# Somebody plays in twenty sessions.
BUSY = """
with made as (insert into play_sessions (level, status, turn_player_id)
    select 'G', 'ACTIVE', gen_random_uuid() from generate_series(1, 20) returning id)
insert into play_players (session_id, seat, user_id, name, status)
select id, 1, $1, 'Busy', 'JOINED' from made
"""


@pytest.fixture
def play(ask: Ask, owner: asyncpg.Connection) -> Play:
    return Play(ask, owner)


async def connected(play: Play, one: Actor, other: Actor) -> str:
    """Connects two; the id of the first's partner."""
    await play.owner.execute("select app.connect_partners($1, $2)", one.user_id, other.user_id)
    found = await play.owner.fetchval(
        "select id from partners where user_id = $1 and partner_id = $2", one.user_id, other.user_id
    )
    return f"partner_{found}"


async def test_a_partner_is_asked_twenty_times_an_hour_and_woken_three_times(
    play: Play, make_user: MakeUser
) -> None:
    host, other, third = [await make_user() for _ in range(3)]
    players = [{"partnerId": await connected(play, host, other)}]
    session = await play("start", host, level="G", players=players)
    await play.owner.execute(
        "insert into play_players (session_id, seat, user_id, name, status)"
        " select $1, n, $2, 'Guest', 'INVITED' from generate_series(20, 20 + 16) n",
        key(session["playSession"]["id"]), other.user_id,
    )  # fmt: skip
    for expected in ([], [], ["LIMIT_EXCEEDED"]):
        assert codes(await play("start", host, level="G", players=players)) == expected
    told = await play.owner.fetchval(
        "select count(*) from notifications where user_id = $1", other.user_id
    )
    assert told == 1, "the second is the nineteenth of the hour"
    # Others may ask.
    players = [{"partnerId": await connected(play, third, other)}]
    assert codes(await play("start", third, level="G", players=players)) == []


@pytest.mark.parametrize("how", ["end", "expire"])
async def test_an_invitation_ends_with_its_session(
    play: Play, make_user: MakeUser, how: str
) -> None:
    host, other = await make_user(), await make_user()
    players = [{"partnerId": await connected(play, host, other)}]
    session = (await play("start", host, level="G", players=players))["playSession"]
    if how == "end":
        assert codes(await play("end", host, id=session["id"])) == []
    else:
        await play.owner.execute(
            "update play_sessions set updated_at = now() - interval '8 days' where id = $1",
            key(session["id"]),
        )
        while await play.owner.fetchval("select app.expire_play_sessions(100)"):
            pass
    assert [row[0] for row in await play.owner.fetch(PLACES, other.user_id)] == ["EXPIRED"]
    # They see that it is over, and can take it off.
    assert (await play("see", other, id=session["id"]))["status"] in ("ENDED", "EXPIRED")
    assert codes(await play("confirm", other, id=session["id"])) == ["INVALID_STATE"]
    assert codes(await play("leave", other, id=session["id"])) == []
    assert await play("see", other, id=session["id"]) is None


@pytest.mark.parametrize("blocker", ["first", "second"])
async def test_nobody_plays_with_whom_they_blocked(
    play: Play, make_user: MakeUser, blocker: str
) -> None:
    host, *guests = [await make_user() for _ in range(4)]
    players = [{"partnerId": await connected(play, host, guest)} for guest in guests]
    session = (await play("start", host, level="G", players=players))["playSession"]
    assert session["status"] == "WAITING"
    one, other = guests[:2] if blocker == "first" else reversed(guests[:2])
    await play.owner.execute(
        "select app.block_person($1, $2, 'Somebody')", one.user_id, other.user_id
    )
    # Whoever it was, it is over for all.
    assert (await play("see", host, id=session["id"]))["status"] == "ENDED"
    refused = (await play("start", host, level="G", players=players))["errors"]
    assert [one["code"] for one in refused] == ["LIMIT_EXCEEDED"]
    # The words are those of a partner who is asked or plays too much.
    await play.owner.execute(BUSY, guests[2].user_id)
    assert (await play("start", host, level="G", players=players[2:]))["errors"] == refused
    await play.owner.execute(
        "update play_sessions set status = 'ENDED', ended_at = now() where ended_at is null"
    )
    for chosen in (players[0::2], players[1:]):
        assert codes(await play("start", host, level="G", players=chosen)) == []


@pytest.mark.parametrize("turned", [False, True])
async def test_hosts_wait_for_each_other_before_they_hold_anything(
    play: Play, make_user: MakeUser, cluster: EmbeddedDatabase, turned: bool
) -> None:
    """Otherwise two who ask the same people in another order would wait for each other."""
    people = sorted([await make_user() for _ in range(3)], key=lambda one: str(one.user_id))
    host, *others = people[::-1]
    players = [{"partnerId": await connected(play, host, other)} for other in others]
    await onboard(play.owner, host.user_id)
    other_host = await asyncpg.connect(cluster.owner_url)
    async with other_host.transaction():
        first, second = (one.user_id for one in people[:2])
        await other_host.execute("select app.lock_pair($1, $2)", first, second)
        given = {"level": "G", "players": players[::-1] if turned else players}
        asking = asyncio.create_task(play.ask(CALLS["start"], given, actor=host))
        held: list[int] = []

        async def waits() -> bool:
            held.extend(row[0] for row in await play.owner.fetch(HELD, other_host.get_server_pid()))
            return bool(held)

        await eventually(waits, 10)
    assert held == [0]
    assert (await asking)["data"]["answer"]["errors"] == []
    await other_host.close()
