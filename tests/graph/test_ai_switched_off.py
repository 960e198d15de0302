"""While no AI is asked, what waits for one ends with its credits back, and nothing is begun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.pool import Database
from db.files.storage import open_storage
from graph.shared.switches import SwitchWatch
from jobs.generations import GenerationRun
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, generation, movements, ready_upload
from .chatting import Chat
from .conftest import Ask

GENERATE = """mutation($upload: ID!) { createGeneration(input: {toolId: "hair-color",
  uploadId: $upload, parameters: {color: "#112233"}, idempotencyKey: "k"}) {
  generation { id } errors { code } } }"""


@pytest.fixture
async def chat(
    ask: Ask, owner: asyncpg.Connection, services: Services, settings: Settings
) -> AsyncIterator[Chat]:
    """Somebody who chats; AI is on again behind the test."""
    yield Chat(ask, owner, services, settings)
    await owner.execute("update switches set ai_enabled = true")
    await services.of(SwitchWatch.of).look()


async def switch_off(chat: Chat) -> None:
    await chat.owner.execute("update switches set ai_enabled = false")


async def test_a_generation_is_refused_before_credits_are_held(
    chat: Chat, make_user: MakeUser, database: Database
) -> None:
    actor = await make_user()
    upload = await ready_upload(database, open_storage(chat.settings), actor)
    await switch_off(chat)
    await chat.services.of(SwitchWatch.of).look()
    answer = await chat.ask(GENERATE, {"upload": f"upload_{upload}"}, actor=actor)
    assert answer["data"]["createGeneration"] == {
        "generation": None,
        "errors": [{"code": "AI_DISABLED"}],
    }
    assert await chat.wallet(actor) == (10, 0)


async def test_generations_that_wait_end_with_their_credits_back(
    chat: Chat, make_user: MakeUser, database: Database
) -> None:
    actor = await make_user()
    upload = await ready_upload(database, open_storage(chat.settings), actor)
    # Three have jobs; the fourth gets one when one of them ends.
    ids = [
        await create_generation(database, actor, upload, parameters={"color": f"#00000{n}"})
        for n in range(4)
    ]
    assert await chat.wallet(actor) == (10, 4)
    await switch_off(chat)
    for wanted in (*ids, ids[0]):
        await GenerationRun(chat.worker, wanted).run()
    for wanted in ids:
        row = await generation(chat.owner, wanted)
        assert (row["status"], row["error_code"], row["attempts"]) == ("FAILED", "AI_DISABLED", 0)
    assert await chat.wallet(actor) == (10, 0)
    assert (await movements(chat.owner, actor)).count("RELEASE") == 4


async def test_replies_and_analyses_that_wait_end_with_their_credits_back(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    profile = await chat.profile(actor)
    reply = await chat.sent(actor, profile=profile)
    analysis = await chat("analyze", actor, profile=profile, key=str(uuid4()))
    wanted = analysis["analysis"]["id"]
    held = (await chat.wallet(actor))[1]
    assert held > 0
    await switch_off(chat)
    for one in (reply, wanted, reply):
        await chat.run(one)
    row = await chat.row(reply)
    assert (row["status"], row["error_code"]) == ("FAILED", "AI_DISABLED")
    status = await chat.owner.fetchrow(
        "select status, error_code from profile_analyses where id = $1",
        UUID(wanted.removeprefix("profileAnalysis_")),
    )
    assert tuple(status) == ("FAILED", "AI_DISABLED")
    assert await chat.wallet(actor) == (10, 0)
    # On again, the next is made.
    await chat.owner.execute("update switches set ai_enabled = true")
    again = await chat.sent(actor, profile=profile)
    await chat.run(again)
    assert (await chat.row(again))["status"] == "SUCCEEDED"
