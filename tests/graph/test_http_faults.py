"""Bad tokens, strange texts, clients that leave and faults of ours: each is answered as it should be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server.app import Server
from server.serving import inherited, listen, server_config
from settings import Settings
from tests.graph.live.websocket_server import run_uvicorn

from .over_http import GUEST, NEWER, ask, assert_refused, codes


@pytest.fixture
async def inside(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """A server within this process, so that its parts can be made to fail."""
    server = Server(settings, database, open_storage(settings), WakeBus.memory())
    yield server
    server.services.passwords.close()


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
@pytest.mark.parametrize("header", ["Bearer a.b.c", "Bearer", "Basic eDp5", "nonsense", "Bearer x y"])  # fmt: skip
async def test_a_bad_token_is_401_before_anything_runs(
    http: httpx.AsyncClient, accept: str, header: str
) -> None:
    response = await ask(http, "{ __typename }", accept=accept, authorization=header)
    assert_refused(response, 401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"].startswith(accept)


async def test_every_answer_has_a_request_id_of_its_own(http: httpx.AsyncClient) -> None:
    answers = [await ask(http, "{ __typename }", **{"x-request-id": "forged"}) for _ in range(3)]
    found = {answer.headers["x-request-id"] for answer in answers}
    assert len(found) == 3
    assert "forged" not in found


NESTED: Any = 1
for _ in range(150):
    NESTED = {"a": NESTED}


@pytest.mark.parametrize("value", ["a\x00b", {"a": "\x00"}, {"\x00": 1}, [["\x00"]], NESTED])
async def test_variables_that_cannot_be_stored_are_bad_input(
    http: httpx.AsyncClient, value: Any
) -> None:
    text = "mutation($v: JSON!) { createProfile(input: {analysis: $v}) { errors { code } } }"
    request = {"query": text, "variables": {"v": value}}
    response = await http.post("/graphql", json=request, headers=NEWER)
    assert_refused(response, 400)


@pytest.mark.parametrize("fault", ['name: "a\\u0000b", analysis: {}', 'analysis: {a: "\\u0000"}'])
async def test_a_nul_spelt_in_the_document_is_bad_input(
    http: httpx.AsyncClient, fault: str
) -> None:
    guest = (await ask(http, GUEST)).json()["data"]["signInAnonymously"]["session"]
    response = await ask(
        http,
        f"mutation {{ createProfile(input: {{{fault}}}) {{ profile {{ id }} errors {{ code }} }} }}",
        authorization=f"Bearer {guest['accessToken']}",
    )
    assert_refused(response, 200)


async def test_any_other_text_is_stored_as_it_is(http: httpx.AsyncClient) -> None:
    guest = (await ask(http, GUEST)).json()["data"]["signInAnonymously"]["session"]
    strange = "\u202e👩‍🚀 \x01\x7f\uffff\"'\\;--%s$1"
    text = """mutation($v: String!) {
      createProfile(input: {name: $v, analysis: {}}) { profile { name } errors { code } } }"""
    response = await http.post(
        "/graphql",
        json={"query": text, "variables": {"v": strange}},
        headers={"authorization": f"Bearer {guest['accessToken']}"},
    )
    assert response.json()["data"]["createProfile"]["profile"] == {"name": strange}


@pytest.mark.parametrize(
    "text",
    [
        "{ viewr { id } }",
        "{ tools { nameKy } }",
        "{ node(idd: 1) { id } }",
        "{ viewer { ... on Usr { id } } }",
        "{ __typename @skp(if: true) }",
        "mutation { signUp(input: {emial: 1}) { errors { code } } }",
        "query($a: Strng) { __typename }",
    ],
)
async def test_no_message_suggests_names(http: httpx.AsyncClient, text: str) -> None:
    response = await ask(http, text)
    assert response.json()["errors"]
    assert "did you mean" not in response.text.lower()


async def test_clients_that_leave_break_nothing(server_url: str, http: httpx.AsyncClient) -> None:
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = json.dumps({"query": "{ tools { id } }"}).encode()
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    place = urlsplit(server_url)
    for request in (head, whole[:-5], whole, b"\x16\x03\x01 no HTTP\r\n\r\n"):
        for _ in range(5):
            _, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(request)
            await writer.drain()
            writer.transport.abort()
    response = await ask(http, "{ __typename }")
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("is_inherited", [False, True])
async def test_answers_are_not_held_back_for_the_clients_acknowledgement(
    inside: Server, settings: Settings, is_inherited: bool
) -> None:
    listener = listen("127.0.0.1", 0, "{}")
    if is_inherited:
        listener = inherited(listener.detach(), settings.model_copy())
    async with (
        run_uvicorn(server_config(inside, settings), listener) as (port, connections),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await ask(http, "{ __typename }")
        (connection,) = connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


SECRET = "canary of an internal detail"


@pytest.mark.parametrize("fault", ["query", "mutation", "request"])
async def test_an_unexpected_fault_is_logged_whole_and_shown_masked(
    inside: Server, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)

    if fault == "query":
        monkeypatch.setattr(inside.engine, "query_statement", fail)
    elif fault == "mutation":
        monkeypatch.setattr("graph.engine.execution.engine.run_mutation", fail)
    else:
        monkeypatch.setattr(inside.engine.documents, "known", fail)
    text = GUEST if fault == "mutation" else "{ viewer { id } }"
    transport = httpx.ASGITransport(app=inside.app)
    with capture_logs() as logs:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            response = await ask(http, text)
    assert response.status_code == (500 if fault == "request" else 200)
    assert codes(response) == ["INTERNAL"]
    assert SECRET not in response.text
    assert "Error" not in response.json()["errors"][0]["message"]
    request_id = response.headers["x-request-id"]
    assert request_id in response.json()["errors"][0]["message"]
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["request_id"] == request_id
    assert entry["exc_info"], "the trace is in the log"
