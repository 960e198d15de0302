"""The benchmark of chats runs: every delta comes to the client, and the first words are timed."""

from __future__ import annotations

from bench.chat import measure


async def test_every_delta_comes_to_the_client() -> None:
    figures = await measure(chats=3, pieces=4, every=0.05, first_words=1)
    assert (len(figures.told), figures.missing, len(figures.first)) == (12, 0, 1)
    assert figures.cpu_microseconds > 0
