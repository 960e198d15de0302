"""Chats and analyses through the API: what is held, what is charged, who may call off what."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest

from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from .chatting import Chat, codes, key
from .conftest import Ask

HISTORY = """{ node(id: "%s") { ... on Profile { analysis chatMessages { nodes { role text status } }
  analyses { nodes { status madeOffline } } } } }"""
AUDITED = "{ viewer { auditLog { nodes { action subject } } } }"
RESULT = (
    """{ node(id: "%s") { ... on ProfileAnalysis { status result creditsCharged madeOffline } } }"""
)


@pytest.fixture
def chat(ask: Ask, owner: asyncpg.Connection, services: Services, settings: Settings) -> Chat:
    return Chat(ask, owner, services, settings)


async def test_the_same_key_is_one_message_and_one_hold(chat: Chat, make_user: MakeUser) -> None:
    actor = await make_user()
    profile, once = await chat.profile(actor), str(uuid4())
    asked = {"profile": profile, "text": "Who is this?", "key": once}
    first, second = await asyncio.gather(*(chat("send", actor, **asked) for _ in range(2)))
    assert first["message"]["id"] == second["message"]["id"]
    assert await chat.wallet(actor) == (10, 2)
    await chat.run(first["message"]["id"])
    again = await chat("send", actor, **asked)
    assert again["message"] == {**first["message"], **again["message"]}
    assert again["message"]["status"] == "SUCCEEDED"
    assert await chat.wallet(actor) == (9, 0)
    shown = (await chat.ask(HISTORY % profile, actor=actor))["data"]["node"]["chatMessages"][
        "nodes"
    ]
    assert [one["role"] for one in shown] == ["ASSISTANT", "USER"]


async def test_the_last_credit_buys_as_long_a_reply_as_it_is_worth(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    spend = 'mutation { spendCredits(input: {amount: 9, idempotencyKey: "k"}) { errors { code } } }'
    spent = (await chat.ask(spend, actor=actor))["data"]["spendCredits"]
    assert spent["errors"] == []
    reply = await chat.sent(actor)
    assert await chat.wallet(actor) == (1, 1)
    longest = "select max_output_tokens from ai_runs where id = $1"
    assert await chat.owner.fetchval(longest, key(reply)) <= 2000
    await chat.run(reply)
    assert (await chat.row(reply))["status"] == "SUCCEEDED"
    assert await chat.wallet(actor) == (0, 0)
    profile = await chat.profile(actor)
    refused = await chat("send", actor, profile=profile, text="And now?", key=str(uuid4()))
    assert codes(refused) == ["INSUFFICIENT_CREDITS"]


async def test_analyses_and_the_use_of_credits_are_in_the_audit_log(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    for _ in range(2):
        asked = {"profile": await chat.profile(actor), "key": str(uuid4())}
        made = (await chat("analyze", actor, **asked))["analysis"]["id"]
        await chat.run(made)
    answer = await chat.ask(AUDITED, actor=actor)
    found = [
        (one["action"], one["subject"]) for one in answer["data"]["viewer"]["auditLog"]["nodes"]
    ]
    # Uses of credits are noted once in an hour.
    assert sorted(found) == [
        ("ANALYSIS", "succeeded"),
        ("ANALYSIS", "succeeded"),
        ("CREDIT_USE", None),
    ]


async def test_a_reply_called_off_before_its_first_word_costs_nothing(
    chat: Chat, make_user: MakeUser
) -> None:
    actor, stranger = await make_user(), await make_user()
    reply = await chat.sent(actor)
    assert codes(await chat("cancel", stranger, id=reply)) == ["NOT_FOUND"]
    assert (await chat.row(reply))["status"] == "QUEUED"
    cancelled = await chat("cancel", actor, id=reply)
    assert (cancelled["message"]["status"], cancelled["message"]["creditsCharged"]) == (
        "CANCELLED",
        0,
    )
    assert await chat.wallet(actor) == (10, 0)
    await chat.run(reply)  # its job comes too late
    again = await chat("cancel", actor, id=reply)
    assert again["message"] == cancelled["message"]
    assert await chat.outcomes(reply) == []


async def test_of_a_reply_called_off_in_the_middle_what_was_written_is_kept_and_paid(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    reply = await chat.sent(actor, "Tell me all " * 300)
    running = asyncio.create_task(chat.run(reply))
    async with asyncio.timeout(10):
        while not (await chat.row(reply))["chunks"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    cancelled = await chat("cancel", actor, id=reply)
    await running
    row = await chat.row(reply)
    assert (row["status"], row["run_status"], row["chunks"]) == ("CANCELLED", "CANCELLED", 0)
    assert row["text"] == cancelled["message"]["text"] != ""
    assert row["credits_charged"] == 1
    assert await chat.wallet(actor) == (9, 0)
    assert await chat.outcomes(reply) == ["CANCELLED"]


async def test_a_profile_that_is_deleted_meanwhile_gives_the_credits_back(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    profile = await chat.profile(actor)
    reply = await chat.sent(actor, profile=profile)
    await chat.owner.execute("delete from profiles where id = $1", key(profile))
    await chat.run(reply)
    assert await chat.wallet(actor) == (10, 0)
    status = await chat.owner.fetchval("select status from ai_runs where id = $1", key(reply))
    assert status == "CANCELLED"


async def test_what_an_analysis_replaces_can_be_brought_back(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    profile = await chat.profile(actor)
    asked = await chat("analyze", actor, profile=profile, key="one")
    # An edit that came while it was being written.
    during = {"overall_analysis": {"summary": "Mine"}, "notes": "during"}
    await chat.owner.execute(
        "update profiles set analysis = $2 where id = $1", key(profile), json.dumps(during)
    )
    await chat.run(asked["analysis"]["id"])
    lost = "{ viewer { syncConflicts { nodes { id fieldGroup loser status value } } } }"
    (kept,) = (await chat.ask(lost, actor=actor))["data"]["viewer"]["syncConflicts"]["nodes"]
    assert (kept["fieldGroup"], kept["loser"], kept["status"]) == ("ANALYSIS", "SERVER", "SETTLED")
    assert kept["value"] == during
    back = (
        "mutation($id: ID!) { resolveConflict(input: {id: $id, keep: LOST}) { errors { code } } }"
    )
    await chat.ask(back, {"id": kept["id"]}, actor=actor)
    node = (await chat.ask(HISTORY % profile, actor=actor))["data"]["node"]
    assert node["analysis"] == during
    # The result itself is kept, too, and one that takes nothing away keeps no version.
    assert len((await chat.ask(lost, actor=actor))["data"]["viewer"]["syncConflicts"]["nodes"]) == 2


async def test_without_any_ai_an_analysis_counts_what_is_there_and_keeps_the_rest(
    chat: Chat, make_user: MakeUser
) -> None:
    actor = await make_user()
    profile = await chat.profile(actor)
    await chat.run(await chat.sent(actor, "Is this serious?", profile))
    asked = await chat("analyze", actor, profile=profile, key="one")
    assert asked["errors"] == []
    assert asked["analysis"]["status"] == "QUEUED"
    await chat.run(asked["analysis"]["id"])
    found = (await chat.ask(RESULT % asked["analysis"]["id"], actor=actor))["data"]["node"]
    assert (found["status"], found["creditsCharged"], found["madeOffline"]) == (
        "SUCCEEDED",
        1,
        True,
    )
    assert found["result"]["measured"]["questions"] == 1
    assert "without any AI" in found["result"]["overall_analysis"]["summary"]
    node = (await chat.ask(HISTORY % profile, actor=actor))["data"]["node"]
    assert node["analysis"]["overall_analysis"] == found["result"]["overall_analysis"]
    assert node["analysis"]["recommended_openers"]
    assert node["analyses"]["nodes"] == [{"status": "SUCCEEDED", "madeOffline": True}]
    assert await chat.wallet(actor) == (8, 0)
