"""`tallygraph alerts` shows what is watched; the dashboard names metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import asyncpg

from .running import ROOT, RunningServer, run_command


async def test_alerts_are_shown_with_their_limits(server: RunningServer) -> None:
    owner = await asyncpg.connect(server.owner_url)
    changed = "insert into alerts (id, status, measured, threshold, changed_at) values ($1, $2, $3, $4, $5::text::timestamptz)"
    try:
        await owner.execute("delete from alerts")
        await owner.execute(changed, "ai-latency", "OK", None, 5, None)
        await owner.execute(changed, "sync-failures", "FIRING", 0.0631, 0.05, "2031-02-03 04:05Z")
        shown = run_command(server.data_directory, "alerts", COLUMNS="120").stdout
    finally:
        await owner.execute("delete from alerts")
        await owner.close()
    lines = [" ".join(line.split()) for line in shown.splitlines() if "s" in line]
    assert "Synchronizations that fail 6.3 % 5.0 % firing 2031-02-03 04:05" in lines[1]
    assert "Time of AI providers, 95th of 100 – 5.0 s ok" in lines[2]


def test_the_dashboard_names_metrics_that_there_are() -> None:
    board = json.loads((ROOT / "docs/grafana.json").read_text())
    told = (Path(ROOT) / "docs/operations.md").read_text()
    documented = set(re.findall(r"`(tallygraph_\w+)`", told))
    used = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tallygraph_\w+", target["expr"])
    }
    assert len(used) > 12
    assert {re.sub("_seconds_(bucket|count)$", "_seconds", name) for name in used} <= documented
