"""What an organization's calls came to, in the schema: by day, workflow or campaign."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any
from zoneinfo import available_timezones

import strawberry
from sqlalchemy import DateTime, Integer, Text, Uuid

from db.call_usage import operations
from db.core.errors import bad_input
from graph.campaigns import Campaign
from graph.credits import usage_period
from graph.engine.declare import column, related_row, report
from graph.engine.specs import Report
from graph.shared.relay import uuid_from_global_id
from graph.workflows import Workflow


@strawberry.enum(description="What calls are summed by.")
class CallUsageGrouping(Enum):
    """Groupings of calls."""

    DAY = strawberry.enum_value("DAY", description="A sum for each day, also for 0.")
    WORKFLOW = strawberry.enum_value(
        "WORKFLOW", description="A sum for each workflow, the busiest first, at most 100."
    )
    CAMPAIGN = strawberry.enum_value(
        "CAMPAIGN",
        description="A sum for each campaign, the busiest first, at most 100; calls that were "
        "asked for one by one are of none.",
    )


@strawberry.type(description="Calls of one day, workflow or campaign, and what they came to.")
class CallUsage:
    """A bar of the chart that a client draws."""

    day: datetime | None = column(description="When the day began; null unless summed by DAY.")
    workflow: Workflow | None = related_row(
        "workflow_id", description="The workflow; null unless summed by WORKFLOW."
    )
    campaign: Campaign | None = related_row(
        "campaign_id",
        description="The campaign; null unless summed by CAMPAIGN, and for calls that are of none.",
    )
    calls: int = column(description="How many were dialled.")
    completed: int = column(description="In how many there was a conversation.")
    voicemail: int = column(description="How many a machine answered.")
    busy: int = column(description="How many found the line busy.")
    no_answer: int = column(description="How many nobody answered.")
    failed: int = column(description="How many could not be made, or were called off.")
    duration_seconds: int = column(description="How long they were answered, together.")
    cost_cents: int = column(
        description="What they cost, as far as it is known, in US cents, rounded."
    )


def _time_zone(arguments: Mapping[str, Any]) -> str:
    found: str = arguments["timeZone"]
    if found not in available_timezones():
        raise bad_input("Name a time zone of the IANA database, such as Europe/Berlin.", "timeZone")
    return found


def _argument(description: str, name: str | None = None) -> Any:
    return strawberry.argument(description=description, name=name)


def call_usage_arguments(  # the engine itself answers
    self: Any,  # noqa: ARG001
    organization_id: Annotated[  # noqa: ARG001
        strawberry.ID, _argument("The organization's global id.")
    ],
    by: Annotated[CallUsageGrouping, _argument("What to sum by.")],  # noqa: ARG001
    from_: Annotated[  # noqa: ARG001
        datetime | None, _argument("Start of the period; 30 days before `to` if left out.", "from")
    ] = None,
    to: Annotated[  # noqa: ARG001
        datetime | None, _argument("End of the period, itself not part of it; now if left out.")
    ] = None,
    time_zone: Annotated[  # noqa: ARG001
        str, _argument("Whose days: a name of the IANA database, such as Europe/Berlin.")
    ] = "UTC",
) -> Any:
    """The arguments of `callUsage`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


def _organization(arguments: Mapping[str, Any]) -> Any:
    return uuid_from_global_id(arguments["organizationId"], "organization", "organizationId")


CALL_USAGE = Report(
    operations.CALL_USAGE,
    (
        (Uuid(), _organization),
        (Text(), lambda arguments: CallUsageGrouping(arguments["by"]).value),
        (Text(), _time_zone),
        (DateTime(timezone=True), lambda arguments: usage_period(arguments)[0]),
        (DateTime(timezone=True), lambda arguments: usage_period(arguments)[1]),
    ),
    (
        ("day", DateTime(timezone=True)),
        ("workflow_id", Uuid()),
        ("campaign_id", Uuid()),
        *(
            (name, Integer())
            for name in (
                "calls",
                "completed",
                "voicemail",
                "busy",
                "no_answer",
                "failed",
                "duration_seconds",
                "cost_cents",
            )
        ),
    ),
)


@strawberry.type
class CallUsageQuery:
    """Queries on what calls came to."""

    call_usage: list[CallUsage] = report(
        CALL_USAGE,
        call_usage_arguments,
        description="What an organization's calls came to, ready to be plotted: one item for each "
        "day from `from` to before `to`, at most 366, or for each workflow or campaign. Empty for "
        "who is no member of it.",
    )
