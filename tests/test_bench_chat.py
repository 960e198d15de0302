"""The benchmark of chats runs: every delta comes to the client, and the first words are timed."""

from __future__ import annotations

import pytest

from bench.chat import measure

pytestmark = pytest.mark.usefixtures("prepared_benches")


async def test_every_delta_comes_to_the_client() -> None:
    # As many as take the server several of the hundredths in which processor time is counted.
    figures = await measure(chats=10, pieces=80, every=0.01, first_words=1)
    assert (len(figures.told), figures.missing, len(figures.first)) == (800, 0, 1)
    assert figures.cpu_microseconds > 0
