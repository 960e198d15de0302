"""What a user may use, as the reference makes it: of each name what lasts longest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db.entitlements.tables import ProviderEntitlement
from db.plans.tables import PlanSubscription

from .rows import Reader, Row

FOR_EVER = datetime.max.replace(tzinfo=UTC)


async def entitlements(reader: Reader, user_id: UUID) -> list[Row]:
    """Those of app stores, and the plan's."""
    now = datetime.now(UTC)
    bought = await reader.rows(
        ProviderEntitlement, "Entitlement", "user_id", user_id, as_admin=True
    )
    plans = await reader.rows(PlanSubscription, "Entitlement", "user_id", user_id, as_admin=True)
    found: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for row in bought:
        grace = row.values["grace_ends_at"]
        ends = [end for end in (row.values["expires_at"], grace) if end is not None]
        until = max(ends) if ends else FOR_EVER
        issue = None if grace is None else grace > now
        _keep(found, until, row.values | {"has_billing_issue": issue or False})
    for row in plans:
        plan, is_over = row.values, row.values["status"] == "ENDED"
        end = plan["grace_ends_at"] or plan["current_period_end"] or FOR_EVER
        told = {
            "name": plan["plan_id"],
            "will_renew": None,
            "has_billing_issue": plan["status"] == "PAST_DUE",
            "store": None,
            "product": None,
        }
        _keep(found, plan["ended_at"] if is_over else end, told)
    return [
        Row(
            "Entitlement",
            values | {"is_active": until > now, "expires_at": None if until == FOR_EVER else until},
        )
        for _, (until, values) in sorted(found.items())
    ]


def _keep(
    found: dict[str, tuple[datetime, dict[str, Any]]], until: datetime, values: dict[str, Any]
) -> None:
    name = values["name"]
    if name not in found or until > found[name][0]:
        found[name] = until, values
