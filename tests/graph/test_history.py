"""A client shows a user's photos with what they take, and a history that outlives its tools."""

from __future__ import annotations

import asyncpg
import orjson

from db.core.commands import call
from db.core.pool import Database
from db.files.storage import open_storage
from db.generations import operations
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import awaiting_upload, create_generation, finish, photo, ready_upload
from .conftest import Ask

UPLOADS = """{ viewer { uploads(first: 10) { totalCount
  nodes { id createdAt contentType sizeBytes status imageUrl } } } }"""
DELETE = "mutation($id: ID!) { deleteUpload(input: {id: $id}) { deletedId errors { code } } }"
HISTORY = """{ viewer { generations { nodes {
  id toolId tool { id } upload { id status sizeBytes } } } } }"""
WATCH = "subscription { generationsChanged { cursor generation { id status toolId } deletedId } }"


async def test_uploads_are_listed_with_what_they_take(
    ask: Ask, make_user: MakeUser, database: Database, settings: Settings
) -> None:
    actor, other = await make_user(), await make_user()
    storage = open_storage(settings)
    await ready_upload(database, storage, other)
    deleted = await ready_upload(database, storage, actor)
    ready = await ready_upload(database, storage, actor)
    waiting = await awaiting_upload(database, actor)
    gone = (await ask(DELETE, {"id": f"upload_{deleted}"}, actor=actor))["data"]["deleteUpload"]
    assert gone == {"deletedId": f"upload_{deleted}", "errors": []}
    listed = (await ask(UPLOADS, actor=actor))["data"]["viewer"]["uploads"]
    assert listed["totalCount"] == 2
    first, second = listed["nodes"]
    assert first.items() >= {"id": f"upload_{waiting}", "sizeBytes": 5_000}.items()
    assert (first["status"], first["imageUrl"]) == ("AWAITING", None)
    image = photo()
    assert second.items() >= {"id": f"upload_{ready}", "contentType": image.content_type}.items()
    assert (second["status"], second["sizeBytes"]) == ("READY", len(image.data))
    assert second["imageUrl"].startswith("http")
    assert second["createdAt"] < first["createdAt"]


async def test_history_survives_a_tool_that_is_switched_off_and_a_deleted_photo(
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, open_storage(settings), actor)
    made = await create_generation(database, actor, upload_id)
    await finish(database, made)
    await ask(DELETE, {"id": f"upload_{upload_id}"}, actor=actor)
    await owner.execute("update tools set is_active = false where id = 'hair-color'")
    try:
        (node,) = (await ask(HISTORY, actor=actor))["data"]["viewer"]["generations"]["nodes"]
    finally:
        await owner.execute("update tools set is_active = true where id = 'hair-color'")
    assert node == {
        "id": f"generation_{made}",
        "toolId": "tool_hair-color",
        "tool": None,
        "upload": {"id": f"upload_{upload_id}", "status": "DELETED", "sizeBytes": 5_000},
    }


async def test_all_of_the_callers_generations_can_be_watched(
    engine: Engine,
    services: Services,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
) -> None:
    actor, other = await make_user(), await make_user()
    storage = open_storage(settings)
    uploads = [await ready_upload(database, storage, one) for one in (actor, other)]
    stream = Subscriber(engine, services.hub.subscribe, lambda: actor).stream(WATCH, {}, None)
    seen = [orjson.loads((await anext(stream)).body)["data"]["generationsChanged"]]
    assert seen[0]["generation"] is None
    made = []
    for who, upload_id in ((actor, uploads[0]), (other, uploads[1])):
        made.append(await create_generation(database, who, upload_id))
        await finish(database, made[-1])
    services.hub.wake()
    async for item in stream:
        seen.append(orjson.loads(item.body)["data"]["generationsChanged"])
        if seen[-1]["generation"]["status"] == "SUCCEEDED":
            break
    own = {"id": f"generation_{made[0]}", "toolId": "tool_hair-color"}
    shown = [one["generation"] for one in seen[1:]]
    assert shown[0] == {**own, "status": "QUEUED"}
    assert shown[-1] == {**own, "status": "SUCCEEDED"}
    assert {one["id"] for one in shown} == {own["id"]}
    resumed = Subscriber(engine, services.hub.subscribe, lambda: actor).stream(
        WATCH.replace("Changed", f'Changed(after: "{seen[-2]["cursor"]}")'), {}, None
    )
    again = orjson.loads((await anext(resumed)).body)["data"]["generationsChanged"]
    assert again == seen[-1]
    async with database.transaction(actor) as transaction:
        await call(transaction, operations.delete_generation(made[0]))
    services.hub.wake()
    gone = orjson.loads((await anext(stream)).body)["data"]["generationsChanged"]
    assert (gone["generation"], gone["deletedId"]) == (None, own["id"])
    await stream.aclose()
    await resumed.aclose()
