"""The bundled activities: each is valid, together they give every filter something to choose."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from db.activities.rules import activity_uid, problems_of_activity
from db.activities.tables import Activity
from db.activities.vocabulary import (
    ANATOMY,
    AUDIENCES,
    DOMAINS,
    KINDS,
    LEVELS,
    LIMIT_KEYS,
    POWER_ROLES,
)
from db.core import seeding
from db.embedded.database import EmbeddedDatabase

BANK = seeding.read_tables("attuned")["activities"]
VALID: dict[str, Any] = {
    "kind": "DARE",
    "level": "R",
    "intensity": 2,
    "text": "Hum until {partner} knows the song.",
    "themes": ["music"],
}


def test_the_bank_has_activities_of_every_level_kind_and_audience() -> None:
    found = Counter((one["level"], one["kind"], one["audience"]) for one in BANK)
    assert len(BANK) >= 240
    assert sum(one["audience"] == "SOLO" for one in BANK) >= 30
    assert {key: found[key] for key in product(LEVELS, KINDS, AUDIENCES) if found[key] < 6} == {}


def test_every_filter_has_something_to_choose() -> None:
    def used(name: str) -> set[str]:
        return {value for one in BANK for value in one[name]}

    assert used("limit_keys") == {*LIMIT_KEYS}
    assert used("needs_anatomy_active") | used("needs_anatomy_partner") == {*ANATOMY}
    assert used("domains") == {*DOMAINS}
    assert {one["power_role"] for one in BANK} == {*POWER_ROLES}
    assert {one["intensity"] for one in BANK} == {1, 2, 3, 4, 5}
    # A player who rules out every limit still has dares and truths of each level.
    free = Counter((one["level"], one["kind"]) for one in BANK if not one["limit_keys"])
    assert all(free[key] >= 10 for key in product(LEVELS, KINDS))
    # No theme may stand alone: at most two in a row have the same primary one.
    for level, kind in product(LEVELS, KINDS):
        themes = {one["themes"][0] for one in BANK if (one["level"], one["kind"]) == (level, kind)}
        assert len(themes) >= 6


def test_every_activity_is_valid_and_named_by_what_it_says() -> None:
    for one in BANK:
        given = {name: one[name] for name in one if name not in ("id", "source")}
        assert list(problems_of_activity(given)) == []
        assert one["id"] == activity_uid(one["kind"], one["text"])
        assert 5 <= len(one["text"].split()) <= 35
        is_alone = one["audience"] == "SOLO"
        assert not (is_alone and ("{partner}" in one["text"] or one["needs_anatomy_partner"]))
    assert len({one["id"] for one in BANK}) == len(BANK)
    assert all(
        one["limit_keys"] == [] and one["intensity"] <= 2 for one in BANK if one["level"] == "G"
    )


async def test_the_bank_is_loaded_and_loading_it_again_changes_nothing(
    cluster: EmbeddedDatabase, database: object
) -> None:
    url = cluster.owner_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url)
    table: Any = Activity.__table__
    is_bundled = Activity.id.in_([one["id"] for one in BANK])
    async with engine.connect() as connection:
        loaded = await connection.execute(seeding._upsert(table, BANK))
        again = await connection.execute(seeding._upsert(table, BANK))
        count = await connection.scalar(select(func.count()).where(is_bundled))
        await connection.rollback()
    await engine.dispose()
    assert (loaded.rowcount, again.rowcount, count) == (len(BANK), 0, len(BANK))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "QUIZ"),
        ("level", None),
        ("intensity", 6),
        ("intensity", True),
        ("text", " "),
        ("text", "Kiss {them}."),
        ("text", "A lone \ud800 half."),
        ("text", "Nothing \x00 follows."),
        ("text", "A bell\x07 rings."),
        ("text", "Turned \u202e around."),
        ("themes", []),
        ("themes", ["Long Kisses"]),
        ("themes", ["music", "music"]),
        ("audience", "EVERYBODY"),
        ("limit_keys", ["spiders"]),
        ("needs_anatomy_active", "penis"),
        ("preference_keys", ["B19a"]),
        ("domains", ["POWER", "POWER"]),
        ("colour", "red"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(name: str, value: object) -> None:
    assert list(problems_of_activity(VALID)) == []
    assert [column for column, _ in problems_of_activity(VALID | {name: value})] == [name]
