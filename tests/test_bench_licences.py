"""The benchmark of licences runs, small, and its page has every figure."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import licence_report
from bench.licences import Amounts, measure

SMALL = Amounts(
    pace=40,
    seconds=0.3,
    rounds=1,
    round_seconds=0.05,
    redeemed=4,
    sealed=0,
    reads=20,
    with_postgraphile=False,
)


@pytest.mark.nightly
async def test_licences_are_verified_and_redeemed_beside_a_bare_application() -> None:
    figures = await measure(SMALL)
    assert (len(figures.first), len(figures.again)) == (12, 12)
    assert [result.servers for result in figures.peers.results] == [
        ["tallygraph", "bare", "bare with memory"],
        ["tallygraph", "bare"],
    ]
    shown = io.StringIO()
    licence_report.show(figures, SMALL, Console(file=shown, width=160))
    assert "A key verified again" in shown.getvalue()


@pytest.mark.nightly
async def test_everything_is_sealed_anew_and_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    amounts = replace(SMALL, sealed=40)
    figures = await measure(amounts)
    # What the rounds redeemed is sealed anew, too.
    assert figures.rotation.rows > 40
    assert figures.rotation.alone
    monkeypatch.setattr(licence_report, "DOCS", tmp_path)
    licence_report.write(figures, amounts)
    page = (tmp_path / "benchmarks-licences.md").read_text()
    assert page.count("| bare |") == 2
    assert "values sealed anew" in page
    assert "`" not in (tmp_path / "benchmarks-licences.svg").read_text()
