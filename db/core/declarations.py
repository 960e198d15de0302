"""All that a table's class declares beside its columns, as the SQL that makes it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from db.core.base import Declarations
from db.core.lifecycles import lifecycle_statements
from db.core.quotas import TableQuota, quota_statements
from db.core.rls import (
    access_statements,
    joint_statements,
    membership_statements,
    watch_statements,
)


def declared_statements(table: Table, model: type[Declarations]) -> Iterator[str]:
    """Row-level security, policies, grants and triggers of a new table, in order."""
    yield from access_statements(table, model.access)
    if model.watch is not None:
        yield from watch_statements(table, model.watch, model.access)
    if model.joint_topic is not None:
        yield from joint_statements(table, model.joint_topic, model.access)
    if model.group:
        yield from membership_statements(table, model.group)
    if isinstance(model.quota, TableQuota):
        yield from quota_statements(table, model.quota)
    if model.lifecycle is not None:
        yield from lifecycle_statements(table, model.lifecycle)
    for trigger in model.triggers:
        yield f"create trigger {trigger}"
