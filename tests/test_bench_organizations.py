"""The benchmark of organizations runs, and compares what does the same."""

from __future__ import annotations

import pytest

from bench.figures import Options
from bench.organizations import measure_organizations

OPTIONS = Options(users=30, busy_users=4, connections=1, rounds=2, seconds=0.2)


@pytest.mark.nightly
async def test_both_are_measured_with_and_without() -> None:
    found = await measure_organizations(OPTIONS, lambda _: None)
    assert len(found) == 2
    assert all(len(one.ratios) == 2 and min(one.ratios) > 0 for one in found)
