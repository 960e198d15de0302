"""All SQL functions of this release, and whether a database has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import asyncpg

from db.core.functions import Function, outdated, read_functions
from db.core.groups import group_functions
from db.core.rereading import reread_functions
from db.core.writes import write_functions

DB = Path(__file__).parents[1]
VERSIONS = Path(__file__).parent / "versions"
# In the order of their calls.
FUNCTION_FILES = (
    "core/foundation.sql",
    "accounts/admins.sql",
    "core/lifecycles.sql",
    "core/events.sql",
    "quotas/quotas.sql",
    "credits/ledger.sql",
    "credits/grants.sql",
    "credits/upkeep.sql",
    "accounts/sessions.sql",
    "accounts/budgets.sql",
    "catalog/catalog.sql",
    "uploads/uploads.sql",
    "generations/generations.sql",
    "generations/attempts.sql",
    "credits/usage.sql",
    "jobs/jobs.sql",
    "credits/administration.sql",
    "catalog/administration.sql",
    "notifications/notifications.sql",
    "organizations/organizations.sql",
)
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
    return tuple(read_functions(_texts()))


def _texts() -> Iterator[str]:
    for name in FUNCTION_FILES:
        yield (DB / name).read_text()
    yield from group_functions()
    yield from reread_functions()
    yield from write_functions()
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
