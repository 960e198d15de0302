"""What comes again and what does not: a theme, a text that the other one was just given, a day that is merged."""

from __future__ import annotations

import asyncpg
import pytest

from ..conftest import MakeUser
from .conftest import Ask
from .playing import Play, codes, key


@pytest.fixture
def play(ask: Ask, owner: asyncpg.Connection) -> Play:
    return Play(ask, owner)


async def test_a_bank_with_one_theme_lasts(play: Play, make_user: MakeUser) -> None:
    one = await make_user()
    session = await play.started(one, level="G", activities=0)
    await play.activities(key(session["id"]), 4, level="G", intensity=1, themes=["one"])
    found, version = [], 1
    for kind in ("DARE", "TRUTH", "DARE", "TRUTH", "DARE"):
        drawn = await play("draw", one, id=session["id"], version=version, kind=kind)
        assert codes(drawn) == []
        found.append(drawn["playSession"]["current"])
        version = drawn["playSession"]["version"]
        done = await play("complete", one, id=session["id"], version=version)
        version = done["playSession"]["version"]
    assert [one["isRepeated"] for one in found] == [False] * 4 + [True]
    assert all("anyTheme" not in one["why"] for one in found)
    kept = "select scores ->> 'anyTheme' from play_turns where session_id = $1 order by number"
    relaxed = [row[0] for row in await play.owner.fetch(kept, key(session["id"]))]
    assert relaxed == ["false", "false", "true", "true", "true"]


async def test_two_players_are_not_given_the_same_in_a_row(play: Play, make_user: MakeUser) -> None:
    one, two = await make_user(), await make_user()
    session = await play.pair(one, two, activities=0)
    await play.activities(key(session["id"]), 12, kind="TRUTH", intensity=2)
    texts, version = [], session["version"]
    for _ in range(10):
        drawn = await play("draw", one, id=session["id"], version=version, kind="TRUTH")
        assert codes(drawn) == []
        texts.append(drawn["playSession"]["current"]["text"].partition(": ")[2])
        version = drawn["playSession"]["version"]
        done = await play("complete", two, id=session["id"], version=version)
        version = done["playSession"]["version"]
    assert len(set(texts)) == 10


async def test_no_more_than_the_limit_is_shown_as_used(play: Play, make_user: MakeUser) -> None:
    guest, member = await make_user(), await make_user()
    for actor, used in ((guest, 12), (member, 15)):
        await play.started(actor, activities=1)
        await play.owner.execute(
            "insert into play_days (user_id, used, zone, resets_at)"
            " values ($1, $2, 'UTC', app.next_midnight(now(), 'UTC'))",
            actor.user_id,
            used,
        )
    await play.owner.execute("select app.merge_play_days($1, $2)", guest.user_id, member.user_id)
    session = await play.started(member, activities=2)
    refused = await play("draw", member, id=session["id"], version=1)
    assert codes(refused) == ["DAILY_LIMIT_REACHED"]
    limit = refused["dailyLimit"]
    assert (limit["used"], limit["limit"], limit["remaining"]) == (25, 25, 0)
    # What is above it counts all the same.
    stored = "select used from play_days where user_id = $1"
    assert await play.owner.fetchval(stored, member.user_id) == 27
