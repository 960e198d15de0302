"""The benchmark runs: all servers answer the same data to every workload."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.chart import chart
from bench.measure import Options, measure
from bench.report import page
from bench.workloads import TALLYGRAPH, WORKLOADS


@pytest.mark.timeout(180)
async def test_all_servers_answer_the_same() -> None:
    options = Options(users=8, busy_users=4, connections=2, rounds=1, seconds=0.1)
    report = await measure(options, lambda _: None)  # it compares the answers, and checks each
    assert [result.workload for result in report.results] == list(WORKLOADS)
    for result in report.results:
        assert result.servers == [TALLYGRAPH, *result.workload.peers]
        assert all(found[0].requests_per_second > 0 for found in result.rounds.values())
    assert "| Q1 | postgraphile | ≥ 3.5× |" in page(report)
    assert ElementTree.fromstring(chart(report)).tag.endswith("svg")
