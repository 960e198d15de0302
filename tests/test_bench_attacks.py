"""The measurement of attacks runs: each attack reaches the server, and honest users are watched."""

from __future__ import annotations

import pytest

from bench.attacks import report
from bench.attacks.attackers import ATTACKS
from bench.attacks.measure import Lengths, measure

pytestmark = pytest.mark.nightly

# The other attack on passwords differs in the number of connections alone.
CHOSEN = tuple(name for name in ATTACKS if name != "Guesses passwords, 1,000 connections")
LENGTHS = Lengths(quiet_seconds=0.4, attack_seconds=0.7, warm_up_seconds=0.3)


@pytest.fixture(scope="module")
async def found() -> list[report.Felt]:
    return await measure(LENGTHS, CHOSEN, lambda _: None, one_server=True)


async def test_each_attack_sends_requests_beside_honest_users(found: list[report.Felt]) -> None:
    assert [felt.name for felt in found] == list(CHOSEN)
    for felt in found:
        assert felt.gains.requests or felt.gains.gained, felt.name
        assert felt.quiet.reads
        assert felt.attacked.reads
        assert felt.server_mebibytes > 0
        assert felt.backend_mebibytes > 0
        assert felt.longest_stall_milliseconds > 0


async def test_the_page_holds_a_line_for_each_attack(found: list[report.Felt]) -> None:
    part = report.page_part(found, LENGTHS)
    assert all(f"| {name} |" in part for name in CHOSEN)
    assert report.chart(found).count('class="title"') == len(CHOSEN)
