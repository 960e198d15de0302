"""Entitlements in the schema: what a user may use by what they bought, wherever that was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import Boolean, DateTime, Text

from db.entitlements import operations
from graph.accounts import User
from graph.engine.declare import column, report
from graph.engine.extending import extend
from graph.engine.specs import Report


@strawberry.type(
    description="Something that a user may use, or could before, by what they bought: in an app "
    "store, or as a plan."
)
class Entitlement:
    """An item of the report."""

    name: str = column(
        description="What the app knows it by: RevenueCat's identifier, or the plan's slug."
    )
    is_active: bool = column(description="Whether it can be used now.")
    expires_at: datetime | None = column(
        description="Until when, a grace after a failed payment included; null without an end."
    )
    will_renew: bool | None = column(
        description="Whether its store will renew it; null for what no store sold."
    )
    has_billing_issue: bool = column(
        description="Whether the last payment failed: it goes on for a while, to be put right."
    )
    store: str | None = column(
        description="Which store sold it, such as APP_STORE; null for a plan bought elsewhere."
    )
    product_id: str | None = column("product", description="The store's own name of the product.")


def no_arguments(self: Any) -> Any:  # noqa: ARG001 - the engine itself answers
    """`entitlements` takes none."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


extend(
    User,
    entitlements=report(
        Report(
            operations.ENTITLEMENTS,
            (),
            (
                ("name", Text()),
                ("is_active", Boolean()),
                ("expires_at", DateTime(timezone=True)),
                ("will_renew", Boolean()),
                ("has_billing_issue", Boolean()),
                ("store", Text()),
                ("product", Text()),
            ),
        ),
        no_arguments,
        returns=list[Entitlement],
        description="What the user may use, or could before, by name: of each what lasts longest.",
    ),
)
