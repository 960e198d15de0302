"""The benchmark of webhooks runs: all are acknowledged, and every order has its credits."""

from __future__ import annotations

import pytest

from bench.webhooks import measure


@pytest.mark.nightly
async def test_every_webhook_gives_its_credits() -> None:
    figures = await measure(webhooks=20, spends=10, seconds=0.5)
    assert (len(figures.acknowledged), len(figures.spent), len(figures.credited)) == (10, 5, 10)
    assert figures.missing == 0
    assert figures.processor.keys() == {"API", "worker", "Postgres"}
