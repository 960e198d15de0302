"""The benchmark of playing runs: activities are chosen, and every action comes to the other device."""

from __future__ import annotations

import pytest

from bench.play import measure, text

pytestmark = pytest.mark.usefixtures("prepared_benches")


async def test_every_action_comes_to_the_other_device() -> None:
    figures = await measure(activities=200, draws=4, pairs=2, pause=0.5, seconds=1, rounds=1)
    assert (len(figures.chosen), len(figures.answered), len(figures.delivered)) == (4, 4, 4)
    assert figures.missing == 0
    assert min(*figures.shares.ours, *figures.shares.bare) > 0
    page = text(figures, activities=200, pairs=2, pause=0.5)
    assert f"{figures.shares.share:.2f}×" in page
    assert page.count("\n| ") == 5
