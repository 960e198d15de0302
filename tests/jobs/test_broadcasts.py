"""A broadcast reaches every user of its segment once, whatever happens to workers, users and admins."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.broadcasts import operations
from db.broadcasts.segments import Segment
from db.core.actor import Actor
from db.core.commands import call
from db.core.errors import Problems
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from jobs import broadcasts
from jobs.broadcasts import note_failure, resume_broadcasts, send_broadcast
from jobs.core.declare import RetryLater, WorkerServices
from settings import Settings
from tests.running import ROOT

from ..conftest import MakeUser
from .helpers import FakeProvider, MakeServices, eventually

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
COUNTS = """
select count(n.id) from users u left join notifications n on n.user_id = u.id and n.broadcast_id = $1
where u.locale = $2 group by u.id
"""


@dataclass
class Sender:
    """An admin, and users who share a language that nobody else has."""

    database: Database
    owner: asyncpg.Connection
    actor: Actor
    services: WorkerServices
    locale: str = field(default_factory=lambda: f"qaa-{uuid4().hex[:8]}")

    async def users(self, count: int, **columns: Any) -> list[UUID]:
        """New users of the language, in the order of their ids, with nobody's ids between them."""
        first = uuid4().int >> 32 << 32
        ids = [UUID(int=first + n) for n in range(count)]
        given = {"locale": self.locale} | columns
        places = "".join(f", ${n}" for n in range(2, len(given) + 2))
        await self.owner.execute(
            f"insert into users (id, {', '.join(given)}) select one{places} from unnest($1::uuid[]) one",
            ids, *given.values(),
        )  # fmt: skip
        return ids

    async def seen(self, user_id: UUID, at: datetime) -> None:
        """Has a user been seen."""
        await self.owner.execute(
            "insert into sessions (user_id, created_at, last_used_at, expires_at)"
            " values ($1, $2, $2, $3)",
            user_id, at, NOW + DAY,
        )  # fmt: skip

    async def send(self, key: str = "k", type_: str = "GENERAL", **segment: Any) -> UUID:
        """A new broadcast, to those of the language unless something else is said."""
        command = operations.broadcast(
            Problems(),
            Segment(**({"locales": [self.locale]} | segment)),
            notification_type=type_,
            title_key="notifications.welcome.title",
            message_key="notifications.welcome.message",
            data={"percent": 20},
            idempotency_key=key,
        )
        async with self.database.transaction(self.actor) as transaction:
            return await call(transaction, command)

    async def cancel(self, broadcast_id: UUID) -> None:
        async with self.database.transaction(self.actor) as transaction:
            await call(transaction, operations.cancel(broadcast_id))

    async def begin_before(self, broadcast_id: UUID, first: UUID) -> None:
        """Begins a broadcast right before one user, however many others the database has."""
        await operations.begin(self.database, broadcast_id)
        await self.owner.execute(
            "update broadcasts set position = $2 where id = $1",
            broadcast_id, UUID(int=int(first) - 1),
        )  # fmt: skip

    async def batch(self, broadcast_id: UUID, at_most: int = 100, window: int = 10**6) -> bool:
        return await operations.send_batch(
            self.database, broadcast_id, at_most=at_most, window_size=window
        )

    async def run(self, broadcast_id: UUID) -> None:
        """What workers do until the broadcast has ended."""
        while True:
            try:
                return await send_broadcast(self.services, broadcast_id=broadcast_id)
            except RetryLater:
                continue

    async def counts(self, broadcast_id: UUID) -> list[int]:
        """How many notifications of it each user of the language has."""
        rows = await self.owner.fetch(COUNTS, broadcast_id, self.locale)
        return [row["count"] for row in rows]

    async def progress(self, broadcast_id: UUID) -> tuple[str, int | None, int, int]:
        """How far it says it is."""
        row = await self.owner.fetchrow("select * from broadcasts where id = $1", broadcast_id)
        return row["status"], row["user_count"], row["sent_count"], row["unwanted_count"]


@pytest.fixture
async def sender(
    database: Database,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    services: MakeServices,
    clean_queue: None,
) -> AsyncIterator[Sender]:
    admin = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    yield Sender(database, owner, admin, services(FakeProvider()))
    await owner.execute(
        "update broadcasts set status = 'CANCELLED' where status in ('QUEUED', 'RUNNING')"
    )


# Who of the language is in a segment, by name.
SEGMENTS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"guest", "free", "pro", "seen", "unseen", "variant"}),
    ({"audience": "GUESTS"}, {"guest"}),
    ({"audience": "MEMBERS"}, {"free", "pro", "seen", "unseen", "variant"}),
    ({"plan_ids": ["pro"]}, {"pro"}),
    ({"plan_ids": ["free", "pro"], "audience": "MEMBERS"}, {"free", "pro"}),
    ({"active_since": NOW - 2 * DAY}, {"seen"}),
    ({"active_since": NOW - 9 * DAY, "inactive_since": NOW - 2 * DAY}, {"unseen"}),
    ({"inactive_since": NOW - 2 * DAY}, {"unseen", "variant"}),
    ({"inactive_since": NOW - 2 * DAY, "plan_ids": ["pro"]}, set()),
]


@pytest.mark.parametrize(("segment", "expected"), SEGMENTS)
async def test_a_segment_has_those_who_meet_all_of_it(
    sender: Sender, segment: dict[str, Any], expected: set[str]
) -> None:
    old = NOW - 90 * DAY
    # A language without a variant, of this case alone.
    language = sender.locale = f"qb{chr(ord('a') + SEGMENTS.index((segment, expected)))}"
    ids = {
        "guest": (await sender.users(1, is_anonymous=True))[0],
        "free": (await sender.users(1, plan_id="free"))[0],
        "pro": (await sender.users(1, plan_id="pro"))[0],
        "seen": (await sender.users(1, created_at=old))[0],
        "unseen": (await sender.users(1, created_at=old))[0],
        "variant": (await sender.users(1, created_at=old, locale=f"{language}-BR"))[0],
        "locked": (await sender.users(1, status="active"))[0],
        "leaving": (await sender.users(1))[0],
        "other": (await sender.users(1, locale="zz"))[0],
    }
    await sender.owner.execute("update users set status = 'locked' where id = $1", ids["locked"])
    await sender.owner.execute(
        "insert into account_deletions (user_id, deletes_at) values ($1, now() + interval '1 day')",
        ids["leaving"],
    )
    await sender.seen(ids["seen"], NOW - DAY)
    await sender.seen(ids["unseen"], NOW - 5 * DAY)
    made = await sender.send(**segment)
    await sender.run(made)
    rows = await sender.owner.fetch(
        "select user_id from notifications where broadcast_id = $1", made
    )
    names = {user_id: name for name, user_id in ids.items()}
    assert {names[row["user_id"]] for row in rows} == expected
    assert await sender.progress(made) == ("FINISHED", len(expected), len(expected), 0)


async def test_without_a_language_one_has_english(sender: Sender) -> None:
    (speaks_none,) = await sender.users(1, locale=None)
    made = await sender.send(locales=["en-GB", "en"])
    found = await sender.owner.fetchval(
        "select count(*) from app.segment_users($1, $2, $3, null)",
        made, UUID(int=int(speaks_none) - 1), speaks_none,
    )  # fmt: skip
    assert found == 1


async def test_only_who_wants_it_is_notified_and_progress_says_so(sender: Sender) -> None:
    await sender.users(3)
    await sender.users(2, notification_preferences=json.dumps({"promotions": False}))
    offer, other = await sender.send("offer", "OFFER"), await sender.send("other")
    assert await sender.progress(offer) == ("QUEUED", None, 0, 0)
    for made in (offer, other):
        await sender.run(made)
    assert await sender.progress(offer) == ("FINISHED", 5, 3, 2)
    assert await sender.progress(other) == ("FINISHED", 5, 5, 0)
    assert sorted(await sender.counts(offer)) == [0, 0, 1, 1, 1]
    sent = await sender.owner.fetchrow(
        "select type, title_key, message_key, data, read from notifications"
        " where broadcast_id = $1 limit 1",
        offer,
    )
    texts = ("notifications.welcome.title", "notifications.welcome.message")
    assert tuple(sent) == ("OFFER", *texts, '{"percent": 20}', False)


@pytest.mark.parametrize(("at_most", "window"), [(1, 1), (1, 1_000), (3, 2), (7, 1_000), (100, 5)])
async def test_batches_of_any_size_reach_everybody_once(
    sender: Sender, at_most: int, window: int
) -> None:
    ids = await sender.users(14)
    made = await sender.send()
    await sender.begin_before(made, ids[0])
    while await sender.batch(made, at_most, window):
        pass
    assert await sender.counts(made) == [1] * 14
    assert (await sender.progress(made))[::2] == ("FINISHED", 14)


async def test_workers_that_meet_send_nothing_twice(sender: Sender) -> None:
    await sender.users(60)
    made = await sender.send()
    await operations.begin(sender.database, made)

    async def work() -> None:
        while await sender.batch(made, 7):
            pass

    await asyncio.gather(*(work() for _ in range(4)))
    assert await sender.counts(made) == [1] * 60
    assert await sender.progress(made) == ("FINISHED", 60, 60, 0)


WAITING = "select pid from pg_stat_activity where $1 = any (pg_blocking_pids(pid))"


async def end_waiting(cluster: EmbeddedDatabase, blocker: int) -> None:
    """Ends the connections that wait for one."""
    superuser = await asyncpg.connect(cluster.superuser_url)
    await superuser.fetch(f"select pg_terminate_backend(w.pid) from ({WAITING}) w", blocker)
    await superuser.close()


async def test_a_broadcast_outlives_two_workers_that_are_killed_in_the_middle(
    sender: Sender,
    cluster: EmbeddedDatabase,
    settings: Settings,
) -> None:
    ids = await sender.users(250)
    made = await sender.send()
    await sender.begin_before(made, ids[0])
    reached = []
    for stands_at in (ids[150], ids[220]):
        blocker = await asyncpg.connect(cluster.owner_url)
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("select from users where id = $1 for update", stands_at)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.jobs.worker_process", cluster.owner_url, "1",
            cwd=ROOT, env={**os.environ, "DATA_DIRECTORY": str(settings.data_directory)},
        )  # fmt: skip

        async def stands_still(held_by: int = blocker.get_server_pid()) -> bool:
            return await sender.owner.fetchval(WAITING, held_by) is not None

        try:
            await eventually(stands_still, 30)
        finally:
            process.kill()
            await process.wait()
            # Its statement would go on without it, and end the batch.
            await end_waiting(cluster, blocker.get_server_pid())
            await transaction.rollback()
            await blocker.close()
        reached.append(sum(await sender.counts(made)))
        assert (await sender.progress(made))[2] == reached[-1], "it says what it has done"
        # Whoever joins now is not of those it is for, though it has not come to their id yet.
        await sender.owner.execute(
            "insert into users (id, locale) values ($1, $2)",
            UUID(int=int(ids[-1]) + len(reached)), sender.locale,
        )  # fmt: skip
        # The dead worker's job is taken over when its heartbeat is old; the schedule is as good.
        await sender.owner.execute("delete from queue.pgqueuer")
        await resume_broadcasts(sender.database)
    assert reached == [150, 200]
    await sender.run(made)
    assert sorted(await sender.counts(made)) == [0, 0, *[1] * 250]
    assert await sender.progress(made) == ("FINISHED", 250, 250, 0)


async def test_a_guest_who_becomes_somebody_else_has_it_once(sender: Sender) -> None:
    """Whichever of the two was reached before the merge, or both."""
    for reached in (0, 1, 2):
        locale = sender.locale = f"qaa-{uuid4().hex[:8]}"
        (guest,), (member,) = await sender.users(1, is_anonymous=True), await sender.users(1)
        made = await sender.send(f"merge {reached}", locales=[locale])
        await sender.begin_before(made, min(guest, member))
        for _ in range(reached):
            await sender.batch(made, 1)
        async with sender.owner.transaction():
            assert await sender.owner.fetchval("select app.lock_for_merge($1, $2)", guest, member)
            await sender.owner.execute("select app.merge_guest($1, $2)", guest, member)
        await sender.run(made)
        rows = await sender.owner.fetch(
            "select user_id from notifications where broadcast_id = $1", made
        )
        assert [row["user_id"] for row in rows] == [member], reached


async def test_one_who_leaves_in_the_middle_fails_nothing(
    sender: Sender, cluster: EmbeddedDatabase
) -> None:
    ids = await sender.users(3)
    made = await sender.send()
    await operations.begin(sender.database, made)
    leaving = await asyncpg.connect(cluster.owner_url)
    transaction = leaving.transaction()
    await transaction.start()
    await leaving.execute("delete from users where id = $1", ids[1])
    sending = asyncio.create_task(sender.run(made))
    await asyncio.sleep(0.1)
    await transaction.commit()
    await leaving.close()
    await sending
    assert await sender.counts(made) == [1, 1]


async def test_who_gets_a_single_notification_waits_for_no_broadcast(
    sender: Sender, cluster: EmbeddedDatabase
) -> None:
    first, blocked = await sender.users(2)
    other = await sender.users(1, locale="zz")
    made = await sender.send()
    await operations.begin(sender.database, made)
    blocker = await asyncpg.connect(cluster.owner_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("select from users where id = $1 for update", blocked)
    batch = asyncio.create_task(sender.batch(made))
    await asyncio.sleep(0.1)
    await sender.owner.execute("set lock_timeout = '1ms'")
    for user_id in (first, *other):
        assert await sender.owner.fetchval(
            "select app.notify($1, 'GENERAL', 't', 'm', null)", user_id
        )
    await transaction.rollback()
    await blocker.close()
    await batch


async def test_other_jobs_come_first_and_have_their_turn(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sender.users(broadcasts.USERS_AT_ONCE + 1)
    made = await sender.send()
    priority = await sender.owner.fetchval(
        "select priority from queue.pgqueuer where entrypoint = 'send_broadcast'"
    )
    assert priority < 0
    monkeypatch.setattr(broadcasts, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(broadcasts, "ACCOUNTS_LOOKED_AT", 10**6)
    with pytest.raises(RetryLater):
        await send_broadcast(sender.services, broadcast_id=made)
    assert sum(await sender.counts(made)) == broadcasts.USERS_AT_ONCE
    await send_broadcast(sender.services, broadcast_id=made)
    assert (await sender.progress(made))[0] == "FINISHED"


async def test_a_cancelled_broadcast_goes_no_further(sender: Sender) -> None:
    ids = await sender.users(4)
    made = await sender.send()
    await sender.begin_before(made, ids[0])
    assert await sender.batch(made, 2)
    for _ in range(2):
        await sender.cancel(made)
    assert not await sender.batch(made, 2)
    await sender.run(made)
    assert await sender.progress(made) == ("CANCELLED", 4, 2, 0)
    noted = "select count(*) from audit_log where action = 'cancel_broadcast' and user_id = $1"
    assert await sender.owner.fetchval(noted, sender.actor.user_id) == 1
    other = await sender.send("ended")
    await sender.run(other)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await sender.cancel(other)
    assert refused.value.hint == "INVALID_STATE"


async def test_a_key_sends_once(sender: Sender) -> None:
    first = await sender.send()
    assert await sender.send() == first
    with pytest.raises(asyncpg.PostgresError) as refused:
        await sender.send(audience="GUESTS")
    assert refused.value.hint == "IDEMPOTENCY_CONFLICT"
    noted = "select count(*) from audit_log where detail ->> 'broadcast' = $1"
    assert await sender.owner.fetchval(noted, f"broadcast_{first}") == 1


async def test_one_that_cannot_be_gone_on_with_fails_in_the_end(sender: Sender) -> None:
    (first, _) = await sender.users(2)
    made = await sender.send()
    await operations.begin(sender.database, made)
    failed = RuntimeError("no")
    await sender.owner.execute(
        "update broadcasts set position = $2 where id = $1", made, UUID(int=int(first) - 1)
    )
    for _ in range(9):
        await note_failure(sender.database, broadcast_id=made, error=failed)
    assert await sender.batch(made, 1), "whatever brings it on makes up for the failures"
    for _ in range(9):
        await note_failure(sender.database, broadcast_id=made, error=failed)
    assert (await sender.progress(made))[0] == "RUNNING"
    await note_failure(sender.database, broadcast_id=made, error=failed)
    assert (await sender.progress(made))[0] == "FAILED"
    await sender.run(made)
    assert sum(await sender.counts(made)) == 1
