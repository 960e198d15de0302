"""When a campaign calls, and how it is set up: pure decisions, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from db.campaigns.tables import LIST_LIMIT_BYTES
from db.core.errors import DomainError, ErrorCode, bad_input
from db.core.texts import is_visible_line

WINDOWS_LIMIT = 21
# A campaign that opens in none of these days never does.
DAYS_AHEAD = 8
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


@dataclass(frozen=True, slots=True)
class CallWindow:
    """Hours of some weekdays, `begins` and `ends` as in 09:00; 24:00 is the end of a day."""

    days: tuple[str, ...]
    begins: str
    ends: str

    def stored(self) -> dict[str, object]:
        """The window as its column holds it."""
        return {"days": list(self.days), "begins": self.begins, "ends": self.ends}


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """How a campaign is to call."""

    name: str
    time_zone: str
    windows: tuple[CallWindow, ...]
    starts_at: datetime | None
    calls_per_second: float
    concurrency: int
    max_retries: int
    retry_delay_seconds: int
    retry_on_busy: bool
    retry_on_no_answer: bool
    retry_on_voicemail: bool


@cache
def _zones() -> frozenset[str]:
    # These two are no place's: what this machine is set to, and a clock that was never set.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _minutes(clock: str) -> int | None:
    """Minutes since midnight of a time as in 09:00; None for what is none."""
    hours, colon, minutes = clock.partition(":")
    if colon != ":" or not (clock.isascii() and len(clock) == 5 and hours.isdigit()):
        return None
    if not minutes.isdigit() or int(minutes) > 59:
        return None
    total = int(hours) * 60 + int(minutes)
    return total if total <= 24 * 60 else None


def problems_of_plan(plan: CampaignPlan) -> Iterator[DomainError]:
    """Everything wrong with how a campaign is to call."""
    name = plan.name.strip()
    if not 1 <= len(name) <= 255 or not is_visible_line(name):
        yield bad_input("name must be one line of 1 to 255 characters.", "input", "name")
    if plan.time_zone not in _zones():
        message = "timeZone must be a name of the IANA database, such as Europe/Berlin."
        yield bad_input(message, "input", "timeZone")
    if len(plan.windows) > WINDOWS_LIMIT:
        yield bad_input(f"There may be at most {WINDOWS_LIMIT} windows.", "input", "windows")
    for n, window in enumerate(plan.windows[:WINDOWS_LIMIT]):
        yield from _problems_of_window(n, window)
    bounds: tuple[tuple[str, float, float, float], ...] = (
        ("callsPerSecond", plan.calls_per_second, 0.01, 100),
        ("concurrency", plan.concurrency, 1, 1_000),
        ("maxRetries", plan.max_retries, 0, 10),
        ("retryDelaySeconds", plan.retry_delay_seconds, 0, 604_800),
    )
    for field, value, lowest, highest in bounds:
        # What is no number is in no range.
        if not lowest <= value <= highest:
            yield bad_input(f"{field} must be {lowest} to {highest}.", "input", field)


def _problems_of_window(n: int, window: CallWindow) -> Iterator[DomainError]:
    path = ("input", "windows", str(n))
    if not window.days:
        yield bad_input("A window is for one weekday at least.", *path, "days")
    begins, ends = _minutes(window.begins), _minutes(window.ends)
    if begins is None or ends is None or begins >= ends:
        yield bad_input("A window begins and ends on one day, as in 09:00 to 17:30.", *path)


def problems_of_size(size_bytes: int) -> Iterator[DomainError]:
    """What is wrong with how large a list of contacts is to be."""
    path = ("input", "sizeBytes")
    if size_bytes == 0:
        yield DomainError(ErrorCode.EMPTY_FILE, "The file is empty. Choose another.", path)
    elif size_bytes < 0:
        yield bad_input("A file has at least 1 byte.", *path)
    elif size_bytes > LIST_LIMIT_BYTES:
        yield DomainError(ErrorCode.LIMIT_EXCEEDED, "A list may have at most 10 MiB.", path)


def _moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """A time of a day in a zone; one that a change of the clock leaves out is the next there is."""
    day += timedelta(days=minutes // (24 * 60))
    clock = time(minutes // 60 % 24, minutes % 60)
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _openings(
    windows: Sequence[CallWindow], zone: ZoneInfo, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    today = now.astimezone(zone).date()
    for ahead in range(-1, DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        for window in windows:
            begins, ends = _minutes(window.begins), _minutes(window.ends)
            if DAYS[day.weekday()] in window.days and begins is not None and ends is not None:
                yield _moment(day, begins, zone), _moment(day, ends, zone)


def open_until(
    windows: Sequence[CallWindow], time_zone: str, now: datetime, at_most: timedelta
) -> datetime | None:
    """Until when a campaign may call without a further look; None while it may not."""
    longest = now + at_most
    if not windows:
        return longest
    ends = [
        end for begin, end in _openings(windows, ZoneInfo(time_zone), now) if begin <= now < end
    ]
    return min(max(ends), longest) if ends else None


def opens_at(windows: Sequence[CallWindow], time_zone: str, now: datetime) -> datetime | None:
    """When a campaign that may not call now may again."""
    begins = [begin for begin, _ in _openings(windows, ZoneInfo(time_zone), now) if begin > now]
    return min(begins, default=None)
