"""The benchmark of live delivery runs: all servers deliver the same messages, all of them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.deployment import MissingPeerError, node
from bench.live.figures import ALONE, NOTIFIED, PATTERNS, QUIET, SERVERS, WATCHED, WOKEN, Options
from bench.live.measure import measure
from bench.live.report import chart, page
from bench.live.servers import GRAPHQL_WS_FOLDER

OPTIONS = Options(subscribers=(8,), rounds=1, seconds=0.3, watchers_of_writers=20)


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_every_measurement_runs() -> None:
    try:
        node(GRAPHQL_WS_FOLDER)
    except MissingPeerError as missing:
        pytest.skip(str(missing))
    # It compares the messages of the servers, and refuses to lose or repeat one.
    report = await measure(OPTIONS, print)
    for server in SERVERS:
        (turn,) = report.turns[server, 8]
        assert turn.connects_per_second > 0
        assert turn.deliveries.keys() == set(PATTERNS)
        assert all(found.messages >= 24 for found in turn.deliveries.values())
    assert list(report.spends) == [ALONE, WATCHED, QUIET, WOKEN, NOTIFIED]
    assert all(rate > 0 for (rate,) in report.spends.values())
    assert "| 8 | connects/s | ≥ 1,000 |" in page(report)
    assert ElementTree.fromstring(chart(report)).tag.endswith("svg")
