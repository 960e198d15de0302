"""When campaigns call, in time zones and over changes of the clock; and what their plans may say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from db.campaigns.contacts import ContactRow, ListUnreadable, WrongRow, read_contacts
from db.campaigns.rules import (
    DAYS,
    CallWindow,
    CampaignPlan,
    open_until,
    opens_at,
    problems_of_plan,
)

LONG = timedelta(days=2)
WORK = CallWindow(DAYS[:5], "09:00", "17:00")


def at(text: str) -> datetime:
    """A moment of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Windows, zone and moment; until when it is open, or when it opens.
HOURS: list[tuple[tuple[CallWindow, ...], str, str, str | None, str | None]] = [
    ((WORK,), "UTC", "2026-11-27T09:00", "2026-11-27T17:00", "2026-11-30T09:00"),
    ((WORK,), "UTC", "2026-11-27T08:59", None, "2026-11-27T09:00"),
    ((WORK,), "UTC", "2026-11-27T17:00", None, "2026-11-30T09:00"),
    ((WORK,), "Europe/Berlin", "2026-11-27T08:30", "2026-11-27T16:00", "2026-11-30T08:00"),
    ((WORK,), "America/Los_Angeles", "2026-11-28T00:30", "2026-11-28T01:00", "2026-11-30T17:00"),
    # The day that the clock is put back has 25 hours, and the one that it is put forward 23.
    (
        (CallWindow(DAYS, "00:00", "24:00"),),
        "Europe/Berlin",
        "2026-10-25T12:00",
        "2026-10-25T23:00",
        "2026-10-25T23:00",
    ),
    (
        (CallWindow(DAYS, "01:00", "03:00"),),
        "Europe/Berlin",
        "2026-03-29T00:30",
        "2026-03-29T01:00",
        "2026-03-29T23:00",
    ),
    (
        (CallWindow(("FRIDAY",), "09:00", "12:00"), CallWindow(("FRIDAY",), "11:00", "14:00")),
        "UTC",
        "2026-11-27T11:30",
        "2026-11-27T14:00",
        "2026-12-04T09:00",
    ),
]


@pytest.mark.parametrize(("windows", "zone", "moment", "until", "opens"), HOURS)
def test_hours_are_those_of_the_time_zone(
    windows: tuple[CallWindow, ...], zone: str, moment: str, until: str | None, opens: str | None
) -> None:
    now = at(moment)
    assert open_until(windows, zone, now, LONG) == (at(until) if until else None)
    assert opens_at(windows, zone, now) == (at(opens) if opens else None)


def test_without_windows_it_is_always_open_and_never_for_longer_than_asked() -> None:
    now, lease = at("2026-11-27T12:00"), timedelta(seconds=30)
    assert open_until((), "UTC", now, lease) == now + lease
    assert open_until((WORK,), "UTC", now, lease) == now + lease


def test_everything_wrong_with_a_plan_is_told() -> None:
    plan = CampaignPlan(
        name=" ",
        time_zone="Mars/Olympus",
        windows=(CallWindow((), "09:00", "08:00"), CallWindow(("MONDAY",), "9", "25:00")),
        starts_at=None,
        calls_per_second=float("nan"),
        concurrency=0,
        max_retries=11,
        retry_delay_seconds=-1,
        retry_on_busy=True,
        retry_on_no_answer=True,
        retry_on_voicemail=True,
    )
    assert [".".join(one.path[1:]) for one in problems_of_plan(plan)] == [
        "name",
        "timeZone",
        "windows.0.days",
        "windows.0",
        "windows.1",
        "callsPerSecond",
        "concurrency",
        "maxRetries",
        "retryDelaySeconds",
    ]


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ('+4930000001,x\n+4930000002,"un\nclosed', ["1", None, None]),
        ('+4930000001,"open\n+4930000002,x\n+4930000003,y\n', [None, "2", "3"]),
        ('+4930000001,"open\n+4930000002,x\n"+4930000003",y\n', [None, "2", "3"]),
        ('+4930000001,"open\n+4930000002,"open\n+4930000003,y\n', [None, None, "3"]),
        ('+4930000001,"two\nlines"\n+4930000002,x\n', ["1", "2"]),
    ],
)
def test_an_open_quote_takes_no_other_row_with_it(rows: str, numbers: list[str | None]) -> None:
    read = list(read_contacts(f"phone_number,a\n{rows}".encode()))
    assert [
        row.phone_number[-1] if isinstance(row, ContactRow) else None for row in read
    ] == numbers


def test_a_list_of_open_quotes_is_given_up() -> None:
    read = list(read_contacts(b"phone_number,a\n" + b'+4930000001,"a""\n' * 20_000))
    assert len(read) == 21
    assert isinstance(read[-1], WrongRow)
    assert "not read" in read[-1].message


def test_a_row_that_is_no_csv_takes_no_other_with_it() -> None:
    long = b'+4930000001,"' + b"+4930000009,x\n" * 20_000 + b'"'
    rows = list(read_contacts(b"phone_number,a\n" + long + b'\n+4930000002,"y"z\n+4930000003,z\n'))
    assert [(row.row_number, type(row)) for row in rows] == [
        (1, WrongRow), (2, WrongRow), (3, ContactRow),
    ]  # fmt: skip


def test_a_list_divided_by_semicolons_is_told_so() -> None:
    with pytest.raises(ListUnreadable, match="commas"):
        list(read_contacts(b"phone_number;a\n+4930000001;x"))


NO_LISTS = [b"", b"phone\n1", b"phone_number,\n1,2", b"phone_number\n\0", b"\xff"]


@pytest.mark.parametrize("data", NO_LISTS)
def test_what_is_no_list_is_refused_whole(data: bytes) -> None:
    with pytest.raises(ListUnreadable):
        list(read_contacts(data))
