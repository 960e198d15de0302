"""A mask is an upload like any other: its owner's, looked at before, kept while it is needed."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import asyncpg
import pytest
from PIL import Image

from db.core.actor import Actor
from db.core.commands import call
from db.core.pool import Database
from db.files.decoding import inspect_image
from db.files.images import InspectedImage
from db.files.storage import Storage
from db.uploads.operations import delete_upload
from db.uploads.receiving import sweep_uploads
from jobs.core.declare import WorkerServices
from jobs.generations import GenerationRun
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider

from ..conftest import MakeUser
from ..pictures import encoded
from .helpers import (
    COLOR,
    CREATE,
    Someone,
    awaiting_upload,
    cancel,
    create_generation,
    generation,
    queued,
    ready_upload,
)

pytestmark = pytest.mark.usefixtures("clean_queue")


def mask(share: float) -> InspectedImage:
    """White from the left, as far as the share says."""
    picture = Image.new("L", (60, 80))
    picture.paste(255, (0, 0, round(60 * share), 80))
    return inspect_image(encoded(picture, "PNG"), 40_000_000)


async def refusal(
    database: Database, actor: Actor, upload_id: UUID, wanted: UUID, tool_id: str = "hair-color"
) -> tuple[str, object]:
    """The code and the details of a refused generation."""
    parameters = COLOR if tool_id == "hair-color" else {}
    with pytest.raises(asyncpg.PostgresError) as refused:
        await create_generation(database, actor, upload_id, tool_id, parameters, mask=wanted)
    assert refused.value.sqlstate == "TG000"
    return str(refused.value.hint), refused.value.detail


async def test_a_mask_decides_where_a_worker_lets_the_colour_go(
    database: Database, storage: Storage, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    quarter = await ready_upload(database, storage, actor, mask(0.25))
    generation_id = await create_generation(database, actor, upload_id, mask=quarter)
    provider = Providers(OfflineProvider())
    services = WorkerServices(database, storage, provider, lambda: None)
    await GenerationRun(services, generation_id).run()
    row = await generation(owner, generation_id)
    assert row["status"] == "SUCCEEDED"
    assert '"regionFoundBy": "mask"' in row["result"]
    assert json.loads(row["result"])["hairShare"] == pytest.approx(0.25, abs=0.001)


async def test_another_mask_is_another_generation_and_the_same_picture_is_the_same(
    database: Database, storage: Storage, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    one, same, other = [
        await ready_upload(database, storage, actor, mask(share)) for share in (0.5, 0.5, 0.7)
    ]
    without = await create_generation(database, actor, upload_id)
    first = await create_generation(database, actor, upload_id, mask=one)
    follower = await create_generation(database, actor, upload_id, mask=same)
    second = await create_generation(database, actor, upload_id, mask=other)
    assert await queued(owner) == [without, first, second]
    assert (await generation(owner, follower))["follows_id"] == first


async def test_a_mask_that_cannot_be_used_is_refused_at_its_field(
    database: Database, storage: Storage, someone: Someone, make_user: MakeUser
) -> None:
    actor, upload_id = someone
    at_mask = '{"path": ["input", "maskUploadId"]}'
    foreign = await ready_upload(database, storage, await make_user())
    for wanted in (foreign, uuid4()):
        assert await refusal(database, actor, upload_id, wanted) == ("NOT_FOUND", at_mask)
    awaiting = await awaiting_upload(database, actor)
    assert await refusal(database, actor, upload_id, awaiting) == ("UPLOAD_MISSING", at_mask)
    ready = await ready_upload(database, storage, actor)
    refused = await refusal(database, actor, upload_id, ready, "halloween")
    assert refused == ("BAD_USER_INPUT", at_mask)


async def test_a_key_used_with_another_mask_is_a_conflict(
    database: Database, storage: Storage, someone: Someone
) -> None:
    actor, upload_id = someone
    one, other = [await ready_upload(database, storage, actor, mask(n)) for n in (0.5, 0.7)]
    again = {"tool_id": "hair-color", "upload_id": upload_id, "parameters": COLOR, "key": "k"}
    first = await create_generation(database, actor, upload_id, key="k", mask=one)
    async with database.transaction(actor) as transaction:
        assert await transaction.fetch_value(CREATE, **again, mask=one) == first
    for wanted in (other, None):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await create_generation(database, actor, upload_id, key="k", mask=wanted)
        assert refused.value.hint == "IDEMPOTENCY_CONFLICT"


async def test_a_mask_stays_while_a_generation_needs_it(
    database: Database, storage: Storage, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    kept = await ready_upload(database, storage, actor, mask(0.5))
    generation_id = await create_generation(database, actor, upload_id, mask=kept)

    async def delete() -> None:
        async with database.transaction(actor) as transaction:
            await call(transaction, delete_upload(database, storage, kept))

    with pytest.raises(asyncpg.PostgresError, match="A generation is being made"):
        await delete()
    await owner.execute(
        "update uploads set created_at = now() - interval '25 hours', used_at = null where id = $1",
        kept,
    )
    await sweep_uploads(database, storage)
    assert await owner.fetchval("select status from uploads where id = $1", kept) == "READY"
    await cancel(database, actor, generation_id)
    await delete()


async def test_parameters_are_small(
    database: Database, someone: Someone, owner: asyncpg.Connection
) -> None:
    actor, upload_id = someone
    with pytest.raises(asyncpg.PostgresError, match="Send pictures as uploads") as refused:
        await create_generation(database, actor, upload_id, parameters={"mask": "A" * 8192})
    assert refused.value.hint == "BAD_USER_INPUT"
    generation_id = await create_generation(
        database, actor, upload_id, parameters={"note": "A" * 8000}
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "update generations set parameters = to_jsonb(repeat('A', 8192)) where id = $1",
            generation_id,
        )
