"""Large columns weigh by their size, and neither Postgres nor a process makes too many bytes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError
from graph.engine.documents.limits import Limits
from graph.engine.execution.engine import Engine
from graph.shared.answer_memory import SMALL_BYTES, AnswerMemory
from graph.shared.errors import RequestError

from ..conftest import MakeUser
from .conftest import Ask
from .test_limits import estimate

ALL = "analysis chatHistory thumbnail"
ANALYSIS_BYTES = 250_000
ROWS = 40
# The function that counts is called by these, however they reach the rows.
READS = [
    "{ viewer { profiles(first: 100) { nodes { analysis } } } }",
    "{ viewer { profiles(first: 100) { edges { node { analysis } } pageInfo { hasNextPage } } } }",
    "{ viewer { a: profiles(first: 20) { nodes { analysis } } b: profiles(last: 20) { nodes { analysis } } } }",
    "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Profile { analysis } } }",
    'mutation { spendCredits(input: {amount: 1, idempotencyKey: "large"}) { errors { code } '
    "viewer { profiles(first: 100) { nodes { analysis } } } } }",
]


@pytest.fixture
async def rich(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """Somebody whose analyses have more bytes than one answer may have; stored, they are small."""
    actor = await make_user()
    await owner.execute(
        "insert into profiles (user_id, analysis)"
        " select $1, jsonb_build_object('a', repeat('x', $2)) from generate_series(1, $3)",
        actor.user_id,
        ANALYSIS_BYTES,
        ROWS,
    )
    return actor


@pytest.mark.parametrize(
    ("text", "cost", "large_bytes"),
    [
        ("{ viewer { profiles(first: 1) { nodes { name } } } }", 4, 0),
        ("{ viewer { profiles(first: 1) { nodes { analysis } } } }", 4 + 16, 262_144),
        ("{ viewer { profiles(first: 1) { nodes { thumbnail } } } }", 4 + 32, 524_288),
        (f"{{ viewer {{ profiles(first: 100) {{ nodes {{ {ALL} }} }} }} }}", 6_802, 104_857_600),
        ("subscription { profilesChanged { profile { analysis } } }", 3 + 16, 262_144),
    ],
)
def test_a_large_column_weighs_by_its_size(
    engine: Engine, text: str, cost: int, large_bytes: int
) -> None:
    found = estimate(engine, text)
    assert (found.cost, found.large_bytes) == (cost, large_bytes)
    limits = Limits()
    assert found.room_bytes(limits) == found.bytes + min(large_bytes, limits.answer_bytes)


def test_what_many_clients_ask_for_is_small(engine: Engine) -> None:
    page = "nodes { id name createdAt updatedAt } pageInfo { hasNextPage endCursor }"
    text = f"{{ viewer {{ id email profiles(first: 100) {{ {page} }} }} }}"
    assert estimate(engine, text).room_bytes(Limits()) < SMALL_BYTES


async def test_four_heavy_reads_in_one_are_refused_before_they_run(
    ask: Ask, make_user: MakeUser
) -> None:
    pages = " ".join(f"p{n}: profiles(first: 100) {{ nodes {{ {ALL} }} }}" for n in range(4))
    with pytest.raises(RequestError) as caught:
        await ask(f"{{ viewer {{ {pages} }} }}", actor=await make_user())
    assert caught.value.code == "QUERY_TOO_COMPLEX"


async def test_names_asked_for_many_times_are_refused_by_their_bytes(
    ask: Ask, make_user: MakeUser
) -> None:
    names = " ".join(f"n{n}: name" for n in range(90))
    with pytest.raises(RequestError, match="size in bytes"):
        await ask(
            f"{{ viewer {{ profiles(first: 100) {{ nodes {{ {names} }} }} }} }}",
            actor=await make_user(),
        )


@pytest.mark.parametrize("text", READS)
async def test_an_answer_stops_at_its_bound(
    ask: Ask, rich: Actor, owner: asyncpg.Connection, text: str
) -> None:
    rows = await owner.fetch("select id from profiles where user_id = $1", rich.user_id)
    variables = {"ids": [f"profile_{row['id']}" for row in rows]} if "$ids" in text else {}
    answer = await ask(text, variables, actor=rich)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert "fewer rows" in error["message"]
    assert not answer["data"] or list(answer["data"].values()) == [None]
    # What was refused did nothing, and the next answer is counted from nothing.
    fewer = "{ viewer { credits { balance } profiles(first: 30) { nodes { analysis } } } }"
    viewer = (await ask(fewer, actor=rich))["data"]["viewer"]
    assert len(viewer["profiles"]["nodes"]) == 30
    assert viewer["credits"]["balance"] == 10


async def test_the_fields_of_a_mutation_have_one_bound_together(ask: Ask, rich: Actor) -> None:
    fields = " ".join(
        f'm{n}: spendCredits(input: {{amount: 1, idempotencyKey: "m{n}"}}) {{ errors {{ code }} '
        "viewer { profiles(first: 20) { nodes { analysis } } } }"
        for n in range(2)
    )
    answer = await ask(f"mutation {{ {fields} }}", actor=rich)
    assert answer["data"]["m0"]["errors"] == []
    assert answer["data"]["m1"] is None
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["m1"], "LIMIT_EXCEEDED")


async def test_large_values_are_what_they_were(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    values: dict[str, Any] = {
        "analysis": {"é\u0001": ['"\\/', 1.50, None, True, {}]},
        "chatHistory": [],
        "thumbnail": None,
    }
    await owner.execute(
        "insert into profiles (user_id, analysis, chat_history) values ($1, $2, '[]')",
        actor.user_id,
        orjson.dumps(values["analysis"]).decode(),
    )
    answer = await ask(f"{{ viewer {{ profiles {{ nodes {{ {ALL} }} }} }} }}", actor=actor)
    assert answer["data"]["viewer"]["profiles"]["nodes"] == [values]


async def test_a_user_waits_for_room_and_nobody_else_does() -> None:
    memory = AnswerMemory(process_bytes=100, user_bytes=40)
    first = await memory.enter("ada", "net", 30)
    waiting = asyncio.create_task(memory.enter("ada", "net", 30))
    await asyncio.sleep(0)
    other = await memory.enter("bob", "net", 40)
    assert not waiting.done()
    first.shrink(5)
    second = await waiting
    assert memory.held_bytes == 75
    for room in (first, second, other):
        room.leave()
        room.leave()
    assert memory.held_bytes == 0
    assert not memory._held


@pytest.mark.parametrize(
    ("user", "network", "code"),
    [
        ("ada", "elsewhere", "RATE_LIMITED"),
        ("eve", "net", "RATE_LIMITED"),
        ("eve", "elsewhere", "SERVICE_UNAVAILABLE"),
    ],
)
async def test_who_finds_no_room_is_told(
    monkeypatch: pytest.MonkeyPatch, user: str, network: str, code: str
) -> None:
    monkeypatch.setattr("graph.shared.answer_memory.WAIT_SECONDS", 0.01)
    memory = AnswerMemory(process_bytes=90, user_bytes=40)
    rooms = [await memory.enter(name, "net", 40) for name in ("ada", "bob")]
    with pytest.raises(DomainError) as caught:
        await memory.enter(user, network, 40)
    assert caught.value.code == code
    assert memory.held_bytes == 80
    for room in rooms:
        room.leave()
    assert not memory._held


async def test_who_leaves_while_waiting_takes_no_room() -> None:
    memory = AnswerMemory(process_bytes=40, user_bytes=40)
    first = await memory.enter("ada", "net", 40)
    waiting = asyncio.create_task(memory.enter("bob", "net", 40))
    await asyncio.sleep(0)
    first.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert memory.held_bytes == 0
