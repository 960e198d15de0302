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


def full_answers(scale: int = 4, word: str = "MAYBE") -> list[dict[str, Any]]:
    """An answer to every item: the same number and word throughout, and no limits."""
    values = {"SCALE": scale, "YES_MAYBE_NO": word, "CHECKLIST": []}
    return [{"itemId": item["item_id"], "value": values[item["kind"]]} for item in ITEMS]


def short_answers(**others: Any) -> list[dict[str, Any]]:
    """An answer to every item of the short form; by their ids, `others` instead."""
    short = {item["item_id"] for item in ITEMS if item["is_short"]}
    given = {one["itemId"]: one["value"] for one in full_answers() if one["itemId"] in short}
    return [{"itemId": name, "value": value} for name, value in (given | others).items()]
