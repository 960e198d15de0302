"""GraphQL over HTTP to the letter: what is a request, its methods, media types and codings."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from graph.shared.json_input import InvalidJson, parse_json
from graph.shared.unstorable import MOST_CHARACTERS, unstorable_place, unstorable_place_in

from .over_http import GUEST, JSON, NEWER, ask, assert_refused, codes

NEWER_TYPE = "application/graphql-response+json; charset=utf-8"
OLDER_TYPE = "application/json; charset=utf-8"
MEGABYTE = 1_048_576


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


@pytest.mark.parametrize("half", [r"ok\ud83d", r"\ud83d ok", r"\ude00", r"\ud83d\ud83d"])
def test_half_of_a_character_is_told_from_what_is_no_json(half: str) -> None:
    with pytest.raises(InvalidJson, match="half of a surrogate pair"):
        parse_json(f'{{"name": "{half}"}}'.encode())
    with pytest.raises(InvalidJson, match="not valid JSON"):
        parse_json(f'{{"name": "{half[1:]}'.encode())


@pytest.mark.parametrize("half", [r"pear \ud83d", r"pear \u0000 in it"])
async def test_text_that_cannot_be_kept_is_refused_with_its_place(
    http: httpx.AsyncClient, half: str
) -> None:
    query = "query($where: [ID!]!) { nodes(ids: $where) { id } }"
    variables = f'{{"where": ["fine", "{half}"]}}'
    body = f'{{"query": "{query}", "variables": {variables}}}'
    answer = await http.post("/graphql", content=body, headers=JSON)
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["where", 1]}
    assert "pear" not in answer.text


def test_the_place_of_what_cannot_be_kept_is_found() -> None:
    for value, place in [
        ({"a": [{"b": "\ud800"}]}, ("a", 0, "b")),
        ({"a": {"\x00": 1}}, ("a",)),
        ({"a": ["\U0001f600", 1, None]}, None),
    ]:
        assert unstorable_place(value) == place
    assert unstorable_place_in('{"a": "\\udc00"}') == ("a",)
    assert unstorable_place_in('{"a": "\\udc00", "b": "' + "x" * MOST_CHARACTERS + '"}') is None
    assert unstorable_place_in('"\\udc00' + "[" * 100_000) is None


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


async def test_what_anybody_may_read_is_kept_for_a_while(http: httpx.AsyncClient) -> None:
    parameters = {"query": '{ node(id: "tool_hair-color") { id } }'}
    first = await http.get("/graphql", params=parameters)
    assert first.headers["cache-control"] == "public, max-age=30"
    assert {"authorization", "accept"} <= {
        name.strip().lower() for name in first.headers["vary"].split(",")
    }
    assert "ratelimit" not in first.headers
    for tags in (first.headers["etag"], f'"other", {first.headers["etag"]}', "*"):
        same = await http.get("/graphql", params=parameters, headers={"If-None-Match": tags})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == first.headers["etag"]
    other = await http.get("/graphql", params=parameters, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, first.json())


@pytest.mark.parametrize(
    ("method", "text", "has_token"),
    [
        ("GET", "{ __typename }", True),
        ("POST", "{ __typename }", False),
        ("GET", "{ nothing }", False),
    ],
    ids=["a token", "by POST", "a fault"],
)
async def test_what_is_not_everybodys_is_kept_by_nobody(
    http: httpx.AsyncClient, method: str, text: str, has_token: bool
) -> None:
    headers = {}
    if has_token:
        guest = (await ask(http, GUEST)).json()["data"]["signInAnonymously"]["session"]
        headers = {"authorization": f"Bearer {guest['accessToken']}"}
    place = {"params": {"query": text}} if method == "GET" else {"json": {"query": text}}
    answer = await http.request(
        method,
        "/graphql",
        headers=headers,
        **place,  # type: ignore[arg-type]
    )
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


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
