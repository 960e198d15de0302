"""The benchmark of syncs and chats runs, small, and its page has every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import aura


@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_syncs_and_chats_are_measured_and_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = await aura.measure(
        changes=20, profiles=600, rounds=1, chats=5, pieces=5, first_words=1
    )
    assert [len(seconds) for seconds in (figures.sync, figures.down, figures.up)] == [3, 2, 3]
    assert figures.mebibytes > 0
    monkeypatch.setattr(aura, "DOCS", tmp_path)
    aura.write(figures, rounds=1, chats=5)
    page = (tmp_path / "benchmarks-aura.md").read_text()
    assert page.count("| row by row |") == page.count("| row by row over HTTP |") == 1
    assert page.count("| COPY |") == 2
    assert "20 changes" in (tmp_path / "benchmarks-aura.svg").read_text()
