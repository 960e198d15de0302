"""One user, and one address, may change so much in a time; reading is not counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from auth import mutation_rates as module
from auth.mutation_rates import BURST_SECONDS, MutationRates
from db.core.actor import Actor
from db.core.errors import RateLimited
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from server.http import GraphQLHttp
from server.services import Services
from settings import Settings

from ..conftest import MakeUser

PER_USER, PER_ADDRESS = 1, 3
MARK = 'markNotificationRead(input: {id: "notification_0"}) { errors { code } }'
MANY = "mutation { " + " ".join(f"a{n}: {MARK}" for n in range(BURST_SECONDS + 2)) + " }"
FULL = """mutation {
  createProfile(input: {localId: 1, analysis: {}, chatHistory: [], name: "x"}) { errors { code } }
}"""
NOT_FOUND = {"errors": [{"code": "NOT_FOUND"}]}


class Clock:
    """A clock that the test turns."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the rates; refusals do not wait."""
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.0)
    return Clock()


@pytest.fixture
def slow(services: Services, settings: Settings, clock: Clock) -> Services:
    """The services of a deployment where one mutation a second is enough."""
    limits = {"mutations_per_user": PER_USER, "mutations_per_address": PER_ADDRESS}
    return replace(services, mutations=MutationRates(settings.model_copy(update=limits), clock))


async def answer(engine: Engine, services: Services, actor: Actor, text: str, address: str) -> Any:
    context = Context(actor, services, "test", address=address)
    return orjson.loads(await engine.run(text, {}, None, context))


def errors(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["extensions"]["code"], one["path"][0]) for one in answer.get("errors", ())]


async def test_a_user_changes_so_much_at_once_then_waits(
    engine: Engine, slow: Services, make_user: MakeUser, clock: Clock
) -> None:
    ada, eve = await make_user(), await make_user()
    found = await answer(engine, slow, ada, MANY, "10.0.0.1")
    assert list(found["data"].values()) == [*[NOT_FOUND] * BURST_SECONDS, None, None]
    assert errors(found) == [("RATE_LIMITED", "a10"), ("RATE_LIMITED", "a11")]
    assert found["errors"][0]["extensions"]["retryAfterSeconds"] == 1
    # From elsewhere it is the same user; somebody else there is not, and reading is free.
    assert errors(await answer(engine, slow, ada, MANY, "10.0.0.2"))[0] == ("RATE_LIMITED", "a0")
    assert errors(await answer(engine, slow, eve, MANY, "10.0.0.2"))[0] == ("RATE_LIMITED", "a10")
    assert errors(await answer(engine, slow, ada, "{ viewer { id } }", "10.0.0.1")) == []
    clock.now += 1
    later = await answer(engine, slow, ada, MANY, "10.0.0.1")
    assert errors(later)[0] == ("RATE_LIMITED", "a1")
    assert slow.mutations.refused > 0


async def test_an_address_may_stand_for_several_users_but_not_for_any_number(
    engine: Engine, slow: Services, make_user: MakeUser, clock: Clock
) -> None:
    done = 0
    for _ in range(PER_ADDRESS + 2):
        found = await answer(engine, slow, await make_user(), MANY, "10.0.0.3")
        done += sum(one == NOT_FOUND for one in found["data"].values())
    assert done == PER_ADDRESS * BURST_SECONDS


async def test_a_large_body_is_not_read_of_who_must_wait(
    engine: Engine, slow: Services, make_user: MakeUser, clock: Clock
) -> None:
    ada = await make_user()
    assert ada.user_id is not None
    await answer(engine, slow, ada, MANY, "127.0.0.1")
    token = slow.tokens.issue(ada.user_id, uuid4(), is_anonymous=False, is_admin=False).token
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b" " * 200_000

    transport = httpx.ASGITransport(app=GraphQLHttp(engine, slow))  # type: ignore[arg-type]
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "content-length": "200000",
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        refused = await http.post("/graphql", content=body(), headers=headers)
        small = await http.post(
            "/graphql",
            json={"query": "{ viewer { id } }"},
            headers={"authorization": f"Bearer {token}"},
        )
    assert (refused.status_code, sent) == (429, 0)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["errors"][0]["extensions"] == {
        "code": "RATE_LIMITED",
        "retryAfterSeconds": 1,
    }
    assert "data" in small.json()


async def test_who_is_full_is_told_so_at_a_pace(
    engine: Engine, services: Services, make_user: MakeUser, owner: Any, monkeypatch: Any
) -> None:
    ada = await make_user()
    paused: list[UUID | str] = []

    async def noted(_: object, key: UUID | str) -> None:
        paused.append(key)

    monkeypatch.setattr(module.Pace, "wait", noted)
    await owner.execute(
        "insert into quota_use (user_id, slice, rows_used, bytes_used)"
        " values ($1, 'profiles', 1000000, 0)"
        " on conflict (user_id, slice) do update set rows_used = 1000000",
        ada.user_id,
    )
    found = await answer(engine, services, ada, FULL, "10.0.0.4")
    assert found["data"]["createProfile"] == {"errors": [{"code": "QUOTA_EXCEEDED"}]}
    assert paused == [ada.user_id]


async def test_refusals_come_at_a_pace() -> None:
    settings = Settings(mutations_per_user=1, mutations_per_address=1)
    rates, told = MutationRates(settings, Clock()), []

    async def change() -> None:
        try:
            await rates.admit(Actor("anon"), "one")
        except RateLimited:
            told.append(len(told))

    flood = [asyncio.create_task(change()) for _ in range(BURST_SECONDS + 30)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(told) == module.REFUSALS_PER_SECOND, "and the others wait"
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
