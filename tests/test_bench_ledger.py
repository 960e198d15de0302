"""The ledger's benchmark runs: the API and pgbench both spend, from many wallets and from one."""

from __future__ import annotations

import pytest

from bench.ledger import GOALS, OURS_NAME, PGBENCH, measure


@pytest.mark.nightly
async def test_both_spend() -> None:
    measured = await measure(wallets=3, rounds=1, seconds=1, say=lambda _: None)
    assert measured.keys() == GOALS.keys()
    for turns in measured.values():
        assert turns.keys() == {OURS_NAME, PGBENCH}
        for (turn,) in turns.values():
            assert turn.spends_per_second > 0
            assert turn.database_microseconds > 0
