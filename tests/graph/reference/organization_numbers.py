"""What an organization may have and has, as the reference makes it: from its plan, use and members."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from db.organization_plans.tables import UNLIMITED, OrganizationPlan, PlanUsage
from db.organizations.tables import OrganizationMember

from .rows import Reader, Row

# The types whose objects are an organization's numbers.
ORGANIZATION_NUMBERS = {
    "OrganizationLimits",
    "OrganizationUsage",
    "OrganizationWithinLimits",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = {"workflows": "WORKFLOWS", "campaigns": "CAMPAIGNS"} | dict.fromkeys(
    ("calls", "callsPerMonth", "callsThisMonth"), "CALLS"
)
COLUMNS = {
    "WORKFLOWS": "workflows",
    "CALLS": "calls_per_month",
    "CAMPAIGNS": "campaigns",
    "SEATS": "seats",
}


async def organization_number(reader: Reader, row: Row, type_name: str, name: str) -> Any:
    """A field of an organization's limits, use or room."""
    organization = row.values
    began, ends = _month(organization["usage_reset_day"], datetime.now(UTC))
    if name in ("periodStart", "resetsAt"):
        return began if name == "periodStart" else ends
    kind = KINDS.get(name, "SEATS")
    if type_name == "OrganizationUsage":
        return await _used(reader, row, kind, began)
    limit = await _limit(reader, organization, kind)
    if type_name == "OrganizationLimits":
        return limit
    return limit == UNLIMITED or await _used(reader, row, kind, began) < limit


async def _limit(reader: Reader, organization: Mapping[str, Any], kind: str) -> int:
    plan = await reader.row(OrganizationPlan, "OrganizationPlan", "id", organization["plan_id"])
    assert plan is not None
    limit: int = plan.values[COLUMNS[kind]]
    return limit if kind != "SEATS" or limit == UNLIMITED else limit * organization["seats"]


async def _used(reader: Reader, row: Row, kind: str, began: datetime) -> int:
    key, as_admin = row.values["id"], row.as_admin
    if kind == "SEATS":
        members = await reader.rows(
            OrganizationMember, "OrganizationMember", "organization_id", key, as_admin=as_admin
        )
        return sum(not member.values["is_robot"] for member in members)
    used = await reader.rows(
        PlanUsage, "OrganizationUsage", "organization_id", key, as_admin=as_admin
    )
    since = began if kind == "CALLS" else EPOCH
    return sum(
        one.values["used"]
        for one in used
        if (one.values["kind"], one.values["period_start"]) == (kind, since)
    )


def _month(reset_day: int, now: datetime) -> tuple[datetime, datetime]:
    """When the month of calls that a moment is in began, and when it ends."""
    first = now.replace(day=reset_day, hour=0, minute=0, second=0, microsecond=0)
    if first > now:
        return _moved(first, -1), first
    return first, _moved(first, 1)


def _moved(day: datetime, months: int) -> datetime:
    total = day.year * 12 + day.month - 1 + months
    return day.replace(year=total // 12, month=total % 12 + 1)
