"""Partners who were connected before compatibility was worked out, or imported, are compared too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import orjson

from db.core.actor import Actor
from db.core.pool import Database
from jobs.partners import compare_partners, sweep_comparisons

from ..attuned import load_surveys
from ..conftest import MakeUser
from ..sharing import ANSWERS, READERS, submit

CONNECTED = """
insert into partners (user_id, partner_id) values ($1, $2), ($2, $1)
"""
IN_LINE = """
select convert_from(payload, 'UTF8') from queue.pgqueuer
where entrypoint = 'compare_partners' and position($1 in convert_from(payload, 'UTF8')) > 0
"""


async def queued(owner: asyncpg.Connection, actor: Actor) -> list[dict[str, Any]]:
    """The comparisons of somebody that are in line."""
    return [orjson.loads(row[0]) for row in await owner.fetch(IN_LINE, str(actor.user_id))]


async def swept(owner: asyncpg.Connection, database: Database, actor: Actor) -> int:
    """How many comparisons of somebody are in line after the sweep."""
    # Others' pairs of other tests may be more than one sweep takes.
    await owner.execute(
        "update partners set compared_at = now() where compared_at is null and $1 not in (user_id, partner_id)",
        actor.user_id,
    )
    await sweep_comparisons(database)
    return len(await queued(owner, actor))


async def test_connected_partners_without_a_result_are_compared_once(
    owner: asyncpg.Connection, database: Database, make_user: MakeUser
) -> None:
    await load_surveys(owner)
    one, two, silent = await make_user(), await make_user(), await make_user()
    for other in (two, silent):
        await owner.execute(CONNECTED, one.user_id, other.user_id)
    assert await swept(owner, database, one) == 0, "nobody has a profile"
    for actor, answers in ((one, ANSWERS), (two, READERS)):
        assert actor.user_id is not None
        await submit(owner, actor.user_id, answers, 1)
    assert await swept(owner, database, one) == 1
    assert await swept(owner, database, one) == 1, "it is in line already"
    (job,) = await queued(owner, one)
    assert {UUID(job["one"]), UUID(job["other"])} == {one.user_id, two.user_id}
    await compare_partners(database, lambda: None, one=UUID(job["one"]), other=UUID(job["other"]))
    rows = await owner.fetch(
        "select user_id, score from compatibilities where user_id = any ($1)",
        [one.user_id, two.user_id],
    )
    assert {row["user_id"] for row in rows} == {one.user_id, two.user_id}
    await owner.execute(
        "delete from queue.pgqueuer where position($1 in convert_from(payload, 'UTF8')) > 0",
        str(one.user_id),
    )
    assert await swept(owner, database, one) == 0, "they have a result"
    # A score that is shown alone is kept for a day, and worked out anew after it.
    await owner.execute(
        "update partners set shared = 'DEMOGRAPHICS' where user_id = $1", two.user_id
    )
    assert await swept(owner, database, one) == 0, "its day is not over"
    await owner.execute(
        "update compatibilities set created_at = now() - interval '25 hours' where user_id = $1",
        two.user_id,
    )
    assert await swept(owner, database, one) == 1
