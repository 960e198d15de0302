"""How much a developer's key may ask for in a minute, and what the headers say of it (5.4)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from auth.developer_keys import DeveloperKeys, developer_key_hash
from auth.shared_rates import SharedRateLimit, SharedRates
from db.developers.operations import FoundDeveloperKey
from settings import Settings


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class ClockedRates(SharedRates):
    """Shared limits by a test's clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(b"a secret")
        self.clock = clock

    def limit(
        self, name: str, size: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> SharedRateLimit:
        del clock
        return super().limit(name, size, seconds, self.clock)


def process(settings: Settings, clock: Clock) -> tuple[DeveloperKeys, SharedRates]:
    """The keys of a process, and the limits that it shares."""
    tokens: Any = SimpleNamespace(revoked=SimpleNamespace(on_revoked=lambda _: None))
    rates = ClockedRates(clock)
    nothing: Any = None
    return DeveloperKeys(nothing, tokens, settings, rates, clock), rates


def key_of(requests_per_minute: int, key_id: UUID | None = None) -> FoundDeveloperKey:
    return FoundDeveloperKey(key_id or uuid4(), uuid4(), requests_per_minute)


@pytest.mark.parametrize("allowed", [1, 7, 10, 30, 60, 120, 10_000])
def test_5_4_as_many_pass_as_the_headers_say(settings: Settings, allowed: int) -> None:
    clock, chance = Clock(), random.Random(allowed)
    keys, _ = process(settings, clock)
    key = key_of(allowed)
    for _ in range(20):
        clock.now += chance.random() * 90 / allowed * chance.choice([1, allowed])
        rate, refusal = keys.admit(key)
        if refusal is None:
            assert rate.limit == allowed
            passed = [keys.admit(key)[1] is None for _ in range(rate.remaining)]
            assert all(passed)
            rate, refusal = keys.admit(key)
        assert refusal is not None
        assert rate.remaining == 0
        # Whoever waits as long as they are told may go on, and has all of it back at the reset.
        clock.now += refusal.retry_after_seconds
        assert keys.admit(key)[1] is None
        rate, _ = keys.admit(key)
        clock.now = float(rate.resets_at)
        rate, refusal = keys.admit(key)
        assert (rate.remaining, refusal) == (allowed - 1, None)


def test_5_4_what_one_node_let_pass_counts_on_a_node_that_never_met_the_key(
    settings: Settings,
) -> None:
    clock = Clock()
    (here, rates), (there, others) = process(settings, clock), process(settings, clock)
    key = key_of(10)
    assert [here.admit(key)[1] is None for _ in range(11)] == [True] * 10 + [False]
    report = rates.report()
    assert report is not None
    others.hear(report)
    rate, refusal = there.admit(key)
    assert (rate.remaining, refusal is None) == (0, False)
    # Another key of the same tier is another's.
    assert there.admit(key_of(10))[1] is None


def test_5_4_a_tier_that_changes_takes_along_what_was_used(settings: Settings) -> None:
    keys, _ = process(settings, Clock())
    key = key_of(10)
    for _ in range(5):
        keys.admit(key)
    rate, _ = keys.admit(key_of(120, key.key_id))
    assert (rate.limit, rate.remaining) == (120, 59)


def test_5_5_only_the_first_refusal_of_a_minute_is_worth_keeping(settings: Settings) -> None:
    clock = Clock()
    keys, _ = process(settings, clock)
    key = key_of(1)
    assert [keys.admit(key)[0].is_over_again for _ in range(4)] == [False, False, True, True]
    clock.now += 61
    assert [keys.admit(key)[0].is_over_again for _ in range(3)] == [False, False, True]


def test_a_lost_answer_gives_the_same_key_again_and_nobody_else(settings: Settings) -> None:
    keys, _ = process(settings, Clock())
    somebody, other = uuid4(), uuid4()
    first = keys.new_key(somebody, "once")
    assert keys.new_key(somebody, "once") == first
    found = {
        keys.new_key(*asked).text
        for asked in ((somebody, "once"), (other, "once"), (somebody, "twice"), (somebody, None))
    }
    assert len(found) == 4
    assert all(len(one) == 35 and one.startswith("vb_") for one in found)
    assert first.hash == developer_key_hash(first.text)
    assert first.preview == first.text[:10]
