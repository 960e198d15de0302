"""Every table, found by convention: a slice is a folder of `db` with a `tables.py`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sqlalchemy import Table

from db.core import events  # noqa: F401 -- its table belongs to no slice
from db.core.base import Base

SLICES = tuple(
    import_module(f"db.{file.parent.name}.tables")
    for file in sorted(Path(__file__).parents[1].glob("*/tables.py"))
)
metadata = Base.metadata


def models() -> dict[str, type[Base]]:
    """The declared classes by table name, in the order of the names: mappers come in any."""
    found = {
        mapper.local_table.name: mapper.class_
        for mapper in Base.registry.mappers
        if isinstance(mapper.local_table, Table)
    }
    return dict(sorted(found.items()))
