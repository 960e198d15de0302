"""Loads a product's data: plans, tools, choices, texts and the terms of signing up."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Table,
    Uuid,
    any_,
    case,
    delete,
    literal,
    or_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from db.core.registry import metadata

SEEDS = Path(__file__).parents[1] / "seeds"
# What the links of seeds that begin with /catalog/ lead to.
PICTURES = SEEDS / "pictures"
# For each key its text in every language; a file for each area. What one product alone shows is in
# a folder of its seed's name.
TEXTS = SEEDS / "texts"
# Other names of seeds: the demo shows this product.
ALIASES = {"demo": "sparky"}
RETIRED = "retired"
# One row, which the seed that was loaded last has written.
TERMS = "sign_up_terms"

Rows = list[dict[str, Any]]


class UnknownSeedError(Exception):
    """There is no seed of that name; the message lists those there are."""


def seed_names() -> list[str]:
    """The seeds that can be loaded."""
    return sorted([*ALIASES, *(path.stem for path in SEEDS.glob("*.json"))])


def read_seed(name: str) -> dict[str, Any]:
    """A seed's rows by table, texts included; under `retired`, keys of rows that it had before."""
    if name not in seed_names():
        raise UnknownSeedError(f"There is no seed {name!r}; there are: {', '.join(seed_names())}.")
    product = ALIASES.get(name, name)
    found: dict[str, Any] = json.loads((SEEDS / f"{product}.json").read_text())
    return found | {"translations": read_texts() + read_texts(TEXTS / product)}


def read_texts(folder: Path = TEXTS) -> Rows:
    """The texts of every key in a folder, in every language that it has, as rows."""
    return [
        {"locale": locale, "key": key, "text": text}
        for path in sorted(folder.glob("*.toml"))
        for key, texts in tomllib.loads(path.read_text(encoding="utf-8")).items()
        for locale, text in texts.items()
    ]


def read_tables(name: str) -> dict[str, Rows]:
    """What of a seed is too long for its file: a file for each table in a folder of its name."""
    folder = SEEDS / ALIASES.get(name, name)
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _key_of(table: Table) -> ColumnElement[Any]:
    (key,) = table.primary_key.columns
    return key


def _upsert(table: Table, rows: Rows, *, keeps_terms: bool) -> Any:
    """Inserts the rows or brings them up to date; what an admin has `edited` stays as it is."""
    statement = insert(table).values([_typed(table, row) for row in rows])
    if keeps_terms and table.name == TERMS:
        return statement.on_conflict_do_nothing()
    keys = [column.name for column in table.primary_key]
    changed: dict[str, ColumnElement[Any]] = {}
    for name in rows[0]:
        if name not in keys:
            changed[name] = statement.excluded[name]
            if "edited" in table.c:
                is_edited = literal(name) == any_(table.c.edited)
                changed[name] = case((is_edited, table.c[name]), else_=changed[name])
    differs = or_(*(table.c[name].is_distinct_from(new) for name, new in changed.items()))
    return statement.on_conflict_do_update(index_elements=keys, set_=changed, where=differs)


def _typed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row with its times and ids as such: JSON has them as text."""
    times = [name for name in row if isinstance(table.c[name].type, DateTime)]
    ids = [name for name in row if isinstance(table.c[name].type, Uuid)]
    return (
        row
        | {name: datetime.fromisoformat(row[name]) for name in times}
        | {name: row[name] and UUID(row[name]) for name in ids}
    )


def _retire(table: Table, keys: list[str]) -> Any:
    """Switches rows off, or deletes them where they cannot be; what an admin has edited stays."""
    found = _key_of(table).in_(keys)
    if "is_active" not in table.c:
        return delete(table).where(found, table.c.edited == [])
    unedited = literal("is_active") != table.c.edited.all_()
    return update(table).where(found, table.c.is_active, unedited).values(is_active=False)


async def load_seed(owner_url: str, name: str, *, keeps_terms: bool = False) -> dict[str, int]:
    """Inserts or updates every row of the seed `name`; loading it twice changes nothing more.

    With `keeps_terms`, new accounts get what they got before. Returns the number of rows by table.
    Rows that are no longer in a seed stay, unless it names
    them as retired: generations refer to them.
    """
    rows_by_table = read_seed(name) | read_tables(name)
    retired: dict[str, list[str]] = rows_by_table.pop(RETIRED, {})
    engine = create_async_engine(owner_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            for table in metadata.sorted_tables:
                if rows := rows_by_table.get(table.name):
                    await connection.execute(_upsert(table, rows, keeps_terms=keeps_terms))
                if keys := retired.get(table.name):
                    await connection.execute(_retire(table, keys))
    finally:
        await engine.dispose()
    return {table: len(rows) for table, rows in rows_by_table.items()}
