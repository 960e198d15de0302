"""GraphQL over HTTP to the letter: media types, methods, ids of requests, and faults masked."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from db.pool import Database
from db.storage import open_storage
from graph.app import Server
from graph.live.bus import WakeBus
from settings import Settings

JSON = {"content-type": "application/json"}
NEWER = {"accept": "application/graphql-response+json"}
NEWER_TYPE = "application/graphql-response+json; charset=utf-8"
OLDER_TYPE = "application/json; charset=utf-8"
GUEST = "mutation { signInAnonymously { session { accessToken } errors { code } } }"
MEGABYTE = 1_048_576


@pytest.fixture
async def http(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the running server."""
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client


@pytest.fixture
async def inside(database: Database, settings: Settings) -> AsyncIterator[Server]:
    """A server within this process, so that its parts can be made to fail."""
    server = Server(settings, database, open_storage(settings), WakeBus.memory())
    yield server
    server.services.passwords.close()


async def ask(http: httpx.AsyncClient, text: str, **headers: str) -> httpx.Response:
    return await http.post("/graphql", json={"query": text}, headers=headers)


def codes(response: httpx.Response) -> list[str]:
    found: list[str] = [error["extensions"]["code"] for error in response.json()["errors"]]
    return found


def assert_refused(response: httpx.Response, status: int, code: str = "BAD_USER_INPUT") -> None:
    assert response.status_code == status, response.text
    assert codes(response) == [code]
    assert "data" not in response.json()
    assert "Traceback" not in response.text
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"query":',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"query": "{ __typename }", "variables": NaN}',
        b'{"query": "\xff"}',
        b'{"query": "query($i: ID!) { node(id: $i) { id } }", "variables": {"i": "\\ud800"}}',
        '{"query":"{ __typename }"}'.encode("utf-16"),
    ],
    ids=["empty", "cut", "bomb", "closed-bomb", "objects", "nan", "bytes", "surrogate", "utf-16"],
)
async def test_what_is_no_json_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    assert_refused(await http.post("/graphql", content=body, headers=JSON), 400)


@pytest.mark.parametrize(
    "body",
    [
        1,
        "{ __typename }",
        [],
        [{"query": "{ __typename }"}],
        {},
        {"query": ""},
        {"query": " "},
        {"query": 5},
        {"query": ["{ __typename }"]},
        {"query": "{ __typename }", "variables": []},
        {"query": "{ __typename }", "variables": "{}"},
        {"query": "{ __typename }", "operationName": 7},
        {"query": "{ __typename }", "extensions": 7},
    ],
    ids=str,
)
async def test_what_is_no_request_is_400(http: httpx.AsyncClient, body: Any) -> None:
    assert_refused(await http.post("/graphql", json=body), 400)
    newer = await http.post("/graphql", json=body, headers=NEWER)
    assert_refused(newer, 400)
    assert newer.headers["content-type"] == NEWER_TYPE


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/graphql", "application/jsonp", ""],
)  # fmt: skip
async def test_only_json_is_taken_so_no_foreign_form_can_post(
    http: httpx.AsyncClient, media: str
) -> None:
    body = b'{"query": "{ __typename }"}'
    assert_refused(await http.post("/graphql", content=body, headers={"content-type": media}), 415)


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON;x=y"])
async def test_json_with_parameters_is_json(http: httpx.AsyncClient, media: str) -> None:
    body = b'{"query": "{ __typename }"}'
    response = await http.post("/graphql", content=body, headers={"content-type": media})
    assert response.json() == {"data": {"__typename": "Query"}}


async def raw_answer(url: str, request: bytes) -> bytes:
    """What the server says before it closes, though the request has not ended."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 50000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n110000\r\n" + b" " * 0x110000 + b"\r\n",
    ],
    ids=["declared", "chunked"],
)
async def test_a_body_over_the_limit_is_413_before_it_has_come(
    server_url: str, rest: bytes
) -> None:
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = await raw_answer(server_url, head + rest)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert b"LIMIT_EXCEEDED" in answer


async def test_a_body_just_under_the_limit_is_read(http: httpx.AsyncClient) -> None:
    body = b'{"query": "{ __typename }"}'.ljust(MEGABYTE)
    assert (await http.post("/graphql", content=body, headers=JSON)).status_code == 200
    assert_refused(
        await http.post("/graphql", content=body + b" ", headers=JSON), 413, "LIMIT_EXCEEDED"
    )


async def test_get_answers_queries(http: httpx.AsyncClient) -> None:
    text = "query A($id: ID!) { node(id: $id) { id } } query B { __typename }"
    parameters = {"query": text, "variables": '{"id": "tool_hair-color"}', "operationName": "A"}
    response = await http.get("/graphql", params=parameters)
    assert response.json() == {"data": {"node": {"id": "tool_hair-color"}}}
    bad = await http.get("/graphql", params=parameters | {"variables": "{"})
    assert_refused(bad, 400)
    assert_refused(await http.get("/graphql"), 400)
    assert_refused(await http.get("/graphql?query=%ff"), 400)


@pytest.mark.parametrize("headers", [{}, NEWER], ids=["older", "newer"])
async def test_get_changes_nothing(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    mutation = await http.get("/graphql", params={"query": GUEST}, headers=headers)
    assert_refused(mutation, 405)
    assert mutation.headers["allow"] == "POST"
    several = {"query": GUEST.replace("mutation", "mutation M") + " query Q { __typename }"}
    hidden = await http.get("/graphql", params=several | {"operationName": "M"}, headers=headers)
    assert_refused(hidden, 405)
    named = await http.get("/graphql", params=several | {"operationName": "Q"}, headers=headers)
    assert named.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_needs_a_socket(http: httpx.AsyncClient, method: str) -> None:
    request = {"query": "subscription { creditsChanged { cursor } }"}
    place = {"params": request} if method == "GET" else {"json": request}
    response = await http.request(method, "/graphql", headers=NEWER, **place)  # type: ignore[arg-type]
    assert_refused(response, 400)
    assert "WebSocket" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, "/graphql")
    assert_refused(response, 405)
    assert response.headers["allow"] == "GET, POST"


async def test_head_is_405_without_a_body(http: httpx.AsyncClient) -> None:
    response = await http.head("/graphql")
    assert response.status_code == 405
    assert response.content == b""
    assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        ({"query": "{"}, "BAD_USER_INPUT"),
        ({"query": "{ nope }"}, "BAD_USER_INPUT"),
        ({"query": "query($id: ID!) { node(id: $id) { id } }"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename } query B { __typename }"}, "BAD_USER_INPUT"),
        ({"query": "fragment F on Query { __typename }"}, "BAD_USER_INPUT"),
        ({"query": "{" + "__typename " * 3000 + "}"}, "QUERY_TOO_COMPLEX"),
    ],
    ids=["parse", "validation", "variable", "name", "ambiguous", "no operation", "size"],
)
async def test_what_cannot_run_has_no_data_and_its_media_types_status(
    http: httpx.AsyncClient, request_body: dict[str, str], code: str
) -> None:
    older = await http.post("/graphql", json=request_body)
    newer = await http.post("/graphql", json=request_body, headers=NEWER)
    assert (older.status_code, older.headers["content-type"]) == (200, OLDER_TYPE)
    assert (newer.status_code, newer.headers["content-type"]) == (400, NEWER_TYPE)
    for response in (older, newer):
        assert "data" not in response.json()
        assert set(codes(response)) == {code}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, OLDER_TYPE),
        ("", OLDER_TYPE),
        ("*/*", OLDER_TYPE),
        ("application/*", OLDER_TYPE),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", OLDER_TYPE),
        ("application/json", OLDER_TYPE),
        ("Application/JSON; Charset=UTF-8", OLDER_TYPE),
        ("application/graphql-response+json; charset=utf-8, application/json;q=0.9", NEWER_TYPE),
        ('Application/GraphQL-Response+JSON;charset="utf-8";Q=0.5', NEWER_TYPE),
        ("application/json;q=0.9, application/graphql-response+json", NEWER_TYPE),
        ("application/json, application/graphql-response+json", NEWER_TYPE),
        ("application/json, application/graphql-response+json;q=0.9", OLDER_TYPE),
        ("application/graphql-response+json;q=0.2, */*;q=0.8", OLDER_TYPE),
        ("application/graphql-response+json, */*;q=0.1", NEWER_TYPE),
        ("application/graphql-response+json;q=0, */*", OLDER_TYPE),
        ("application/json;q=0, */*", NEWER_TYPE),
        ("application/json;q=0.000, application/*;q=0.001", NEWER_TYPE),
        ("application/graphql-response+json;charset=utf-16, application/json", OLDER_TYPE),
    ],
)
async def test_the_newer_media_type_is_for_those_who_ask(
    http: httpx.AsyncClient, accept: str | None, media: str
) -> None:
    response = await ask(
        http, "{ __typename }", **({"accept": accept} if accept is not None else {})
    )
    assert (response.status_code, response.headers["content-type"]) == (200, media)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/graphql-response+json;q=0",
        "application/json;charset=iso-8859-1",
        "*/*;q=0",
        "application/json;q=x",
        "application/json;q=nan",
    ],
)
async def test_nothing_runs_for_those_who_take_neither_media_type(
    http: httpx.AsyncClient, accept: str
) -> None:
    response = await ask(http, GUEST, accept=accept)
    assert_refused(response, 406)
    assert response.headers["content-type"] == OLDER_TYPE


async def test_an_accept_header_may_come_in_lines(http: httpx.AsyncClient) -> None:
    lines = [
        ("accept", "text/html"),
        ("accept", NEWER["accept"]),
        ("content-type", "application/json"),
    ]
    response = await http.post("/graphql", content=b'{"query":"{ __typename }"}', headers=lines)
    assert response.headers["content-type"] == NEWER_TYPE


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP"])
async def test_a_coded_body_is_415_and_says_how_to_send_it(
    http: httpx.AsyncClient, coding: str
) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    body = gzip.compress(b'{"query":"{ __typename }"}')
    response = await http.post("/graphql", content=body, headers=headers)
    assert_refused(response, 415)
    assert response.headers["accept-encoding"] == "identity"
    plain = {**headers, "content-encoding": "Identity"}
    response = await http.post("/graphql", content=gzip.decompress(body), headers=plain)
    assert response.status_code == 200


async def test_a_body_in_another_charset_is_415(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json; charset=utf-16"}
    body = '{"query":"{ __typename }"}'.encode("utf-16")
    assert_refused(await http.post("/graphql", content=body, headers=headers), 415)


NUMBER = """mutation($v: JSON!) {
  createProfile(input: {analysis: $v}) { profile { analysis } errors { code } } }"""


@pytest.mark.parametrize(
    ("digits", "is_kept"),
    [
        (str(2**53 + 1), True),
        (str(-(2**63)), True),
        (str(2**64 - 1), True),
        ('"1234567890123456789012345"', True),
        (str(2**64), False),
        (str(-(2**63) - 1), False),
        ("9" * 300, False),
    ],
)
async def test_no_integer_loses_a_digit(
    http: httpx.AsyncClient, digits: str, is_kept: bool
) -> None:
    guest = (await ask(http, GUEST)).json()["data"]["signInAnonymously"]["session"]
    body = f'{{"query": {json.dumps(NUMBER)}, "variables": {{"v": {{"n": {digits}}}}}}}'
    headers = {**JSON, **NEWER, "authorization": f"Bearer {guest['accessToken']}"}
    response = await http.post("/graphql", content=body, headers=headers)
    if is_kept:
        assert f'"n":{digits}' in response.text.replace(" ", "")
    else:
        assert_refused(response, 400)
        assert "64 bits" in response.json()["errors"][0]["message"]
    written = NUMBER.replace("($v: JSON!)", "").replace("$v", f"{{n: {digits}}}")
    response = await http.post("/graphql", json={"query": written}, headers=headers)
    if is_kept:
        assert f'"n":{digits}' in response.text.replace(" ", "")
    else:
        assert_refused(response, 400)


async def test_of_a_key_that_comes_twice_the_last_counts(http: httpx.AsyncClient) -> None:
    body = b'{"query":"{ nope }","query":"{ __typename }"}'
    response = await http.post("/graphql", content=body, headers=JSON)
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_what_the_specification_leaves_open_is_taken_kindly(http: httpx.AsyncClient) -> None:
    body = {
        "query": "query A { __typename }",
        "operationName": "",
        "variables": None,
        "extensions": None,
        "unknown": {"key": 1},
    }
    response = await http.post("/graphql", json=body)
    assert response.json() == {"data": {"__typename": "Query"}}


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


async def test_answers_are_not_held_back_for_the_clients_acknowledgement(
    http: httpx.AsyncClient,
) -> None:
    await ask(http, "{ __typename }")
    times = []
    for _ in range(15):
        started = time.monotonic()
        await ask(http, "{ __typename }")
        times.append(time.monotonic() - started)
    assert sorted(times)[7] < 0.035  # Nagle's delay would be 40 ms for each


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
        monkeypatch.setattr("graph.engine.engine.run_mutation", fail)
    else:
        monkeypatch.setattr(inside.engine.documents, "operation", fail)
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
