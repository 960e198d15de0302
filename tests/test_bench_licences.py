"""The benchmark of licences runs: keys are verified, again from memory, and redeemed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.licences import measure, show


@pytest.mark.nightly
async def test_licences_are_verified_and_redeemed() -> None:
    figures = await measure(verified=40, redeemed=10, seconds=0.5)
    assert [len(found) for found in (figures.first, figures.again, figures.redeemed)] == [20, 20, 5]
    assert figures.processor.keys() == {"first", "again", "redeemed"}
    page = io.StringIO()
    show(figures, Console(file=page, width=120))
    assert "Verified from memory" in page.getvalue()
