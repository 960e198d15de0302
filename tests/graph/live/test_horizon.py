"""As of when every change was told of: never later than it was."""

from __future__ import annotations

import random

from graph.live.event_log import Head
from graph.live.horizon import Horizon


def head(*, newest: int, xmin: int) -> Head:
    return Head(1, xmin, max(newest, xmin) + 1, newest, newest >= xmin, (0, 0))


def test_what_waits_for_an_open_transaction_is_not_told_of() -> None:
    horizon = Horizon()
    assert horizon.known_until is None
    horizon.note(1.0, head(newest=5, xmin=6), is_all=True)
    assert horizon.known_until == 1.0
    # One is open at 7; 8 is committed behind it.
    horizon.note(2.0, head(newest=8, xmin=7), is_all=True)
    assert horizon.known_until == 1.0
    # Another began meanwhile: the first being over is not enough for what came later.
    horizon.note(3.0, head(newest=12, xmin=9), is_all=True)
    assert horizon.known_until == 2.0
    horizon.note(4.0, head(newest=12, xmin=13), is_all=True)
    assert horizon.known_until == 4.0


def test_a_part_of_what_there_is_says_nothing() -> None:
    horizon = Horizon()
    horizon.note(1.0, head(newest=5, xmin=6), is_all=True)
    horizon.note(2.0, head(newest=900, xmin=901), is_all=False)
    assert horizon.known_until == 1.0
    horizon.forget()
    assert horizon.known_until is None


def test_it_is_never_later_than_the_oldest_change_that_was_not_given() -> None:
    chance = random.Random(7)
    for _ in range(200):
        horizon = Horizon()
        open_since: dict[int, float] = {}
        committed: dict[int, float] = {}
        given: set[int] = set()
        next_xid, now = 1, 0.0
        for _ in range(300):
            now += chance.random() * 0.02
            action = chance.random()
            if action < 0.4:
                open_since[next_xid] = now
                next_xid += 1
            elif action < 0.7 and open_since:
                xid = chance.choice(list(open_since))
                del open_since[xid]
                committed[xid] = now
            else:
                xmin = min(open_since, default=next_xid)
                newest = max(committed, default=0)
                # A batch may be full, so that only some of what is settled is given.
                settled = sorted(xid for xid in committed if xid < xmin and xid not in given)
                most = chance.choice([2, 1_000])
                given |= set(settled[:most])
                horizon.note(now, head(newest=newest, xmin=xmin), is_all=len(settled) < most)
            untold = [moment for xid, moment in committed.items() if xid not in given]
            if horizon.known_until is not None and untold:
                assert horizon.known_until <= min(untold)
