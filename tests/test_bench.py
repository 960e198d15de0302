"""The benchmark runs: both servers answer the same data to every workload."""

from __future__ import annotations

import pytest

from bench.measure import Options, measure
from bench.report import chart, page
from bench.workloads import WORKLOADS


@pytest.mark.timeout(120)
async def test_both_servers_answer_the_same() -> None:
    options = Options(users=8, busy_users=4, connections=4, rounds=1, seconds=0.2)
    report = await measure(options, lambda _: None)  # it checks every answer
    assert [result.workload for result in report.results] == list(WORKLOADS)
    for result in report.results:
        assert all(found[0].requests_per_second > 0 for found in result.rounds.values())
    assert "| Q1 | tallygraph |" in page(report)
    assert chart(report).startswith("<svg")
