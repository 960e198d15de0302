"""What partners see of somebody, by policies alone and by the predicate alone: what the level shows."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Table, Uuid, literal, literal_column, select

from db.core.access import access_of, is_public, parts
from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.core.predicates import Asking
from db.core.registry import metadata, models
from db.partners.rules import ACTIVITY_SECTIONS, DOMAINS

from ..conftest import MakeUser
from ..sharing import ANSWERS, LEVELS, OVERLAPPING, Circle, circle_of
from .ruled import text_of

# Each table whose rows may be shown, and what a row is called here.
NAMES = {
    "demographics": "name",
    "survey_runs": "form",
    "survey_profiles": "'version ' || version",
    "survey_domain_scores": "score::text",
    "survey_measures": "score::text",
    "boundaries": "item_id",
    "compatibilities": "word",
    "compatibility_parts": "kind || ' ' || name",
    "compatibility_items": "kind || ' ' || item_id",
    "compatibility_conflicts": "limit_key",
    "survey_answers": "item_id || case when is_current then '' else ' once' end",
}
OVERLAPS = ["GROWTH B3a", "GROWTH B3b"]
DIFFERENCES = [
    "COMPATIBLE B3a",
    "COMPATIBLE B3b",
    "OWN_ONLY B5a",
    "PARTNER_ONLY B4a",
    "PARTNER_ONLY B4b",
]
TOTALS = ("POWER", "DOMAINS", "ACTIVITIES", "TRUTH", "EXCITATION", "CAUTION", "CONFLICTS")
BREAKDOWN = {
    "compatibility_parts": sorted(
        [f"TOTAL {name}" for name in TOTALS]
        + [f"DOMAIN {name}" for name in DOMAINS]
        + [f"SECTION {name}" for name in ACTIVITY_SECTIONS]
    ),
    "compatibility_conflicts": ["impact", "impact"],
}
SCORE = {"compatibilities": ["CHALLENGING"]}
SHOWN: dict[str, dict[str, list[str]]] = {
    "ALL": {
        **SCORE,
        **BREAKDOWN,
        "compatibility_items": sorted([*OVERLAPS, *DIFFERENCES]),
        "demographics": ["Ada"],
        "survey_profiles": ["version 2"],
        "survey_domain_scores": ["20"],
        "survey_measures": ["20"],
        "boundaries": ["impact"],
        "survey_answers": sorted(ANSWERS),
    },
    "OVERLAPPING": {
        **SCORE,
        **BREAKDOWN,
        "compatibility_items": OVERLAPS,
        "demographics": ["Ada"],
        "survey_answers": sorted(OVERLAPPING),
    },
    "DEMOGRAPHICS": {**SCORE, "demographics": ["Ada"]},
}
NOT_PARTNERS = (
    "ex-partner",
    "who was removed",
    "who left",
    "blocked",
    "who is leaving",
    "friend of a partner",
    "stranger",
    "anonymous",
)


@pytest.fixture
async def circle(owner: asyncpg.Connection, make_user: MakeUser, database: Database) -> Circle:
    return await circle_of(owner, make_user, database)


def _people(table: Table) -> str:
    """The columns that name whom a row tells of."""
    return ", ".join(c.name for c in table.columns if c.name in ("user_id", "partner_id"))


async def by_policies(database: Database, table: Table, reader: Actor, whose: UUID) -> list[str]:
    """What row-level security alone shows somebody of somebody else's rows."""
    async with database.transaction(reader) as transaction:
        try:
            rows = await transaction.connection.fetch(
                f"select {NAMES[table.name]} from {table.name} where $1 in ({_people(table)})",
                whose,
            )
        except asyncpg.InsufficientPrivilegeError:
            return []
    return sorted(row[0] for row in rows)


async def by_predicate(
    owner: asyncpg.Connection, table: Table, reader: Actor, whose: UUID
) -> list[str]:
    """What the condition of every plan alone shows, where no policy holds."""
    if reader is NOBODY and not is_public(table):
        return []  # no plan reads it
    met = Asking(literal(reader.user_id, Uuid())).condition(table, table, access_of(table).read)
    named, of_whom = (
        literal_column(NAMES[table.name]),
        literal_column(f"'{whose}' in ({_people(table)})"),
    )
    return sorted(row[0] for row in await owner.fetch(text_of(select(named).where(of_whom, met))))


async def shown(database: Database, circle: Circle, name: str, lock: str) -> dict[str, list[str]]:
    """What somebody is shown of Ada's, by table."""
    reader, whose = circle.readers[name], circle.ada.user_id
    assert whose
    found = {}
    for table in NAMES:
        known = metadata.tables[table]
        if lock == "policies":
            rows = await by_policies(database, known, reader, whose)
        else:
            rows = await by_predicate(circle.owner, known, reader, whose)
        if rows:
            found[table] = rows
    return found


@pytest.mark.parametrize("lock", ["policies", "predicate"])
async def test_partners_see_what_their_level_shows_and_nobody_else_anything(
    database: Database, circle: Circle, lock: str
) -> None:
    expected = SHOWN | {name: {} for name in NOT_PARTNERS}
    found = {name: await shown(database, circle, name, lock) for name in circle.readers}
    assert found == expected


@pytest.mark.parametrize("lock", ["policies", "predicate"])
async def test_a_level_and_an_answer_hold_from_the_next_statement_on(
    database: Database, circle: Circle, lock: str
) -> None:
    reader = circle.readers["ALL"]
    for level in (*reversed(LEVELS), "OVERLAPPING"):
        await circle.share(circle.ada, reader, level)
        assert await shown(database, circle, "ALL", lock) == SHOWN[level]
    await circle.owner.execute(
        "update survey_answers set value = '\"NO\"', score = 0"
        " where user_id = $1 and item_id = 'B3a' and is_current",
        reader.user_id,
    )
    assert (await shown(database, circle, "ALL", lock))["survey_answers"] == ["B3b"]


def test_every_table_that_is_shared_is_tried() -> None:
    shared = {
        name
        for name, model in models().items()
        if any("sharing" in repr(part) for part in parts(model.access.read))
    }
    assert shared <= NAMES.keys()


async def test_who_shares_reads_all_of_their_own(database: Database, circle: Circle) -> None:
    """The owner reads all of it, by both."""
    circle.readers["herself"] = circle.ada
    for lock in ("policies", "predicate"):
        found = await shown(database, circle, "herself", lock)
        assert found.keys() == NAMES.keys()
        assert found["survey_profiles"] == ["version 1", "version 2"]
