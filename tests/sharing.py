"""Somebody with something to show, and everybody who may or may not see it of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.partners.operations import compare

from .attuned import SURVEY, onboard
from .conftest import MakeUser

LEVELS = ("ALL", "OVERLAPPING", "DEMOGRAPHICS")
SCORES = {"YES": 1.0, "MAYBE": 0.5, "NO": 0.0}
# What Ada answers. To the second, the reader says less; the rest is no matter of what overlaps.
OVERLAPPING = {"B3a": "YES", "B3b": "MAYBE"}
ONE_SIDED = {"B4a": "YES", "B4b": "MAYBE", "B5a": "NO"}
OTHERS = {"A1": 7, "C1": ["impact"]}
ANSWERS: Mapping[str, Any] = OVERLAPPING | ONE_SIDED | OTHERS
READERS: Mapping[str, Any] = {"B3a": "MAYBE", "B3b": "YES", "B4a": "NO", "B5a": "YES"} | OTHERS
# What both wanted once, and the reader wants no more.
EARLIER = {"B4b": "YES"}


async def submit(
    owner: asyncpg.Connection, user: UUID, answers: Mapping[str, Any], version: int
) -> None:
    """Makes a version of somebody's profile, whose scores are ten times its number."""
    run = await owner.fetchval(
        "insert into survey_runs (user_id, survey_id, form) values ($1, $2, 'FULL') returning id",
        user,
        SURVEY,
    )
    await owner.execute(
        "update survey_runs set status = 'SUBMITTED', ended_at = now() where id = $1", run
    )
    for table in ("survey_profiles", "survey_answers"):
        await owner.execute(f"update {table} set is_current = false where user_id = $1", user)
    for item, value in answers.items():
        score = None if isinstance(value, list) else SCORES.get(value, 1.0)
        await owner.execute(
            "insert into survey_answers (user_id, run_id, survey_id, item_id, value, score,"
            " is_current) values ($1, $2, $3, $4, $5, $6, true)",
            user, run, SURVEY, item, json.dumps(value), score,
        )  # fmt: skip
    profile = await owner.fetchval(
        "insert into survey_profiles (user_id, run_id, survey_id, version, power_orientation,"
        " power_confidence, power_level, top_percent, archetypes, is_balanced)"
        " values ($1, $2, $3, $4, 'TOP', 0.5, 'MODERATE', 70, '{EXPLORER}', false) returning id",
        user, run, SURVEY, version,
    )  # fmt: skip
    await owner.execute(
        "with domain as (insert into survey_domain_scores (user_id, profile_id, domain, score,"
        " sort_order) values ($1, $2, 'POWER', $3, 1))"
        " insert into survey_measures (user_id, profile_id, measure, score, sort_order)"
        " values ($1, $2, 'SE', $3, 1)",
        user, profile, 10 * version,
    )  # fmt: skip
    await owner.execute(
        "insert into boundaries (user_id, profile_id, item_id, kind, source)"
        " values ($1, $2, 'impact', 'HARD', 'SET')"
        " on conflict (user_id, item_id) do update set profile_id = excluded.profile_id",
        user, profile,
    )  # fmt: skip


async def introduce(owner: asyncpg.Connection, user: UUID, name: str) -> None:
    """Says who somebody is."""
    await owner.execute(
        "insert into demographics (user_id, name, gender, orientation, relationship, anatomy_self,"
        " anatomy_preference) values ($1, $2, 'WOMAN', 'GAY', 'OPEN', '{vagina}', '{breasts}')",
        user,
        name,
    )


@dataclass
class Circle:
    """Ada, and readers: each is what their name says to her."""

    owner: asyncpg.Connection
    ada: Actor
    readers: dict[str, Actor]

    async def as_user(self, actor: Actor, sql: str, *arguments: object) -> Any:
        """What a function of a mutation gives, called as the mutation does."""
        async with self.owner.transaction():
            await self.owner.execute(
                "select set_config('app.user_id', $1, true)", str(actor.user_id)
            )
            return await self.owner.fetchval(sql, *arguments)

    async def partner(self, whose: Actor, other: Actor) -> UUID:
        """Somebody's row of a partner."""
        found: UUID = await self.owner.fetchval(
            "select id from partners where user_id = $1 and partner_id = $2",
            whose.user_id,
            other.user_id,
        )
        return found

    async def connect(self, one: Actor, other: Actor) -> None:
        """Connects two."""
        await self.owner.execute("select app.connect_partners($1, $2)", one.user_id, other.user_id)

    async def compare(self, database: Database, reader: Actor) -> None:
        """Works out how well somebody and Ada fit, as the job does."""
        assert self.ada.user_id
        assert reader.user_id
        await compare(database, *sorted((self.ada.user_id, reader.user_id)))

    async def share(self, whose: Actor, other: Actor, level: str) -> None:
        """Sets what somebody shows a partner."""
        partner = await self.partner(whose, other)
        await self.as_user(whose, "select app.set_sharing($1, $2)", partner, level)


async def circle_of(owner: asyncpg.Connection, make_user: MakeUser, database: Database) -> Circle:
    """Makes them, through the functions that the mutations call; who is connected is compared."""
    ada = await make_user()
    assert ada.user_id
    await owner.execute("update users set display_name = 'Ada' where id = $1", ada.user_id)
    await introduce(owner, ada.user_id, "Ada")
    await onboard(owner, ada.user_id, limits=False)
    await submit(owner, ada.user_id, ANSWERS | EARLIER, 1)
    await submit(owner, ada.user_id, ANSWERS, 2)
    await owner.execute(
        "with run as (insert into survey_runs (user_id, survey_id, form) values ($1, $2, 'FULL')"
        " returning id) insert into survey_answers (user_id, run_id, survey_id, item_id, value,"
        " score) select $1, run.id, $2, 'B6a', '\"YES\"', 1 from run",
        ada.user_id, SURVEY,
    )  # fmt: skip
    circle = Circle(owner, ada, {})
    names = (
        "ex-partner", "who was removed", "who left", "blocked", "who is leaving", "friend of a partner",
    )  # fmt: skip
    for name in (*LEVELS, *names, "stranger"):
        reader = circle.readers[name] = await make_user()
        assert reader.user_id
        await submit(owner, reader.user_id, READERS | EARLIER, 1)
        await submit(owner, reader.user_id, READERS, 2)
    for level in LEVELS:
        await circle.connect(ada, circle.readers[level])
        await circle.compare(database, circle.readers[level])
        await circle.share(ada, circle.readers[level], level)
        # What she is shown opens nothing of hers.
        await circle.share(circle.readers[level], ada, "ALL" if level == "DEMOGRAPHICS" else level)
    await circle.connect(circle.readers["ALL"], circle.readers["friend of a partner"])
    await circle.share(circle.readers["ALL"], circle.readers["friend of a partner"], "ALL")
    for name, who, function in (
        ("ex-partner", ada, "disconnect_partner"),
        ("who was removed", ada, "remove_partner"),
        ("who left", circle.readers["who left"], "remove_partner"),
        ("blocked", ada, "block_partner"),
    ):
        reader = circle.readers[name]
        await circle.connect(ada, reader)
        await circle.share(ada, reader, "ALL")
        await circle.compare(database, reader)
        other = reader if who is ada else ada
        await circle.as_user(who, f"select app.{function}($1)", await circle.partner(who, other))
    leaving = circle.readers["who is leaving"]
    await circle.connect(ada, leaving)
    await circle.share(ada, leaving, "ALL")
    await circle.share(leaving, ada, "ALL")
    await circle.compare(database, leaving)
    await owner.execute(
        "select deletes_at from app.schedule_deletion($1, interval '30 days', '{}')",
        leaving.user_id,
    )
    circle.readers["anonymous"] = NOBODY
    return circle
