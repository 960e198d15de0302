"""The benchmark of PgBouncer runs: each way to the database answers, and only two have one between."""

from __future__ import annotations

import pytest

from bench.pooled import CHOSEN, DIRECT, measure, show
from tests.bouncer import find_bouncer


@pytest.mark.nightly
async def test_each_way_is_measured() -> None:
    find_bouncer(preparing=True)
    ways = await measure(rounds=1, seconds=0.3, users=5, say=lambda _: None)
    show(ways)
    for way in ways:
        assert way.rounds.keys() == set(CHOSEN)
        spent = [one for rounds in way.between_microseconds.values() for one in rounds]
        assert (sum(spent) > 0) is (way.server.name != DIRECT)
