"""The benchmark runs: all servers answer the same data to every workload."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.chart import chart
from bench.figures import Options
from bench.measure import measure
from bench.report import page
from bench.workloads import NAMES, TALLYGRAPH


@pytest.mark.timeout(300)
async def test_all_servers_answer_the_same() -> None:
    options = Options(
        users=8, busy_users=4, connections=2, rounds=1, seconds=0.1, different_documents=20
    )
    report = await measure(options, print)  # it compares the answers, and checks each
    assert [result.workload.name for result in report.results] == list(NAMES)
    for result in report.results:
        assert result.servers == [TALLYGRAPH, *result.workload.peers]
        assert all(found[0].requests_per_second > 0 for found in result.rounds.values())
    assert "| Q1 | postgraphile | ≥ 3.5× |" in page(report)
    assert ElementTree.fromstring(chart(report)).tag.endswith("svg")
