"""Attuned's surveys and documents in a test's database, beside the demo's catalog."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from db.core.seeding import read_seed

SURVEY = "attuned-0.4"
SEED = read_seed("attuned")
TABLES = ("surveys", "survey_items", "legal_documents")
ITEMS: list[dict[str, Any]] = SEED["survey_items"]


async def load_surveys(owner: asyncpg.Connection) -> None:
    """Inserts what is missing; sign-ups stay as they are, unlike with `tallygraph seed`."""
    for table in TABLES:
        rows = SEED[table]
        columns = ", ".join(rows[0])
        await owner.execute(
            f"insert into {table} ({columns}) select {columns}"
            f" from jsonb_populate_recordset(null::{table}, $1) on conflict do nothing",
            json.dumps(rows),
        )


ONBOARDED = """
with agreed as (
    insert into consents (user_id, document_id, version)
    select u, d.document_id, d.version from unnest($1::uuid[]) u, legal_documents d on conflict do nothing
) insert into demographics (user_id, name, gender, orientation, relationship, anatomy_self, anatomy_preference)
select u, 'Somebody', 'RATHER_NOT_SAY', 'RATHER_NOT_SAY', 'RATHER_NOT_SAY', $2, $2 from unnest($1::uuid[]) u
on conflict do nothing
"""
LIMITED = """
insert into boundaries (user_id, item_id, kind, source)
select u, 'watersports', 'NONE', 'SET' from unnest($1::uuid[]) u on conflict do nothing
"""
EVERYTHING = ["penis", "vagina", "breasts"]


async def onboard(owner: asyncpg.Connection, *people: Any, limits: bool = True) -> None:
    """Has users agree to every document and say who they are and, with `limits`, what they will not do."""
    await load_surveys(owner)
    await owner.execute(ONBOARDED, people, EVERYTHING)
    if limits:
        await owner.execute(LIMITED, people)


def full_answers(scale: int = 4, word: str = "MAYBE") -> list[dict[str, Any]]:
    """An answer to every item: the same number and word throughout, and no limits."""
    values = {"SCALE": scale, "YES_MAYBE_NO": word, "CHECKLIST": []}
    return [{"itemId": item["item_id"], "value": values[item["kind"]]} for item in ITEMS]


def short_answers(**others: Any) -> list[dict[str, Any]]:
    """An answer to every item of the short form; by their ids, `others` instead."""
    short = {item["item_id"] for item in ITEMS if item["is_short"]}
    given = {one["itemId"]: one["value"] for one in full_answers() if one["itemId"] in short}
    return [{"itemId": name, "value": value} for name, value in (given | others).items()]
