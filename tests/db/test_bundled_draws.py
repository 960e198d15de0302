"""How long the bundled activities last: for two, for who plays alone, and for who refuses much."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from db.activities.vocabulary import LIMIT_KEYS, PREFERENCE_KEYS

from ..conftest import MakeUser
from .test_activities import BANK
from .test_play_drawing import Game

LOAD = """
insert into activities select (jsonb_populate_record(null::activities, given || $2)).*
from jsonb_array_elements($1) given
"""
# What is written of every one that is not in the file.
REST = {"is_active": True, "created_at": "2026-01-01T00:00:00Z", "edited": []}
SHOWN = "insert into play_history (user_id, activity_id, kind, theme) values ($1, $2, $3, $4)"


@pytest.fixture
async def game(owner: asyncpg.Connection, make_user: MakeUser) -> AsyncIterator[Game]:
    """Two users who play with the bundled activities alone, in a transaction that is rolled back."""
    game = Game(owner, await make_user(0), await make_user(0))
    transaction = owner.transaction()
    await transaction.start()
    await game.begin()
    await owner.execute(LOAD, json.dumps(BANK), json.dumps(REST | {"shuffle": 0.5}))
    await owner.execute("update activities set shuffle = random()")
    yield game
    await transaction.rollback()


async def refuse_everything(game: Game) -> None:
    for item in (*LIMIT_KEYS, *sorted(PREFERENCE_KEYS)):
        await game.boundary(1, item)


async def drawn(game: Game, count: int) -> list[Any]:
    """What the first player is given when truths and dares take turns."""
    found = []
    for number in range(count):
        kind = ("TRUTH", "DARE")[number % 2]
        one = await game.choose(kind)
        await game.owner.execute(SHOWN, game.users[0], one["activity_id"], kind, one["theme"])
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("level", "refuses", "count"),
    [("G", False, 80), ("R", False, 100), ("X", True, 80)],
)
async def test_two_are_given_so_many_before_one_comes_again(
    game: Game, level: str, refuses: bool, count: int
) -> None:
    await game.set(level=level)
    if refuses:
        await refuse_everything(game)
    given = await drawn(game, count)
    assert len({one["activity_id"] for one in given}) == count
    assert not any(one["is_repeated"] for one in given)


@pytest.mark.parametrize(("level", "count"), [("G", 36), ("X", 80)])
async def test_who_plays_alone_has_enough_and_nothing_that_takes_two(
    game: Game, level: str, count: int
) -> None:
    await game.set(level=level)
    await game.owner.execute(
        "delete from play_players where seat = 2 and session_id = $1", game.session
    )
    await game.player(2, is_opponent=True, status="PRESENT", name="Opponent")
    given = await drawn(game, count)
    assert not any(one["is_repeated"] or "Opponent" in one["text"] for one in given)
    assert len({one["activity_id"] for one in given}) == count


async def test_who_refuses_everything_is_never_left_without_one(game: Game) -> None:
    await game.set(level="G")
    await refuse_everything(game)
    given = await drawn(game, 90)
    assert all(one["activity_id"] for one in given)
    assert given[-1]["is_repeated"] is True
