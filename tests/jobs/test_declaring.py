"""What slices declare of their work: how often a job is tried, and what becomes of a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from jobs.core import worker as worker_module
from jobs.core.declare import (
    DeclaredJob,
    DeclaredWork,
    RetryLater,
    UnreadableJob,
    declared_work,
    every,
    job,
    make_job,
)
from jobs.core.worker import Worker
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from settings import Settings

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    MakeServices,
    create_generation,
    eventually,
    generation,
    queue_is_empty,
    ready_upload,
    wallet,
)

NAME = "test_job"
PUT = """
insert into queue.pgqueuer (priority, entrypoint, payload, status) values (0, $1, $2, 'queued')
"""
DEAD = "select * from dead_jobs where entrypoint = $1 and payload = $2"
Do = Callable[[DeclaredJob, bytes], Awaitable[None]]


@pytest.fixture
def do(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    owner: asyncpg.Connection,
    clean_queue: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Do:
    """Has a worker, which knows one kind of job, work until nothing is left to do."""
    monkeypatch.setattr(worker_module, "RETRY_DELAY_SECONDS", 0.01)

    async def done(kind: DeclaredJob, payload: bytes) -> None:
        await owner.execute(PUT, kind.name, payload)
        declared = DeclaredWork(jobs={kind.name: kind})
        provider = Providers(OfflineProvider())
        worker = Worker(
            settings, cluster.owner_url, database, storage, provider, lambda: None, declared
        )
        running = asyncio.create_task(worker.run())
        try:
            await eventually(lambda: queue_is_empty(owner), 30)
        finally:
            await worker.stop()
            await running

    return done


class Failing:
    """Work that fails each time, and remembers what it was given."""

    def __init__(self, error: Exception, failures: int = 99) -> None:
        self.error, self.failures = error, failures
        self.runs: list[object] = []
        self.dead: list[object] = []

    async def run(self, database: Database, *, thing_id: UUID, words: str) -> None:
        assert isinstance(database, Database)
        self.runs.append((thing_id, words))
        if len(self.runs) <= self.failures:
            raise self.error

    async def when_dead(self, *, thing_id: UUID, error: Exception) -> None:
        self.dead.append((thing_id, error))


def payload_of(thing_id: UUID) -> bytes:
    return orjson.dumps({"thing_id": str(thing_id), "words": "some", "more": 1})


async def test_a_job_that_always_fails_becomes_a_dead_letter(
    do: Do, owner: asyncpg.Connection
) -> None:
    work, thing_id = Failing(KeyError("a canary secret")), uuid4()
    await do(make_job(NAME, work.run, 3), payload_of(thing_id))
    dead = await owner.fetchrow(DEAD, NAME, payload_of(thing_id))
    assert (dead["error"], dead["attempts"], dead["generation_id"]) == ("KeyError", 3, None)
    assert work.runs == [(thing_id, "some")] * len(work.runs)
    assert len(work.runs) == 3


async def test_what_a_slice_does_of_a_dead_job_takes_the_place_of_the_letter(
    do: Do, owner: asyncpg.Connection
) -> None:
    work, thing_id = Failing(KeyError()), uuid4()
    await do(make_job(NAME, work.run, 1, work.when_dead), payload_of(thing_id))
    assert (len(work.runs), work.dead) == (1, [(thing_id, work.error)])
    assert await owner.fetchrow(DEAD, NAME, payload_of(thing_id)) is None


async def test_a_job_that_asks_to_be_tried_later_has_not_failed(
    do: Do, owner: asyncpg.Connection
) -> None:
    work, thing_id = Failing(RetryLater(0.01, "not yet"), failures=3), uuid4()
    await do(make_job(NAME, work.run, 1), payload_of(thing_id))
    assert len(work.runs) == 4
    assert await owner.fetchrow(DEAD, NAME, payload_of(thing_id)) is None


async def test_a_generation_that_cannot_be_begun_fails_and_its_job_is_kept(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user(credits=5)
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id)
    give_up = declared_work().jobs["run_generation"].when_dead
    assert give_up is not None
    await services(FakeProvider()).run(give_up, generation_id=generation_id, error=KeyError())
    row = await generation(owner, generation_id)
    assert (row["status"], row["hold_status"]) == ("FAILED", "RELEASED")
    assert await wallet(owner, actor) == (5, 0)
    error = await owner.fetchval(
        "select error from dead_jobs where generation_id = $1", generation_id
    )
    assert error == "KeyError"


@pytest.mark.parametrize(
    "payload",
    [None, b"", b"{}", b"nothing", b'{"thing_id": 5, "words": "a"}', b'{"thing_id": "5"}', b"[]"],
)
def test_a_payload_of_another_shape_cannot_be_read(payload: bytes | None) -> None:
    with pytest.raises(UnreadableJob):
        make_job(NAME, Failing(KeyError()).run).arguments(payload)


async def takes_the_moon(moon: object) -> None:
    """Nobody has it."""


async def takes_more(database: Database, *, error: Exception, thing_id: UUID) -> None:
    """Takes what its job does not carry."""


async def run_generation(*, generation_id: UUID) -> None:
    """Another of this name is declared."""


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: every("* * * * *")(takes_the_moon), "takes_the_moon takes what no worker has"),
        (lambda: job(NAME, attempts=1)(takes_the_moon), "takes_the_moon takes what no worker has"),
        (
            lambda: job(NAME, attempts=1, when_dead=takes_more)(run_generation),
            "takes_more takes what no worker has",
        ),
        (lambda: job("run_generation", attempts=1)(run_generation), "declared twice"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_declared(
    declare: Callable[[], Any], message: str
) -> None:
    known = dict(declared_work().jobs)
    with pytest.raises(TypeError, match=message):
        declare()
    assert declared_work().jobs == known


async def test_a_dead_letter_is_tried_again_once_as_its_slice_says(
    owner: asyncpg.Connection, clean_queue: None
) -> None:
    """A job that no slice retries in its own way, and one of a generation's that was not readable."""
    for entrypoint in (NAME, "run_generation", 'it\'s "odd"'):
        payload = uuid4().bytes
        dead = await owner.fetchval(
            "select app.move_to_dead_letters($1, $2, null, 1, 'a reason')", entrypoint, payload
        )
        for _ in range(2):
            assert await owner.fetchval("select app.requeue_dead_job($1, null)", dead) == dead
        queued = await owner.fetch(
            "delete from queue.pgqueuer where payload = $1 returning entrypoint, dedupe_key",
            payload,
        )
        assert [tuple(row) for row in queued] == [(entrypoint, f"dead:{dead}")]
        noted = "select count(*) from audit_log where detail ->> 'jobId' = $1"
        assert await owner.fetchval(noted, str(dead)) == 1
