"""What becomes of a guest's surveys and a member's when they become one."""

from __future__ import annotations

import asyncpg
import pytest

from ..attuned import load_surveys
from ..conftest import MakeUser
from ..sharing import submit


@pytest.mark.parametrize("newest", ["guest", "member"])
async def test_of_two_who_become_one_the_current_profile_is_the_newest_version(
    make_user: MakeUser, owner: asyncpg.Connection, newest: str
) -> None:
    guest, member = await make_user(), await make_user()
    await load_surveys(owner)
    first, last = (member, guest) if newest == "guest" else (guest, member)
    for actor in (first, last):
        for version in (1, 2):
            await submit(owner, actor.user_id, {"A1": 4}, version)  # type: ignore[arg-type]
    await owner.execute("select app.merge_survey_runs($1, $2)", guest.user_id, member.user_id)
    versions = await owner.fetch(
        "select version, is_current from survey_profiles where user_id = any ($1) order by version",
        [guest.user_id, member.user_id],
    )
    assert [row["is_current"] for row in versions] == [False, False, False, True]
