"""What somebody who comes back reads of a partner whose account is erased meanwhile."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db.core.pool import Database
from graph.engine.execution.engine import Engine
from jobs.leaving import erase_account
from server.services import Services

from ...conftest import MakeUser
from ..conftest import Ask
from ..test_partners import Two, email
from .test_topics import Stream

PARTNERS = (
    "subscription { partnersChanged { cursor kind partner { displayName status } deletedId } }"
)
REQUESTS = (
    "subscription { partnerRequestsChanged { cursor kind request { requesterName email status } } }"
)


@pytest.mark.parametrize("is_removed", [False, True])
async def test_a_former_partner_finds_no_name_behind_an_old_cursor(
    engine: Engine,
    services: Services,
    ask: Ask,
    owner: asyncpg.Connection,
    database: Database,
    make_user: MakeUser,
    is_removed: bool,
) -> None:
    two = Two(ask, owner, await make_user(), await make_user())
    assert two.bob.user_id
    await owner.execute(
        "update users set display_name = 'Bob Secret' where id = $1", two.bob.user_id
    )
    live = {name: Stream(engine, services, two.ada, name) for name in (PARTNERS, REQUESTS)}
    cursors = {name: (await stream.item())[1].cursor for name, stream in live.items()}
    request = await two.requested(two.bob, two.ada)
    assert await two.codes("decline", two.ada, id=request["id"]) == []
    of_bob, _ = await two.connected()
    await owner.execute(
        "update users set display_name = 'Robert Secret' where id = $1", two.bob.user_id
    )
    services.wake()
    payload, _ = await live[PARTNERS].item()
    assert payload["partner"]["displayName"] == "Bob Secret"
    if is_removed:
        assert await two.codes("remove", two.ada, id=of_bob) == []
    await owner.execute(
        "select deletes_at from app.schedule_deletion($1, interval '0', '{}')", two.bob.user_id
    )
    await erase_account(database, user_id=two.bob.user_id)
    services.wake()
    for name, stream in live.items():
        await stream.close()
        back = Stream(engine, services, two.ada, name, after=cursors[name])
        shown = []
        while True:
            try:
                shown.append((await asyncio.wait_for(back.item(), 1))[0])
            except TimeoutError:
                break
        assert shown
        for secret in ("Secret", email(two.bob)):
            assert secret not in str(shown), shown
        if name == PARTNERS:
            assert shown[-1]["deletedId"] == of_bob
    # A notification that somebody has received is theirs.
    kept = await owner.fetch(
        "select snapshot::text from events where user_id = $1 and topic <> 'notification.added'",
        two.ada.user_id,
    )
    assert kept
    assert not [row[0] for row in kept if "Secret" in row[0] or email(two.bob) in row[0]]
