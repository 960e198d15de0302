"""The benchmark of membership runs: both rules give the same rows, each by its own policy."""

from __future__ import annotations

import asyncpg
import pytest

from bench.figures import Options
from bench.membership import LISTED, MEMBERS, measure_membership, open_membership
from bench.workloads import TALLYGRAPH

OPTIONS = Options(users=8, busy_users=4, connections=2, rounds=1, seconds=0.2)


@pytest.mark.nightly
async def test_both_lists_are_measured() -> None:
    found = await measure_membership(OPTIONS, lambda _: None)
    assert found.rounds.keys() == {TALLYGRAPH, MEMBERS}
    assert all(one.requests_per_second > 0 for rounds in found.rounds.values() for one in rounds)


@pytest.mark.nightly
async def test_the_copy_is_read_by_membership_alone() -> None:
    async with open_membership(OPTIONS) as deployment:
        owner = await asyncpg.connect(f"{deployment.owner_url.rpartition('/')[0]}/{MEMBERS}")
        try:
            listed = await owner.fetch(
                "select policyname from pg_policies where tablename = 'profiles' and cmd = 'SELECT'"
            )
            rows = await owner.fetchval("select count(*) from profiles group by user_id limit 1")
        finally:
            await owner.close()
    assert [row["policyname"] for row in listed] == ["member_select"]
    assert rows == LISTED
