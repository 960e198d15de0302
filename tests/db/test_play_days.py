"""When a player's day ends: midnight where they are, changes of clocks and of zones included."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import pytest


def at(moment: str) -> datetime:
    """A moment."""
    return datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("now", "zone", "midnight"),
    [
        ("2026-01-31T12:00Z", "UTC", "2026-02-01T00:00Z"),
        ("2026-01-31T12:00Z", None, "2026-02-01T00:00Z"),
        ("2026-01-31T12:00Z", "Mars/Olympus", "2026-02-01T00:00Z"),
        ("2026-01-31T00:00Z", "UTC", "2026-02-01T00:00Z"),
        ("2026-01-31T12:00Z", "Pacific/Auckland", "2026-02-01T11:00Z"),
        ("2026-01-31T12:00Z", "Asia/Kolkata", "2026-01-31T18:30Z"),
        # 23 and 25 hours long.
        ("2026-03-28T23:00Z", "Europe/Berlin", "2026-03-29T22:00Z"),
        ("2026-10-24T22:00Z", "Europe/Berlin", "2026-10-25T23:00Z"),
        # By half an hour.
        ("2026-04-04T13:00Z", "Australia/Lord_Howe", "2026-04-05T13:30Z"),
        ("2026-10-03T13:30Z", "Australia/Lord_Howe", "2026-10-04T13:00Z"),
        ("2026-03-08T03:30Z", "America/St_Johns", "2026-03-09T02:30Z"),
        # A day that begins at one o'clock, since its midnight is left out.
        ("2026-04-23T12:00Z", "Africa/Cairo", "2026-04-23T22:00Z"),
        # Days whose midnight comes twice begin at the first one.
        ("2026-10-24T12:00Z", "Atlantic/Azores", "2026-10-25T00:00Z"),
        ("2026-10-25T00:00Z", "Atlantic/Azores", "2026-10-26T01:00Z"),
        ("2026-10-25T00:59Z", "Atlantic/Azores", "2026-10-26T01:00Z"),
        ("2026-10-31T12:00Z", "America/Havana", "2026-11-01T04:00Z"),
        ("2026-11-01T04:30Z", "America/Havana", "2026-11-02T05:00Z"),
    ],
)
async def test_the_next_midnight(
    owner: asyncpg.Connection, now: str, zone: str | None, midnight: str
) -> None:
    found = await owner.fetchval("select app.next_midnight($1, $2)", at(now), zone)
    assert found == at(midnight)


@pytest.mark.parametrize(
    ("zone", "earlier_end", "earlier_zone", "end"),
    [
        # At noon UTC. The same zone, and none before.
        ("UTC", None, None, "2026-06-11T00:00Z"),
        ("UTC", "2026-06-10T00:00Z", "UTC", "2026-06-11T00:00Z"),
        # Westward: from Auckland, whose day has just ended, to Los Angeles.
        ("America/Los_Angeles", "2026-06-10T12:00Z", "Pacific/Auckland", "2026-06-12T07:00Z"),
        # Eastward: what is left of the day there is no day.
        ("Asia/Tokyo", "2026-06-10T00:00Z", "UTC", "2026-06-11T15:00Z"),
        # Long ago.
        ("Asia/Tokyo", "2026-06-01T00:00Z", "UTC", "2026-06-10T15:00Z"),
    ],
)
async def test_a_changed_zone_gives_no_second_day(
    owner: asyncpg.Connection,
    zone: str,
    earlier_end: str | None,
    earlier_zone: str | None,
    end: str,
) -> None:
    found = await owner.fetchval(
        "select app.end_of_day($1, $2, $3, $4)",
        at("2026-06-10T12:00Z"), zone, earlier_end and at(earlier_end), earlier_zone,
    )  # fmt: skip
    assert found == at(end)


async def test_travelling_every_day_gives_no_more_days(owner: asyncpg.Connection) -> None:
    zones = ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata", "America/St_Johns"]
    now, end, zone = at("2026-03-01T00:00Z"), None, None
    for n in range(60):
        earlier = end
        end = await owner.fetchval(
            "select app.end_of_day($1, $2, $3, $4)", end or now, zones[n % 4], end, zone
        )
        zone = zones[n % 4]
        assert earlier is None or (end - earlier).total_seconds() >= 23 * 3600
