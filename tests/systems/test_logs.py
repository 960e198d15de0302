"""A secret in any value of any request, right or wrong, stands in no answer's errors and no log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from db.embedded.cluster import Cluster
from settings import Settings
from tests.graph.test_wrong_shapes import CANARY, LITERALS_IN, PLACES, literal
from tests.running import RunningServer

from .client import Client

AT_ONCE = 8
CREATE = """mutation($input: CreateProfileInput!) {
  createProfile(input: $input) { profile { id } errors { code message } } }"""
UPDATE = """mutation($input: UpdateProfileInput!) {
  updateProfile(input: $input) { profile { id } errors { code message } } }"""
# What stands in the way of a second row, as an operator might put it there. The server does not
# know it, so it is a fault of ours, and what Postgres says of it holds the row.
# Profiles may be called by the bare canary already.
TAKEN = f"{CANARY} taken"
OBSTACLE = f"create unique index obstacle on profiles (name) where name like '{CANARY}%'"


def logs_of(server: RunningServer) -> str:
    """All that the server and its database have logged."""
    cluster = Cluster.of(Settings(data_directory=server.data_directory))
    paths = [server.log, cluster.startup_log, *(cluster.data / "log").iterdir()]
    return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())


async def logged(server: RunningServer, request_id: str) -> str:
    """The logs once the line of this request is there."""
    for _ in range(500):
        if request_id in server.log.read_text():
            break
        await asyncio.sleep(0.01)
    return logs_of(server)


def errors_of(answer: dict[str, Any]) -> Iterator[Any]:
    """Top-level errors and those of payloads."""
    yield from answer.get("errors") or ()
    for value in (answer.get("data") or {}).values():
        if isinstance(value, dict):
            yield from value.get("errors") or ()


async def test_no_value_of_a_request_is_logged_or_shown_in_an_error(
    client: Client, server: RunningServer
) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(text: str, variables: dict[str, Any]) -> None:
        async with gate:
            response = await client.post(text, variables)
        assert response.status_code < 500, (text, response.text)
        told = json.dumps(list(errors_of(response.json())))
        assert CANARY not in told, (text, told)

    asked = []
    for number, place in enumerate(PLACES):
        wrong = place.whole({"field": [[CANARY]]})
        asked.append(ask(place.document("$v", variable=True), {"v": wrong}))
        if number % LITERALS_IN == 0:
            written = literal(place.whole(CANARY), place.type)
            asked.append(ask(place.document(written, variable=False), {}))
    await asyncio.gather(*asked)
    last = await client.post("{ __typename }")
    assert CANARY not in await logged(server, last.headers["x-request-id"])


async def test_a_fault_of_ours_is_logged_without_the_row_it_met(
    client: Client, server: RunningServer
) -> None:
    owner = await asyncpg.connect(server.owner_url)
    try:
        await owner.execute(OBSTACLE)
        await client.ask(CREATE, {"input": {"name": TAKEN, "analysis": {}}})
        other = await client.ask(CREATE, {"input": {"name": "other", "analysis": {}}})
        renamed = {"id": other["createProfile"]["profile"]["id"], "name": TAKEN}
        response = await client.post(UPDATE, {"input": renamed})
        # Policies keep the row out of what Postgres says to a client's role, but not to its owner.
        with pytest.raises(asyncpg.UniqueViolationError, match="obstacle"):
            await owner.execute("update profiles set name = $1 where name = 'other'", TAKEN)
        await owner.execute("drop index obstacle")
    finally:
        await owner.close()
    (error,) = errors_of(response.json())
    assert error["extensions"]["code"] == "INTERNAL"
    assert CANARY not in response.text
    found = await logged(server, response.headers["x-request-id"])
    assert "operation_failed" in found
    assert "constraint_name=obstacle" in found, "the cause is told"
    assert CANARY not in found
