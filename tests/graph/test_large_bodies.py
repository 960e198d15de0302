"""Large request bodies: one is read in each turn of the loop, and none loses a digit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import server.http
from graph.engine.execution.engine import Engine
from graph.shared.json_input import InvalidJson, parse_json
from server.http import LARGE_BODY_BYTES, GraphQLHttp
from server.services import Services

FILLING = b"x" * 16_384


@pytest.fixture
async def http(engine: Engine, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the GraphQL route, in this process."""
    transport = httpx.ASGITransport(GraphQLHttp(engine, services))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_one_is_read_in_each_turn(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, read_in = 0, list[int]()
    parse = server.http._parse

    def noted(text: bytes | str, what: str) -> Any:
        read_in.append(turn)
        return parse(text, what)

    monkeypatch.setattr(server.http, "_parse", noted)
    body = {"query": "{ __typename }", "variables": {"a": "x" * LARGE_BODY_BYTES}}
    asking = asyncio.gather(*(http.post("/graphql", json=body) for _ in range(8)))
    while not asking.done():
        await asyncio.sleep(0)
        turn += 1
    assert [response.status_code for response in await asking] == [200] * 8
    assert len(set(read_in)) == len(read_in) == 8


@pytest.mark.parametrize(
    "digits",
    ["18446744073709551616", "-9223372036854775809", "9" * 300, "[1,[18446744073709551616]]"],
)
def test_an_integer_of_too_many_digits_is_refused_in_a_large_text(digits: str) -> None:
    with pytest.raises(InvalidJson, match="64 bits"):
        parse_json(b'{"a":"%s","n":%s}' % (FILLING, digits.encode()))


@pytest.mark.parametrize(
    "value", ["18446744073709551615", "-9223372036854775808", "1e300", '"1234567890123456789012"']
)
def test_other_numbers_are_kept_in_a_large_text(value: str) -> None:
    read = parse_json(b'{"a":"%s","n":%s}' % (FILLING, value.encode()))
    assert read["n"] == (
        float(value) if "e" in value else value.strip('"') if value[0] == '"' else int(value)
    )


async def test_of_one_user_one_runs_at_a_time_and_others_do_not_wait_for_it(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, run = 0, 0, Engine.run

    async def noted(engine: Engine, *arguments: Any, **options: Any) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await run(engine, *arguments, **options)

    monkeypatch.setattr(Engine, "run", noted)
    large = {"query": "{ __typename }", "variables": {"a": "x" * 200_000}}
    for body, at_once in ((large, 1), ({"query": "{ __typename }"}, 5)):
        most = 0
        answers = await asyncio.gather(*(http.post("/graphql", json=body) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert most == at_once
