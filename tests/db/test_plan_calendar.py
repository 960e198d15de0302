"""The calendar of plans as a table: months from an anchor, credits within a period, parts of months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest


def moment(text: str) -> datetime:
    """A time in UTC, written short."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# An anchor, and the beginnings of the months that follow.
MONTHS = [
    ("2027-01-31 10:00", ["2027-02-28 10:00", "2027-03-31 10:00", "2027-04-30 10:00"]),
    ("2028-01-31 10:00", ["2028-02-29 10:00", "2028-03-31 10:00", "2028-04-30 10:00"]),
    ("2027-01-30 00:00", ["2027-02-28 00:00", "2027-03-30 00:00", "2027-04-30 00:00"]),
    ("2027-01-29 00:00", ["2027-02-28 00:00", "2027-03-29 00:00", "2027-04-29 00:00"]),
    ("2028-02-29 23:59:59.999999", ["2028-03-29 23:59:59.999999", "2028-04-29 23:59:59.999999"]),
    ("2026-12-15 08:30", ["2027-01-15 08:30", "2027-02-15 08:30", "2027-03-15 08:30"]),
    ("2027-08-31 00:00", ["2027-09-30 00:00", "2027-10-31 00:00", "2027-11-30 00:00"]),
]


@pytest.mark.parametrize(("anchor", "months"), MONTHS)
async def test_months_are_counted_from_their_anchor(
    owner: asyncpg.Connection, anchor: str, months: list[str]
) -> None:
    at = moment(anchor)
    for month in months:
        following = await owner.fetchval("select app.next_plan_month($1, $2)", moment(anchor), at)
        assert following == moment(month)
        for inside in (at, following - timedelta(microseconds=1)):
            began = await owner.fetchval("select app.plan_month_of($1, $2)", moment(anchor), inside)
            assert began == at
        at = following


async def test_a_leap_day_comes_again_every_four_years(owner: asyncpg.Connection) -> None:
    anchor = moment("2028-02-29 12:00")
    found = [await owner.fetchval("select app.plan_month($1, $2)", anchor, 12 * n) for n in (1, 4)]
    assert found == [moment("2029-02-28 12:00"), moment("2032-02-29 12:00")]


async def test_months_are_the_same_in_every_time_zone(owner: asyncpg.Connection) -> None:
    anchor, at = moment("2027-01-31 23:30"), moment("2027-02-10")
    for zone in ("UTC", "America/Los_Angeles", "Pacific/Auckland", "Europe/Berlin"):
        await owner.execute(f"set timezone = '{zone}'")
        assert await owner.fetchval("select app.next_plan_month($1, $2)", anchor, at) == moment(
            "2027-02-28 23:30"
        )


async def test_every_moment_lies_in_its_month(owner: asyncpg.Connection) -> None:
    # Each day of more than four years as an anchor and as a moment behind it.
    wrong = await owner.fetch(
        "select a, t from generate_series('2027-01-01 06:00+00'::timestamptz, '2027-03-31', '1 day') a,"
        " generate_series('2027-01-01 03:00+00'::timestamptz, '2031-03-05', '9 days') t"
        " where t >= a and not (app.plan_month_of(a, t) <= t and t < app.next_plan_month(a, t)"
        " and app.next_plan_month(a, t) - app.plan_month_of(a, t)"
        " between interval '28 days' and interval '31 days')"
    )
    assert wrong == []


# An anchor, a moment, when the period ends, and when credits are due next.
DUE = [
    # A month of the calendar.
    ("2027-01-31", "2027-01-31", "2027-02-28", "2027-02-28"),
    ("2027-01-31", "2027-02-28", "2027-03-31", "2027-03-31"),
    # A year: each month, the last to its end.
    ("2027-01-31", "2027-01-31", "2028-01-31", "2027-02-28"),
    ("2027-01-31", "2027-12-31", "2028-01-31", "2028-01-31"),
    # Thirty days of a provider's that reach over February: one month.
    ("2027-01-31", "2027-01-31", "2027-03-02", "2027-03-02"),
    # A year that a provider began a few days before it told of it: twelve months all the same.
    ("2027-02-03", "2027-12-10", "2028-01-31", "2028-01-03"),
    ("2027-02-03", "2028-01-03", "2028-01-31", "2028-01-31"),
    # A week.
    ("2027-01-31", "2027-01-31", "2027-02-07", "2027-02-07"),
    # Without an end.
    ("2027-01-31", "2027-02-01", None, "2027-02-28"),
    # Nothing is paid any more: it has been due since the end.
    ("2027-01-31", "2027-03-05", "2027-02-28", "2027-02-28"),
]


@pytest.mark.parametrize(("anchor", "at", "ends_at", "due"), DUE)
async def test_when_credits_are_due_next(
    owner: asyncpg.Connection, anchor: str, at: str, ends_at: str | None, due: str
) -> None:
    found = await owner.fetchval(
        "select app.next_plan_credits($1, $2, $3)",
        moment(anchor),
        moment(at),
        moment(ends_at) if ends_at else None,
    )
    assert found == moment(due)


# An anchor, two moments, and how many months lie between them.
BETWEEN = [
    ("2027-01-31", "2027-01-31", "2027-02-28", "1"),
    ("2027-01-31", "2027-02-14", "2027-02-28", "0.5"),
    ("2027-01-31", "2027-02-14", "2027-03-31", "1.5"),
    ("2027-01-01", "2027-01-16 12:00", "2027-04-16", "3"),
    ("2027-01-01", "2027-01-01", "2028-01-01", "12"),
    ("2027-01-01", "2027-01-05", "2027-01-05", "0"),
    ("2027-01-01", "2027-02-05", "2027-01-05", "0"),
]


@pytest.mark.parametrize(("anchor", "at", "until", "months"), BETWEEN)
async def test_parts_of_months(
    owner: asyncpg.Connection, anchor: str, at: str, until: str, months: str
) -> None:
    left = await owner.fetchval(
        "select app.plan_months_left($1, $2, $3)", moment(anchor), moment(at), moment(until)
    )
    assert abs(left - Decimal(months)) < Decimal("1e-6")
