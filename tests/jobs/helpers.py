"""What the tests of jobs start from: uploads with a real photo, generations, and odd providers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import text

from db.core.actor import Actor
from db.core.commands import call
from db.core.pool import Database
from db.files.decoding import inspect_image
from db.files.images import InspectedImage
from db.files.storage import Storage, upload_path
from db.generations.operations import (
    MadeGeneration,
    RunnableGeneration,
    finish_generation,
    start_generation,
)
from db.uploads.operations import UploadLimits, UploadRecords, create_upload, delete_upload
from jobs.core.declare import RetryLater, WorkerServices
from jobs.core.worker import Worker
from jobs.generations import GenerationRun
from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    Provider,
    ProviderError,
    ProviderLimits,
)
from settings import Settings

from ..pictures import as_jpeg, portrait

PROVIDER = "fake"
CREATE = text("select app.create_generation(:tool_id, :upload_id, :parameters, :key, :mask)")
CANCEL = text("select app.cancel_generation(:id, :key)")
COLOR = {"color": "#8b3a62"}
# A user with ten credits, and the photo of theirs that is ready.
Someone = tuple[Actor, UUID]
Start = Callable[[Provider], Worker]
MakeSettings = Callable[..., Settings]
MakeServices = Callable[[Provider], WorkerServices]


@cache
def photo() -> InspectedImage:
    """A drawn portrait, large enough for its eyes to be seen, as it lies in storage."""
    return inspect_image(as_jpeg(portrait(300, 400).picture), 40_000_000)


async def awaiting_upload(database: Database, actor: Actor) -> UUID:
    """An upload that has no photo yet."""
    async with database.transaction(actor) as transaction:
        created = create_upload("image/jpeg", 5_000, UploadLimits.of(Settings()))
        return await call(transaction, created)


async def ready_upload(
    database: Database, storage: Storage, actor: Actor, image: InspectedImage | None = None
) -> UUID:
    """An upload with its photo, the same one unless another is given."""
    upload_id = await awaiting_upload(database, actor)
    assert actor.user_id is not None
    image = image or photo()
    await storage.put(upload_path(actor.user_id, upload_id), image.data)
    await UploadRecords(database).mark_ready(
        upload_id,
        sha256=image.sha256,
        width=image.width_pixels,
        height=image.height_pixels,
        size_bytes=len(image.data),
        content_type=image.content_type,
    )
    return upload_id


async def delete_photo(database: Database, storage: Storage, actor: Actor, upload_id: UUID) -> None:
    """Deletes a photo of a user's, then its files."""
    command = delete_upload(database, storage, upload_id)
    async with database.transaction(actor) as transaction:
        await call(transaction, command)
    assert command.after is not None
    await command.after()


async def create_generation(
    database: Database,
    actor: Actor,
    upload_id: UUID,
    tool_id: str = "hair-color",
    parameters: dict[str, object] | None = None,
    key: str | None = None,
    mask: UUID | None = None,
) -> UUID:
    """Starts a generation as the user would."""
    async with database.transaction(actor) as transaction:
        generation_id: UUID = await transaction.fetch_value(
            CREATE,
            tool_id=tool_id,
            upload_id=upload_id,
            parameters=COLOR if parameters is None else parameters,
            key=key or str(uuid4()),
            mask=mask,
        )
    return generation_id


async def wallet(owner: asyncpg.Connection, actor: Actor) -> tuple[int, int]:
    """Balance and held credits."""
    row = await owner.fetchrow(
        "select balance, held from wallets where user_id = $1", actor.user_id
    )
    return row["balance"], row["held"]


async def generation(owner: asyncpg.Connection, generation_id: UUID) -> asyncpg.Record:
    """The generation with its hold's status."""
    return await owner.fetchrow(
        "select g.*, h.status as hold_status from generations g"
        " left join credit_holds h on h.id = g.hold_id where g.id = $1",
        generation_id,
    )


async def logged(owner: asyncpg.Connection, generation_id: UUID) -> list[str]:
    """How the attempts at a generation ended, in their order."""
    rows = await owner.fetch(
        "select outcome from ai_generation_logs where generation_id = $1 order by attempt",
        generation_id,
    )
    return [row["outcome"] for row in rows]


async def eventually(
    check: Callable[[], Awaitable[object]], seconds: float, every_seconds: float = 0.02
) -> None:
    """Returns once the check answers with something true; fails when that takes longer."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(every_seconds)


async def ended(owner: asyncpg.Connection, generation_id: UUID, seconds: float) -> asyncpg.Record:
    """The generation once it has ended; fails when that takes longer than `seconds`."""

    async def check() -> bool:
        row = await generation(owner, generation_id)
        return row["status"] not in {"QUEUED", "RUNNING"}

    await eventually(check, seconds)
    return await generation(owner, generation_id)


ROOMY = ProviderLimits(timeout_seconds=120, concurrent_calls=50)


@dataclass
class FakeProvider:
    """Answers with the photo it got, after a while or after failing a number of times."""

    error: ProviderError | None = None
    failures: int = 0
    seconds: float = 0.0
    calls: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "fake"
    limits: ProviderLimits = ROOMY
    makes: frozenset[str] | None = None

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        self.calls += 1
        self.called.set()
        await asyncio.sleep(self.seconds)
        if self.error is not None and self.calls <= self.failures:
            raise self.error
        return GenerationOutcome(request.image, "image/jpeg", {"by": self.name}, False, {})


async def begun(database: Database, generation_id: UUID) -> RunnableGeneration:
    """The generation with its next attempt begun."""
    started = await start_generation(database, generation_id, PROVIDER, 3)
    assert isinstance(started, RunnableGeneration)
    return started


def made(result: dict[str, object] | None = None) -> MadeGeneration:
    """What an attempt brought."""
    return MadeGeneration(result or {"n": 1}, None, None, False, PROVIDER, 12, {"tokens": 3}, 450)


async def finish(database: Database, generation_id: UUID) -> None:
    """Runs a generation to its success."""
    assert await finish_generation(database, await begun(database, generation_id), made())


async def cancel(
    database: Database, actor: Actor, generation_id: UUID, key: str | None = None
) -> None:
    """Calls a generation off as its user would."""
    async with database.transaction(actor) as transaction:
        await transaction.fetch_value(CANCEL, id=generation_id, key=key)


async def queued(owner: asyncpg.Connection) -> list[UUID]:
    """The generations that have a job, in the queue's order."""
    rows = await owner.fetch(
        "select convert_from(payload, 'UTF8')::json ->> 'generation_id' as generation from queue.pgqueuer"
        " order by priority desc, id"
    )
    return [UUID(row["generation"]) for row in rows]


async def different(database: Database, actor: Actor, upload_id: UUID, count: int) -> list[UUID]:
    """Generations from one photo, none of which equals another."""
    return [
        await create_generation(database, actor, upload_id, parameters={"color": f"#{n:06x}"})
        for n in range(count)
    ]


async def queue_is_empty(owner: asyncpg.Connection) -> bool:
    """Whether no job waits or runs."""
    return not await owner.fetchval("select count(*) from queue.pgqueuer")


async def enqueued(database: Database, storage: Storage, actor: Actor, n: int = 0) -> UUID:
    """A generation from a photo of its own."""
    upload_id = await ready_upload(database, storage, actor)
    return await create_generation(database, actor, upload_id, parameters={"color": f"#00000{n}"})


async def run_generation(services: WorkerServices, generation_id: UUID) -> None:
    """Runs a generation to its end, as a worker does, without its pauses."""
    while True:
        try:
            return await GenerationRun(services, generation_id).run()
        except RetryLater:
            continue


async def notifications(owner: asyncpg.Connection, actor: Actor) -> list[str]:
    """What a user was told, in its order."""
    rows = await owner.fetch(
        "select title_key from notifications where user_id = $1 order by id", actor.user_id
    )
    return [row["title_key"] for row in rows]


async def movements(owner: asyncpg.Connection, actor: Actor) -> list[str]:
    """The types of the entries in a user's ledger, in their order."""
    rows = await owner.fetch(
        "select type from credit_transactions where user_id = $1 order by id", actor.user_id
    )
    return [row["type"] for row in rows]


async def stored_results(storage: Storage, actor: Actor) -> list[str]:
    """The results that lie in storage for a user."""
    chunks = storage._store.list(f"generations/{actor.user_id}")
    return [meta["path"] for chunk in chunks for meta in chunk]
