"""Plans of organizations in the schema: what each allows, and what an organization uses of it."""

from __future__ import annotations

from datetime import datetime

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    func,
    literal_column,
    or_,
)

from db.organization_plans import operations, tables
from db.organizations import tables as organization_tables
from graph.engine.declare import (
    backed_by,
    column,
    embedded,
    expression,
    global_id,
    related_row,
    rows,
)
from graph.engine.extending import extend
from graph.organizations import Organization
from graph.shared.relay import Node


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


def _limit(kind: str, description: str) -> int:
    field: int = expression(
        lambda row: operations.LIMIT.of(row.c.plan_id, _text(kind), row.c.seats, type_=Integer()),
        description=description,
    )
    return field


def _usage(kind: str, description: str) -> int:
    field: int = expression(lambda row: _used(row, kind), description=description)
    return field


def _used(row: FromClause, kind: str) -> ColumnElement[int]:
    used: ColumnElement[int] = operations.USAGE.of(
        row.c.id, _text(kind), row.c.usage_reset_day, type_=Integer()
    )
    return used


def _has_room(kind: str, description: str) -> bool:
    def has_room(row: FromClause) -> ColumnElement[bool]:
        limit = operations.LIMIT.of(row.c.plan_id, _text(kind), row.c.seats, type_=Integer())
        room = or_(limit == literal_column("-1"), _used(row, kind) < limit)
        return func.coalesce(room, literal_column("false", Boolean()))

    field: bool = expression(has_room, description=description)
    return field


@backed_by(tables.OrganizationPlan, prefix="organizationPlan")
class OrganizationPlan(Node):
    """What organizations subscribe to; a limit of -1 is none."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug, such as `starter`.")
    name: str = column(description="Its name.")
    workflows: int = column(description="How many workflows; -1 for any number.")
    calls_per_month: int = column(description="How many calls in a month; -1 for any number.")
    campaigns: int = column(description="How many campaigns; -1 for any number.")
    seats: int = column(
        description="How many members each seat that is subscribed brings; -1 for any number."
    )
    month_cents: int | None = column(
        description="Price of a month in hundredths of the currency; null when it is on request."
    )
    year_cents: int | None = column(description="Price of a year; null when it is on request.")
    currency: str = column(description="ISO 4217 code.")
    sort_order: int = column(description="Its rank, ascending.")
    is_active: bool = column(description="Whether it can be subscribed to.")


@backed_by(organization_tables.Organization)
class OrganizationLimits:
    """What an organization's plan allows; -1 for any number."""

    workflows: int = _limit("WORKFLOWS", "Workflows that are not archived.")
    calls_per_month: int = _limit("CALLS", "Calls in a month from the reset day on.")
    campaigns: int = _limit("CAMPAIGNS", "Campaigns.")
    seats: int = _limit("SEATS", "Members.")


@backed_by(organization_tables.Organization)
class OrganizationUsage:
    """What an organization has now."""

    workflows: int = _usage("WORKFLOWS", "Workflows that are not archived.")
    calls_this_month: int = _usage("CALLS", "Calls since `periodStart`.")
    campaigns: int = _usage("CAMPAIGNS", "Campaigns.")
    seats: int = _usage("SEATS", "Members.")
    period_start: datetime = expression(
        lambda row: operations.PERIOD_START.of(
            row.c.usage_reset_day, func.now(), type_=DateTime(timezone=True)
        ),
        description="Since when calls are counted: 00:00 UTC of the reset day.",
    )
    resets_at: datetime = expression(
        lambda row: operations.PERIOD_END.of(
            row.c.usage_reset_day, func.now(), type_=DateTime(timezone=True)
        ),
        description="When calls are counted from zero again.",
    )


@backed_by(organization_tables.Organization)
class OrganizationWithinLimits:
    """Whether an organization's plan has room for one more."""

    workflows: bool = _has_room("WORKFLOWS", "One more workflow.")
    calls: bool = _has_room("CALLS", "One more call this month.")
    campaigns: bool = _has_room("CAMPAIGNS", "One more campaign.")
    seats: bool = _has_room("SEATS", "One more member.")


extend(
    Organization,
    plan=related_row(
        "plan_id",
        returns=OrganizationPlan | None,
        description="The plan whose limits count now.",
    ),
    limits=embedded(returns=OrganizationLimits, description="What the plan allows."),
    usage=embedded(returns=OrganizationUsage, description="How much of it is used."),
    within_limits=embedded(
        returns=OrganizationWithinLimits, description="Whether there is room for one more."
    ),
)


@strawberry.type
class OrganizationPlansQuery:
    """Queries on organizations' plans."""

    organization_plans: list[OrganizationPlan] = rows(
        ("sort_order", "id"), description="Plans of organizations, by rank."
    )
