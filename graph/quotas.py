"""Quotas in the schema: how much the caller has stored, and how much they may."""

from __future__ import annotations

from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import BigInteger, Text

from db.quotas import operations
from graph.engine.declare import column, report
from graph.engine.specs import Report


@strawberry.enum(description="What is counted: everything of one kind that a user keeps.")
class QuotaSlice(Enum):
    """The counted tables."""

    GENERATIONS = strawberry.enum_value(
        "GENERATIONS", description="Make room with `deleteGeneration`."
    )
    NOTIFICATIONS = strawberry.enum_value(
        "NOTIFICATIONS", description="Beyond the limit the oldest are forgotten."
    )
    PROFILES = strawberry.enum_value("PROFILES", description="Make room with `deleteProfile`.")
    UPLOADS = strawberry.enum_value(
        "UPLOADS",
        description="Photos and masks, announced ones too. Make room with `deleteUpload`.",
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


def quotas() -> Any:
    """The field of a user that lists them."""
    return report(
        QUOTAS,
        _no_arguments,
        description="How much of each counted kind is stored, and how much may be. What would go "
        "beyond is refused with QUOTA_EXCEEDED.",
    )
