"""Quotas in the schema: how much the caller has stored, and how much they may."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

import strawberry
from sqlalchemy import BigInteger, Text

from db.core.quotas import TableQuota
from db.core.registry import models
from db.quotas import operations
from graph.accounts import User
from graph.engine.declare import column, report
from graph.engine.extending import extend
from graph.engine.specs import Report


def _counted_tables() -> Iterator[tuple[str, Any]]:
    for table, model in sorted(models().items()):
        if isinstance(model.quota, TableQuota):
            name = table.upper()
            yield name, strawberry.enum_value(name, description=model.quota.description)


if TYPE_CHECKING:
    QuotaSlice = Enum
else:
    QuotaSlice = strawberry.enum(
        Enum("QuotaSlice", list(_counted_tables())),
        description="What is counted: everything of one kind that a user keeps.",
    )


@strawberry.type(description="How much of one kind a user has stored, and may store.")
class Quota:
    """A counted slice of one user."""

    slice: QuotaSlice = column(description="What is counted.")
    rows_used: int = column(description="How many there are now.")
    rows_limit: int = column(description="How many there may be: by plan, fewer for guests.")
    bytes_used: float = column(
        description="Bytes they take: of photos as they are stored, of anything else its texts and "
        "JSON, uncompressed. A whole number that may be too large for an `Int`."
    )
    bytes_limit: float = column(description="Bytes they may take.")


def _no_arguments(self: Any) -> Any:  # noqa: ARG001 - the engine itself answers
    raise AssertionError("the engine answers reports")  # pragma: no cover


QUOTAS = Report(
    operations.QUOTAS,
    (),
    (
        ("slice", Text()),
        ("rows_used", BigInteger()),
        ("rows_limit", BigInteger()),
        ("bytes_used", BigInteger()),
        ("bytes_limit", BigInteger()),
    ),
)


extend(
    User,
    after="notifications",
    quotas=report(
        QUOTAS,
        _no_arguments,
        returns=list[Quota],
        description="How much of each counted kind is stored, and how much may be. What would go "
        "beyond is refused with QUOTA_EXCEEDED.",
    ),
)
