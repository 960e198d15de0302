"""Loads a product's data: plans, tools, choices and the terms of signing up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from db.core.registry import metadata

SEEDS = Path(__file__).parents[1] / "seeds"
# What the links of seeds that begin with /catalog/ lead to.
PICTURES = SEEDS / "pictures"


class UnknownSeedError(Exception):
    """There is no seed of that name; the message lists those there are."""


def seed_names() -> list[str]:
    """The seeds that can be loaded."""
    return sorted(path.stem for path in SEEDS.glob("*.json"))


def _upsert(table: Table, rows: list[dict[str, Any]]) -> Any:
    statement = insert(table).values(rows)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


async def load_seed(owner_url: str, name: str) -> dict[str, int]:
    """Inserts or updates every row of the seed `name`; loading it twice changes nothing more.

    Returns the number of rows by table. Rows that are no longer in a seed stay: generations refer
    to them.
    """
    if name not in seed_names():
        raise UnknownSeedError(f"There is no seed {name!r}; there are: {', '.join(seed_names())}.")
    rows_by_table: dict[str, list[dict[str, Any]]] = json.loads(
        (SEEDS / f"{name}.json").read_text()
    )
    engine = create_async_engine(owner_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            for table in metadata.sorted_tables:
                if rows := rows_by_table.get(table.name):
                    await connection.execute(_upsert(table, rows))
    finally:
        await engine.dispose()
    return {table: len(rows) for table, rows in rows_by_table.items()}
