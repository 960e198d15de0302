"""Every table, gathered in one place for migrations, the engine and the tests."""

from __future__ import annotations

from sqlalchemy import Table

from db import events
from db.accounts import tables as accounts
from db.base import Base
from db.catalog import tables as catalog
from db.credits import tables as credits
from db.generations import tables as generations
from db.jobs import tables as jobs
from db.notifications import tables as notifications
from db.profiles import tables as profiles
from db.quotas import tables as quotas
from db.uploads import tables as uploads

SLICES = (
    accounts,
    catalog,
    credits,
    events,
    generations,
    jobs,
    notifications,
    profiles,
    quotas,
    uploads,
)
metadata = Base.metadata


def models() -> dict[str, type[Base]]:
    """The declared classes by table name."""
    return {
        mapper.local_table.name: mapper.class_
        for mapper in Base.registry.mappers
        if isinstance(mapper.local_table, Table)
    }
