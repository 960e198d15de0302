"""Where users are read: the database of a Supabase project, or CSV files exported from it."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from itertools import batched
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from db.core.errors import DomainError, ErrorCode
from db.imports.importing import SourceRow

BATCH_ROWS = 500
_NEEDED = ("id", "email", "encrypted_password")
# Whole rows, since a column that an older Supabase lacks is only missing in them.
_USERS = """
select to_jsonb(u) as row from auth.users u
where ($1::uuid is null or u.id > $1) order by u.id limit $2
"""
_IDENTITIES = "select to_jsonb(i) as row from auth.identities i where i.user_id = any($1::uuid[])"
# SQLSTATE classes and codes of the source, and what each asks of the operator.
_REFUSALS = {
    "28": "The source refused the user or the password: correct them in its URL.",
    "3D000": "The source has no database of the name in its URL: correct it.",
    "3F000": "This database has no table {table}: name a {product}'s.",
    "42P01": "This database has no table {table}: name a {product}'s.",
    "42501": "The user in the source's URL may not read {table}: name one that may.",
    "08": "The connection to the source was lost: run this again, it goes on where it stopped.",
}
_HAS_IDENTITIES = "select to_regclass('auth.identities') is not null"


async def from_database(url: str) -> AsyncIterator[list[SourceRow]]:
    """The users of a Supabase project, whose database `url` names, in the order of their ids."""
    with source_refusals("auth.users", "Supabase project"):
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("set default_transaction_read_only = on")
            has_identities = await connection.fetchval(_HAS_IDENTITIES)
            last: UUID | None = None
            while True:
                found = await connection.fetch(_USERS, last, BATCH_ROWS)
                rows = [orjson.loads(one["row"]) for one in found]
                if not rows:
                    return
                ids = [UUID(row["id"]) for row in rows]
                identities = await connection.fetch(_IDENTITIES, ids) if has_identities else []
                by_user = _by_user(orjson.loads(one["row"]) for one in identities)
                yield [(row, by_user.get(row["id"], [])) for row in rows]
                last = ids[-1]
        finally:
            await connection.close()


@contextmanager
def source_refusals(table: str, product: str) -> Iterator[None]:
    """What the source refuses is said of the source, in a sentence without its URL.

    `table` is one that every source of the kind has, and `product` whose such a source is.
    """
    try:
        yield
    except OSError:
        raise _bad(
            "The source does not answer: look at the host and the port in its URL, and at the "
            "network."
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        state = getattr(error, "sqlstate", None) or ""
        said = next((text for start, text in _REFUSALS.items() if state.startswith(start)), None)
        said = said and said.format(table=table, product=product)
        raise _bad(said or f"The source could not be read: {type(error).__name__}.") from None


async def from_files(users: Path, identities: Path | None) -> AsyncIterator[list[SourceRow]]:
    """The users of a CSV file with a head, as an export of `auth.users` is."""
    by_user = _by_user(_rows(identities, ("user_id", "provider"))) if identities else {}
    for some in batched(_rows(users, _NEEDED), BATCH_ROWS):
        yield [(row, by_user.get(str(row["id"]).lower(), [])) for row in some]


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise _bad(f"{path.name} has no column {missing[0]}: export it with its head.")
            yield from reader
    except UnicodeDecodeError:
        raise _bad(f"{path.name} is not in UTF-8.") from None
    except csv.Error as error:
        raise _bad(f"{path.name} is no CSV: {error}.") from None


def _by_user(rows: Iterator[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["user_id"]).lower(), []).append(row)
    return found


def _bad(message: str) -> DomainError:
    return DomainError(ErrorCode.BAD_USER_INPUT, message)
