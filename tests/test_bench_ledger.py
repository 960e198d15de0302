"""The ledger's benchmark runs: the API and pgbench both spend, from many wallets and from one."""

from __future__ import annotations

from bench.ledger import GOALS, measure


async def test_both_spend() -> None:
    pairs = await measure(users=3, rounds=1, seconds=1, say=lambda _: None)
    assert pairs.keys() == GOALS.keys()
    assert all(ours > 0 and theirs > 0 for ((ours, theirs),) in pairs.values())
