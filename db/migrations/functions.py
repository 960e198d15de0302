"""All SQL functions of this release, and whether a database has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import asyncpg

from db.core.erasing_functions import erasing_functions
from db.core.functions import Function, outdated, read_functions
from db.core.groups import group_functions
from db.core.merging import merge_functions
from db.core.own_values import own_values_functions
from db.core.rereading import reread_functions
from db.core.writes import write_functions

DB = Path(__file__).parents[1]
VERSIONS = Path(__file__).parent / "versions"
# Those of every slice, and of what slices build on.
FUNCTION_FILES = tuple(sorted(file.relative_to(DB).as_posix() for file in DB.glob("*/*.sql")))
_CALL = re.compile(r"\bapp\.\w+(?=\s*\()")
_IN_SQL = re.compile(r"\blanguage\s+sql\b", re.IGNORECASE)
# Its text is another one in each release that has a new migration, so that a database which lacks
# only that is known to be older, too.
_REVISION = """
create function app.schema_revision() returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$ select '{}' $$
"""
NAMED = 5


class ForeignDatabaseError(Exception):
    """A database that another release migrated, older or newer than this one can do with."""


def revisions() -> list[str]:
    """The revisions that this release knows, in order."""
    return sorted(path.stem.partition("_")[0] for path in VERSIONS.glob("*.py"))


def newest_revision() -> str:
    """The revision that this release's migrations lead to."""
    return revisions()[-1]


@cache
def declared_functions() -> tuple[Function, ...]:
    """What the files and the tables' declarations make, in the order to make it in."""
    return tuple(in_order(read_functions(_texts())))


def in_order(functions: Sequence[Function]) -> Iterable[Function]:
    """Puts each function written in SQL after those that it calls, which must be there for it.

    Those in PL/pgSQL find what they call when they run.
    """
    overloads: dict[str, list[Function]] = {}
    for function in functions:
        overloads.setdefault(function.name, []).append(function)
    sorter: TopologicalSorter[Function] = TopologicalSorter()
    for function in functions:
        calls = set(_CALL.findall(function.text)) if _IN_SQL.search(function.text) else set()
        called = sorted(calls & overloads.keys() - {function.name})
        sorter.add(function, *(one for name in called for one in overloads[name]))
    return sorter.static_order()


def _texts() -> Iterator[str]:
    for name in FUNCTION_FILES:
        yield (DB / name).read_text()
    yield from group_functions()
    yield from own_values_functions()
    yield from reread_functions()
    yield from write_functions()
    yield from erasing_functions()
    yield from merge_functions()
    yield _REVISION.format(newest_revision())


async def refuse_outdated(connection: asyncpg.Connection) -> None:
    """Refuses a database that has not been migrated to this release, or a newer one."""
    if lacking := await outdated(connection, declared_functions()):
        named = ", ".join(lacking[:NAMED]) + (" and others" if lacking[NAMED:] else "")
        raise ForeignDatabaseError(
            f"The database lacks {named} as this release has them: an older release migrated it, "
            "or one that is newer by more than one. Run `tallygraph migrate` first, or start the "
            "newer release."
        )
