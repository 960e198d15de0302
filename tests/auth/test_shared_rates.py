"""What one process lets happen counts in the others, too."""

from __future__ import annotations

import time

import pytest

from auth.shared_rates import SharedRateLimit, SharedRates
from settings import Settings

SIZE, SECONDS = 1_000, 60.0


class Clock:
    """A clock that the test turns."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def process(settings: Settings, clock: Clock | None = None) -> tuple[SharedRates, SharedRateLimit]:
    rates = SharedRates.of(settings)
    return rates, rates.limit("cost", SIZE, SECONDS, clock or Clock())


def left(limit: SharedRateLimit, key: str) -> int:
    """How many of a key's there are."""
    return round(SIZE - limit.used_seconds(key) * SIZE / SECONDS)


def test_what_was_used_here_is_used_up_there(settings: Settings) -> None:
    (rates, here), (others, there) = process(settings), process(settings)
    assert rates.report() is None, "nothing was used"
    assert not here.use("ada", 600)
    assert not here.use("few", 9), "less than a hundredth is not worth telling"
    here.give_back("ada", 100)
    assert not here.use(("a", "pair"), 900), "what is no text stays here"
    report = rates.report()
    assert report is not None
    others.hear(report)
    assert (left(there, "ada"), left(there, "few")) == (500, 1_000)
    assert there.use("ada", 501) > 0
    assert not there.use("ada", 500)
    assert rates.report() is None, "each use is told once"
    back = others.report()
    assert back is not None, "what the other used, and not what it heard of"
    rates.hear(back)
    assert left(here, "ada") == 0


def test_uses_elsewhere_never_close_a_key_out_for_longer_than_two_windows(
    settings: Settings,
) -> None:
    clock = Clock()
    (rates, here), (others, there) = process(settings, clock), process(settings)
    for _ in range(10):
        clock.now += SECONDS
        here.use("ada", SIZE)
        report = rates.report()
        assert report is not None
        others.hear(report)
    assert there.used_seconds("ada") == 2 * SECONDS


@pytest.mark.parametrize("damage", ["other key", "changed", "cut", "no report", "empty", "unicode"])
def test_a_report_that_nobody_signed_changes_nothing(settings: Settings, damage: str) -> None:
    (rates, here), (others, there) = process(settings), process(settings)
    here.use("ada", SIZE)
    report = rates.report()
    assert report is not None
    if damage == "other key":
        forged = SharedRates(b"guessed")
        forged.limit("cost", SIZE, SECONDS, Clock()).use("ada", SIZE)
        made = forged.report()
        assert made is not None
        report = made
    damaged = {
        "changed": report[:-6] + ("A" if report[-6] != "A" else "B") + report[-5:],
        "cut": report[: len(report) // 2],
        "no report": "hello",
        "empty": "",
        "unicode": "ä",
    }
    others.hear(damaged.get(damage, report))
    assert left(there, "ada") == SIZE


def test_a_report_fits_into_a_notification_and_tells_the_most_used_first(
    settings: Settings,
) -> None:
    (rates, here), (others, there) = process(settings), process(settings)
    for number in range(500):
        here.use(f"{number:04}:" + "x" * 60, 10 + number)
    report = rates.report()
    assert report is not None
    assert len(report) < 7_900
    others.hear(report)
    assert left(there, "0499:" + "x" * 60) == SIZE - 509
    assert left(there, "0000:" + "x" * 60) == SIZE


def test_an_old_report_changes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (rates, here), (others, there) = process(settings), process(settings)
    here.use("ada", SIZE)
    report = rates.report()
    assert report is not None
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    others.hear(report)
    assert left(there, "ada") == SIZE
