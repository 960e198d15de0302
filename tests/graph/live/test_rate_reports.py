"""What a process used of shared limits reaches the others over the bus, and wakes nobody."""

from __future__ import annotations

import asyncio

from auth.shared_rates import SharedRates
from db.core.pool import Database
from graph.live.bus import WakeBus
from settings import Settings
from tests.graph.live.deployment import Deployment


async def test_reports_reach_other_processes(
    deployment: Deployment, pool: Database, settings: Settings
) -> None:
    rates, others = SharedRates.of(settings), SharedRates.of(settings)
    here, there = (each.limit("cost", 1_000, 60.0) for each in (rates, others))
    sender, receiver = (WakeBus.postgres(deployment.service_url) for _ in range(2))
    receiver.hear_reports(others.hear)
    sender.hear_reports(rates.hear)
    woken: list[None] = []
    await receiver.start(lambda: woken.append(None))
    await sender.start(lambda: None)
    try:
        async with asyncio.timeout(15):
            while not there.used_seconds("ada"):
                here.use("ada", 20)
                if (report := rates.report()) is not None:
                    await sender.report(report)
                await asyncio.sleep(0.05)
            used_here = here.used_seconds("ada")
            woken.clear()
            here.use("eve", 500)
            report = rates.report()
            assert report is not None
            await sender.report(report)
            while not there.used_seconds("eve"):  # noqa: ASYNC110 -- the bus tells nobody else
                await asyncio.sleep(0.02)
        assert not woken, "a report is no wake-up"
        assert here.used_seconds("ada") <= used_here, "nobody hears a report of their own"
    finally:
        await sender.stop()
        await receiver.stop()
