"""Whoever may not watch any more is cut off within seconds, without waiting for an event."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from graph.live.access import LOOK_EVERY_SECONDS, LOOK_TIMEOUT_SECONDS, AccessWatch
from graph.live.subscriptions import EventSubscription
from server.services import Services
from tests.conftest import MakeUser


def test_two_looks_fit_into_what_is_promised() -> None:
    assert LOOK_EVERY_SECONDS + LOOK_TIMEOUT_SECONDS < 5


async def end_of(subscription: EventSubscription) -> ErrorCode:
    """How a subscription ends that gives no event any more."""
    with pytest.raises(DomainError) as ended:
        async with asyncio.timeout(10):
            await anext(subscription)
    return ended.value.code


async def make_upload(owner: asyncpg.Connection, user: Actor) -> UUID:
    found: UUID = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/png', 10, now()) returning id",
        user.user_id,
    )
    return found


async def test_a_locked_or_deleted_user_and_a_lost_row_end_their_subscriptions_alone(
    services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    kept, locked, loser = [await make_user(credits=0) for _ in range(3)]
    deleted = uuid4()  # an account that is gone
    row, lost_row = await make_upload(owner, kept), await make_upload(owner, loser)
    hub = services.hub
    watch = AccessWatch(services.database, hub)
    async with (
        hub.subscribe(topic="credits.changed", user_id=kept.user_id) as stays,
        hub.subscribe(
            topic="upload.updated", user_id=kept.user_id, entity_id=str(row)
        ) as row_stays,
        hub.subscribe(topic="tools.changed", user_id=None) as public_stays,
        hub.subscribe(topic="credits.changed", user_id=locked.user_id) as of_locked,
        hub.subscribe(topic="credits.changed", user_id=deleted) as of_deleted,
        hub.subscribe(
            topic="upload.updated", user_id=loser.user_id, entity_id=str(lost_row)
        ) as of_lost_row,
        hub.subscribe(
            topic="upload.updated", user_id=loser.user_id, entity_id=str(row)
        ) as of_foreign_row,
    ):
        await owner.execute("update users set status = 'locked' where id = $1", locked.user_id)
        await owner.execute("delete from uploads where id = $1", lost_row)
        await watch.look()
        assert await end_of(of_locked) is ErrorCode.UNAUTHENTICATED
        assert await end_of(of_deleted) is ErrorCode.UNAUTHENTICATED
        assert await end_of(of_lost_row) is ErrorCode.NOT_FOUND
        assert await end_of(of_foreign_row) is ErrorCode.NOT_FOUND
        assert {stays, row_stays, public_stays} <= set(hub.subscriptions())


async def test_who_leaves_is_forgotten(services: Services) -> None:
    hub, user_id, row = services.hub, uuid4(), str(uuid4())
    async with (
        hub.subscribe(topic="upload.updated", user_id=user_id, entity_id=row) as of_row,
        hub.subscribe(topic="credits.changed", user_id=user_id) as of_wallet,
    ):
        assert of_row in hub.of_one_row()
        assert set(hub.of_user(user_id)) == {of_row, of_wallet}
        assert user_id in hub.users()
    assert of_row not in hub.of_one_row()
    assert hub.of_user(user_id) == []
    assert user_id not in hub.users()
