"""Monitoring in the schema, for admins: alerts, use day by day and traffic hour by hour."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import ARRAY, Boolean, DateTime, Double, Integer, Text

from db.monitoring import operations, tables
from graph.engine.declare import (
    backed_by,
    column,
    computed,
    global_id,
    report,
    rows,
    state_enum,
)
from graph.engine.specs import Report
from graph.shared.relay import Node
from graph.shared.traffic import BUCKETS

state_enum(tables.AlertStatus)


@backed_by(tables.Alert, prefix="alert")
class Alert(Node):
    """Something that is watched, and whether it is beyond its limit."""

    id: strawberry.ID = global_id()

    @computed("id", description="What is watched, in words.")
    def title(self: Any) -> str:
        """Read anew each time: words are no data."""
        return operations.alert_kind(self.id).title

    @computed("id", description="What `measured` and `threshold` are in: seconds, share or count.")
    def unit(self: Any) -> str:
        """A share is between 0 and 1."""
        return operations.alert_kind(self.id).unit

    status: tables.AlertStatus = column(description="Whether it is within its limit.")
    measured: float | None = column(
        description="What was measured last; null when there was too little to measure."
    )
    threshold: float = column(description="The limit.")
    changed_at: datetime | None = column(
        description="Since when the status is as it is; null when it was never another."
    )
    checked_at: datetime = column(description="When it was measured last.")


@strawberry.type(description="How the product was used on a day.")
class DailyUsage:
    """A bar of each chart that is drawn by day."""

    day: datetime = column(description="When the day began (UTC).")
    credits_used: int = column(
        description="Credits used up, by everybody; refunds taken off. What is used without being "
        "charged, by whom has unlimited credits, is not among them."
    )
    generations: int = column(description="Attempts at generations.")
    generations_failed: int = column(
        description="How many of them neither succeeded nor were cancelled."
    )
    replies: int = column(description="Attempts at replies and analyses by language models.")
    replies_failed: int = column(
        description="How many of them neither succeeded nor were cancelled."
    )
    cost_micro_usd: float = column(
        description="What all of it cost, in millionths of a US dollar: a whole number."
    )
    latency_milliseconds: int | None = column(
        description="The 95th of 100 times that AI providers took, of replies until the first "
        "words; null on a day when none was asked."
    )


@strawberry.type(description="How the API answered in an hour, all processes together.")
class HourlyTraffic:
    """A point of each chart that is drawn by hour."""

    hour: datetime = column(description="When the hour began.")
    answered: int = column(description="Operations answered over HTTP.")
    failed: int = column(description="How many ended in a fault of the server or of a provider.")
    median_milliseconds: float | None = column(
        description="Half of them took no longer, about; null when there were none."
    )
    slowest_milliseconds: float | None = column(
        description="95 of 100 took no longer, about; null when there were none."
    )


@strawberry.type(description="The jobs of one kind that are in line or under way.")
class QueuedJobs:
    """A line of the queue."""

    entrypoint: str = column(description="What they do, such as run_ai.")
    waiting: int = column(description="How many could be begun now.")
    deferred: int = column(description="How many are to be begun later.")
    running: int = column(description="How many workers are at.")
    waiting_since: datetime | None = column(
        description="Since when the first of them could be begun; null when none waits."
    )
    running_since: datetime | None = column(
        description="Since when a worker is at the longest of them; null when none is."
    )


@strawberry.type(description="Credits that are held for work under way.")
class OpenHold:
    """A hold that has not ended."""

    user_id: strawberry.ID = column(description="Whose credits: a global id.")
    amount: int = column(description="How many.")
    reference: str | None = column(description="What they are held for.")
    unlimited: bool = column(description="Whether the user has unlimited credits.")
    held_at: datetime = column(description="Since when.")
    expires_at: datetime = column(description="When they are free again, if nothing ends it.")


def job_queue_arguments(self: Any) -> Any:  # noqa: ARG001 - the engine itself answers
    """`jobQueue` takes none."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


def open_holds_arguments(  # the engine itself answers
    self: Any,  # noqa: ARG001
    at_most: Annotated[  # noqa: ARG001
        int, strawberry.argument(description="How many, at most; 1 to 200.")
    ] = 100,
) -> Any:
    """The arguments of `openHolds`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


def usage_by_day_arguments(  # the engine itself answers
    self: Any,  # noqa: ARG001
    days: Annotated[  # noqa: ARG001
        int, strawberry.argument(description="How many, today included; 1 to 90.")
    ] = 30,
) -> Any:
    """The arguments of `usageByDay`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


def traffic_by_hour_arguments(
    self: Any,  # noqa: ARG001
    hours: Annotated[  # noqa: ARG001
        int, strawberry.argument(description="How many, this one included; 1 to 168.")
    ] = 48,
) -> Any:
    """The arguments of `trafficByHour`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


USAGE_BY_DAY = Report(
    operations.USAGE_BY_DAY,
    ((Integer(), lambda arguments: arguments["days"]),),
    (
        ("day", DateTime(timezone=True)),
        ("credits_used", Integer()),
        ("generations", Integer()),
        ("generations_failed", Integer()),
        ("replies", Integer()),
        ("replies_failed", Integer()),
        ("cost_micro_usd", Double()),
        ("latency_milliseconds", Integer()),
    ),
    for_admins=True,
)
TRAFFIC_BY_HOUR = Report(
    operations.TRAFFIC_BY_HOUR,
    (
        (Integer(), lambda arguments: arguments["hours"]),
        (ARRAY(Double()), lambda _: list(BUCKETS)),
    ),
    (
        ("hour", DateTime(timezone=True)),
        ("answered", Integer()),
        ("failed", Integer()),
        ("median_milliseconds", Double()),
        ("slowest_milliseconds", Double()),
    ),
    for_admins=True,
)
JOB_QUEUE = Report(
    operations.JOB_QUEUE,
    (),
    (
        ("entrypoint", Text()),
        ("waiting", Integer()),
        ("deferred", Integer()),
        ("running", Integer()),
        ("waiting_since", DateTime(timezone=True)),
        ("running_since", DateTime(timezone=True)),
    ),
    for_admins=True,
)
OPEN_HOLDS = Report(
    operations.OPEN_HOLDS,
    ((Integer(), lambda arguments: arguments["atMost"]),),
    (
        ("user_id", Text()),
        ("amount", Integer()),
        ("reference", Text()),
        ("unlimited", Boolean()),
        ("held_at", DateTime(timezone=True)),
        ("expires_at", DateTime(timezone=True)),
    ),
    for_admins=True,
)


@strawberry.type
class MonitoringQuery:
    """Queries of the operator's."""

    alerts: list[Alert] | None = rows(
        ("id",),
        for_admins=True,
        description="What is watched, and what is beyond its limit. Measured every minute. For "
        "admins; FORBIDDEN for others.",
    )
    usage_by_day: list[DailyUsage] | None = report(
        USAGE_BY_DAY,
        usage_by_day_arguments,
        description="How the product was used, for each of the last UTC days. For admins; "
        "FORBIDDEN for others.",
    )
    traffic_by_hour: list[HourlyTraffic] | None = report(
        TRAFFIC_BY_HOUR,
        traffic_by_hour_arguments,
        description="How the API answered, for each of the last hours; kept for seven days. For "
        "admins; FORBIDDEN for others.",
    )
    job_queue: list[QueuedJobs] | None = report(
        JOB_QUEUE,
        job_queue_arguments,
        description="The jobs that wait and are under way, by kind. For admins; FORBIDDEN for "
        "others.",
    )
    open_holds: list[OpenHold] | None = report(
        OPEN_HOLDS,
        open_holds_arguments,
        description="Credits that are held for work under way, what ends soonest first. For "
        "admins; FORBIDDEN for others.",
    )
