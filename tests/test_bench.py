"""The benchmark runs: all servers answer the same data to every workload."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.chart import chart
from bench.deployment import MissingPeerError, node, open_deployment
from bench.figures import Options
from bench.measure import measure
from bench.memory import measure_memory
from bench.report import page
from bench.slow_clients import WITH, WITHOUT, measure_slow_clients
from bench.workloads import NAMES, TALLYGRAPH

OPTIONS = Options(
    users=8, busy_users=4, connections=2, rounds=1, seconds=0.1, different_documents=20
)


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_every_measurement_runs() -> None:
    try:
        node()
    except MissingPeerError as missing:
        pytest.skip(str(missing))
    async with open_deployment(OPTIONS.users, OPTIONS.busy_users, OPTIONS.peers) as deployment:
        # It compares the answers of the servers, and refuses any that is not whole.
        report = await measure(deployment, OPTIONS, print)
        before, _ = await measure_memory(deployment, 20, print)
        slow = await measure_slow_clients(deployment, OPTIONS, 3, print)
    assert [result.workload.name for result in report.results] == list(NAMES)
    for result in report.results:
        assert result.servers == [TALLYGRAPH, *result.workload.peers]
        assert all(found[0].requests_per_second > 0 for found in result.rounds.values())
    assert before > 0
    assert set(slow.rounds) == {WITH, WITHOUT}
    assert "| Q1 | postgraphile | ≥ 3.5× |" in page(report)
    assert ElementTree.fromstring(chart(report)).tag.endswith("svg")
