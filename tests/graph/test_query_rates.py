"""A user, and an address, may ask for so much in a minute, in the cost that is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import get_introspection_query

from auth.query_rates import QueryRates
from db.core.actor import Actor
from graph.engine.documents.costs import INTROSPECTION_COST
from graph.engine.execution.engine import Engine
from graph.live.source import LiveOperations
from graph.live.websocket import RequestErrors
from server.http import GraphQLHttp
from server.services import Services
from settings import Settings

from ..conftest import MakeUser

PAGE = "{ viewer { profiles(first: 50) { nodes { id name } } } }"
SIZED = "query P($n: Int!) { viewer { profiles(first: $n) { nodes { id name } } } }"
SMALL = "{ viewer { id } }"
CHANGED = "subscription { notificationAdded { notification { id } } }"


class Clock:
    """A clock that the test turns."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tight(services: Services, settings: Settings, clock: Clock) -> Services:
    """The services of a deployment with small budgets."""
    small = {"query_cost_per_user": 300, "query_cost_per_address": 500}
    return replace(services, queries=QueryRates(settings.model_copy(update=small), clock))


async def post(
    engine: Engine, services: Services, actor: Actor, text: str, **variables: Any
) -> httpx.Response:
    """The answer over HTTP; nobody's without a user id."""
    headers = {}
    if actor.user_id is not None:
        token = services.tokens.issue(actor.user_id, uuid4(), is_anonymous=False, is_admin=False)
        headers["authorization"] = f"Bearer {token.token}"
    transport = httpx.ASGITransport(app=GraphQLHttp(engine, services))  # type: ignore[arg-type]
    body = {"query": text, "variables": variables, "extensions": {"cost": True}}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post("/graphql", json=body, headers=headers)


def left(response: httpx.Response) -> tuple[str, int, int]:
    """Whose budget it is, what remains, and in how many seconds all of it is back."""
    name, remaining, reset = response.headers["ratelimit"].split(";")
    return name, int(remaining.removeprefix("r=")), int(reset.removeprefix("t="))


async def test_each_answer_tells_what_is_left_and_the_last_when_to_come_again(
    engine: Engine, tight: Services, make_user: MakeUser, clock: Clock
) -> None:
    ada, spent = await make_user(), 0
    for size in (50, 40, 30, 20, 10, 5, 50):
        found = await post(engine, tight, ada, SIZED, n=size)
        if found.status_code == 429:
            break
        spent += found.json()["extensions"]["cost"]["requested"]
        assert left(found) == ('"user"', 300 - spent, -(-spent // 5)), size
        assert found.headers["ratelimit-policy"] == '"user";q=300;w=60, "address";q=500;w=60'
    refusal = found.json()["errors"][0]["extensions"]
    seconds = refusal.pop("retryAfterSeconds")
    assert refusal == {"code": "RATE_LIMITED"}
    assert found.headers["retry-after"] == str(seconds)
    assert left(found) == ('"user"', 300 - spent, -(-spent // 5)), "a refusal takes nothing"
    assert "data" not in found.json()
    assert tight.queries.refused == 1
    clock.now += seconds
    assert (await post(engine, tight, ada, SIZED, n=size)).status_code == 200


async def test_an_address_may_stand_for_several_users_but_not_for_any_number(
    engine: Engine, tight: Services, make_user: MakeUser
) -> None:
    statuses = [(await post(engine, tight, await make_user(), PAGE)).status_code for _ in range(12)]
    assert statuses[:3] == [200] * 3
    assert statuses[-1] == 429
    nobody = await post(engine, tight, Actor("anon"), SMALL)
    assert left(nobody)[0] == '"address"'


async def test_a_refused_user_takes_nothing_of_the_address(
    engine: Engine, tight: Services, make_user: MakeUser
) -> None:
    ada = await make_user()
    while (found := await post(engine, tight, ada, PAGE)).status_code == 200:
        pass
    before = tight.queries.left(Actor("anon"), "127.0.0.1")
    await post(engine, tight, ada, PAGE)
    assert tight.queries.left(Actor("anon"), "127.0.0.1") == before
    assert left(found)[1] < 300


@pytest.mark.parametrize("text", [PAGE, CHANGED])
async def test_sockets_and_streams_are_paid_from_the_same_budget(
    engine: Engine, tight: Services, make_user: MakeUser, text: str
) -> None:
    ada = await make_user()
    live = LiveOperations(engine, tight)

    async def run_often() -> None:
        for _ in range(400):
            stream = live.execute({"query": text}, lambda: ada, address="10.0.0.9")
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]

    with pytest.raises(RequestErrors) as refused:
        await run_often()
    (error,) = refused.value.errors
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["extensions"]["retryAfterSeconds"] > 0


async def test_introspection_is_paid_for_as_a_part_of_the_whole_schema(
    engine: Engine, services: Services, settings: Settings, make_user: MakeUser, clock: Clock
) -> None:
    ada = await make_user()
    usual = settings.model_copy(update={"query_cost_per_user": 2_000_000})
    services = replace(services, queries=QueryRates(usual, clock))
    whole = await post(engine, services, ada, get_introspection_query())
    cost = whole.json()["extensions"]["cost"]["requested"]
    assert (
        0.9 * INTROSPECTION_COST <= cost <= INTROSPECTION_COST < services.settings.query_cost_limit
    )
    name, remaining, _ = left(whole)
    assert (name, remaining) == ('"user"', usual.query_cost_per_user - cost)
    part = await post(engine, services, ada, '{ __type(name: "User") { fields { name } } }')
    assert 1 < part.json()["extensions"]["cost"]["requested"] < 10
    assert left(part)[1] < remaining


def test_settings_refuse_a_budget_that_the_largest_request_can_never_fit() -> None:
    with pytest.raises(ValueError, match="QUERY_COST_LIMIT may not be more"):
        Settings(query_cost_per_user=19_999)
