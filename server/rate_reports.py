"""Tells the other processes, once a second, what this one used of the limits that all share."""

from __future__ import annotations

import asyncio
import contextlib

from auth.shared_rates import SharedRates
from graph.live.bus import WakeBus

REPORT_EVERY_SECONDS = 1.0


class RateReports:
    """The reports of one process."""

    def __init__(self, rates: SharedRates, bus: WakeBus) -> None:
        self._rates = rates
        self._bus = bus
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to report."""
        self._task = asyncio.create_task(self._tell(), name="rate-reports")

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_SECONDS)
            report = self._rates.report()
            if report is not None:
                await self._bus.report(report)
