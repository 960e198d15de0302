"""What a request is and where it ends is read in one way only, whatever the route (RFC 9112)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from server.uvicorn_protocol import PIPELINE_LIMIT

from ..running import RunningServer
from .over_http import GUEST, ask

QUERY = b'{"query":"{ viewer { id } }"}'
NOBODY = b'{"data":{"viewer" : null}}'
CHUNKED = b"%x\r\n%s\r\n0\r\n" % (len(QUERY), QUERY)
TYPE = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(QUERY)
CODING = b"Transfer-Encoding: chunked\r\n"
HOST = b"Host: test\r\n"
STREAM = b"Accept: text/event-stream\r\n"
SOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)


def post(*lines: bytes, body: bytes = QUERY, version: bytes = b"1.1") -> bytes:
    return b"POST /graphql HTTP/%s\r\n%s\r\n%s" % (version, b"".join(lines), body)


def get(*lines: bytes, path: bytes = b"/healthz", version: bytes = b" HTTP/1.1") -> bytes:
    return b"GET %s%s\r\n%s\r\n" % (path, version, b"".join(lines))


async def exchange(url: str, *pieces: bytes, until: bytes = b"") -> bytes:
    """What the server says to these bytes until it closes, or until it has said `until`."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    said = b""
    try:
        async with asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while not until or until not in said:
                if not (more := await reader.read(65_536)):
                    break
                said += more
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return said


def parts(said: bytes) -> tuple[int, bytes, Any]:
    """Status, head and JSON of an answer that is the only one."""
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.lower(), json.loads(body)


BEARER = b"Authorization: Bearer a\r\n"
REFUSED = {
    "two Authorization": post(HOST, TYPE, LENGTH, BEARER, b"authorization: Bearer b\r\n"),
    "two that are the same": post(HOST, TYPE, LENGTH, BEARER, BEARER),
    "two Authorization, a stream": post(HOST, TYPE, LENGTH, STREAM, BEARER, BEARER),
    "two Authorization, a socket": get(HOST, SOCKET, BEARER, BEARER, path=b"/graphql"),
    "two Authorization, a page": get(HOST, BEARER, BEARER),
    "two Host": get(HOST, b"Host: other\r\n"),
    "two Host, a socket": get(HOST, HOST, SOCKET, path=b"/graphql"),
    "two Host in HTTP/1.0": get(HOST, HOST, version=b" HTTP/1.0"),
    "no Host": get(),
    "no Host, a socket": get(SOCKET, path=b"/graphql"),
    "no host name": get(b"Host: a b\r\n"),
    "a list of hosts": get(b"Host: a, b\r\n"),
    "two Content-Type": post(HOST, TYPE, b"Content-Type: text/plain\r\n", LENGTH),
    "two Origin": get(HOST, SOCKET, b"Origin: http://a\r\nOrigin: http://b\r\n", path=b"/graphql"),
    "two Content-Length": post(HOST, TYPE, LENGTH, LENGTH),
    "a list of lengths": post(HOST, TYPE, b"Content-Length: 29, 29\r\n"),
    "a signed length": post(HOST, TYPE, b"Content-Length: +29\r\n"),
    "another coding": post(HOST, TYPE, b"Transfer-Encoding: gzip\r\n"),
    "another coding before": post(
        HOST, TYPE, b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKED
    ),
    "another coding behind": post(
        HOST, TYPE, b"Transfer-Encoding: chunked, gzip\r\n", body=CHUNKED
    ),
    "identity": post(HOST, TYPE, b"Transfer-Encoding: identity\r\n"),
    "chunked twice": post(HOST, TYPE, b"Transfer-Encoding: chunked, chunked\r\n", body=CHUNKED),
    "two Transfer-Encoding": post(HOST, TYPE, CODING, CODING, body=CHUNKED),
    "a disguised coding": post(HOST, TYPE, b"Transfer-Encoding: \x0bchunked\r\n", body=CHUNKED),
    "coding and length": post(HOST, TYPE, CODING, LENGTH, body=CHUNKED),
    "length and coding": post(HOST, TYPE, LENGTH, CODING, body=CHUNKED),
    "a coding, a socket": get(HOST, SOCKET, CODING, path=b"/graphql"),
    "a coding in HTTP/1.0": post(HOST, TYPE, CODING, body=CHUNKED, version=b"1.0"),
    "HTTP/0.9": get(version=b""),
    "HTTP/0.9 by name": get(version=b" HTTP/0.9"),
    "HTTP/2.0": get(HOST, version=b" HTTP/2.0"),
    "a folded line": get(HOST, b"A: b\r\n c\r\n"),
    "a space before the colon": get(b"Host : test\r\n"),
    "a name without a colon": get(HOST, b"nonsense\r\n"),
    "a bare carriage return": get(HOST, b"A: b\rContent-Length: 5\r\n"),
    "a NUL": get(HOST, b"A: b\x00c\r\n"),
    "a tunnel": b"CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n",
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_a_head_of_two_meanings_is_400(server_url: str, request_: bytes) -> None:
    status, head, answer = parts(await exchange(server_url, request_))
    assert status == 400
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].endswith(".")
    assert b"connection: close" in head
    assert b"content-type: application/json" in head


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
READ = {
    "an offer of HTTP/2": post(HOST, H2C, TYPE, LENGTH),
    "an offer of HTTP/2, chunks": post(HOST, H2C, TYPE, CODING, body=CHUNKED + b"\r\n"),
    "an offer of several protocols": post(
        HOST, b"Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket\r\n", TYPE, LENGTH
    ),
    "a length": post(HOST, TYPE, LENGTH),
    "chunks": post(HOST, TYPE, CODING, body=CHUNKED + b"\r\n"),
    "chunks, as others write it": post(HOST, TYPE, b"Transfer-Encoding: Chunked\r\n", body=CHUNKED + b"\r\n"),
    "a chunk with an extension": post(
        HOST, TYPE, CODING, body=CHUNKED.replace(b"\r\n", b";a=b\r\n", 1) + b"\r\n"
    ),
    "HTTP/1.0 without a Host": post(TYPE, LENGTH, version=b"1.0"),
    "an empty Host": post(b"Host:\r\n", TYPE, LENGTH),
    "an IPv6 Host": post(b"Host: [::1]:8000\r\n", TYPE, LENGTH),
    "two of a list": post(HOST, TYPE, LENGTH, b"Accept: text/html\r\nAccept: application/json\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("request_", READ.values(), ids=READ)
async def test_other_heads_are_read(server_url: str, request_: bytes) -> None:
    said = await exchange(server_url, request_, until=NOBODY)
    assert said.endswith(NOBODY)


async def test_an_offer_of_another_protocol_changes_nothing_else(server_url: str) -> None:
    """Java's own client makes it with every request, mostly with the body in another segment."""
    token = await a_token(server_url)
    mine = post(HOST, H2C, TYPE, LENGTH, b"Authorization: Bearer %s\r\n" % token.encode())
    whole = post(HOST, H2C, TYPE, LENGTH)
    for pieces in (
        (whole[:20], whole[20:-9], whole[-9:]),
        tuple(whole[at : at + 1] for at in range(len(whole))),
        (mine + whole + get(HOST, H2C) + whole,),
    ):
        said = await exchange(server_url, *pieces, until=NOBODY)
        assert b"HTTP/1.1 400" not in said
    said = await exchange(server_url, mine + get(HOST, H2C) + whole, until=NOBODY)
    assert said.count(b"HTTP/1.1 200") == 3
    assert b"user_" in said.split(b"HTTP/1.1")[1]
    assert b'"status"' in said.split(b"HTTP/1.1")[2]


async def test_requests_that_nobody_reads_the_answers_of_end_the_connection(
    server_url: str,
) -> None:
    one = post(HOST, TYPE, LENGTH)
    said = await exchange(server_url, one * 60, until=b"\r\n\r\n" + NOBODY)
    assert b"connection: close" not in said
    said = await exchange(server_url, one * 1_000)
    assert 1 <= said.count(b"HTTP/1.1 200") <= 2 * PIPELINE_LIMIT


async def test_an_offer_does_not_hide_a_head_of_two_meanings(server_url: str) -> None:
    for request_ in (
        post(HOST, H2C, TYPE, LENGTH, BEARER, BEARER),
        post(HOST, H2C, TYPE, CODING, LENGTH, body=CHUNKED),
    ):
        assert b"HTTP/1.1 400" in await exchange(server_url, request_)


async def a_token(url: str) -> str:
    async with httpx.AsyncClient(base_url=url) as http:
        token: str = (await ask(http, GUEST)).json()["data"]["signInAnonymously"]["session"][
            "accessToken"
        ]
    return token


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("accept", [b"", STREAM], ids=["an answer", "a stream"])
async def test_what_stands_behind_a_body_is_no_header(
    server_url: str, accept: bytes, pieces: int
) -> None:
    trailer = (
        b"Authorization: Bearer %s\r\nAccept: text/html\r\n" % (await a_token(server_url)).encode()
    )
    head = post(HOST, TYPE, CODING, b"Trailer: Authorization\r\n", accept, body=b"")
    whole = head + CHUNKED + trailer + b"\r\n"
    cuts = {1: [len(whole)], 2: [len(head)], 3: [len(head), len(head + CHUNKED)]}[pieces]
    sent, start = [], 0
    for cut in [*cuts, len(whole)]:
        sent.append(whole[start:cut])
        start = cut
    place = urlsplit(server_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    for piece in sent:
        writer.write(piece)
        await asyncio.sleep(0.02)
    said = b""
    async with asyncio.timeout(10):
        while NOBODY not in said:
            said += await reader.read(65_536)
    writer.close()
    assert NOBODY in said


@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"A: " + b"b" * 200_000, b"1;" + b"a" * 200_000, b"1\r\na\r\n" * 40_000, b"0\r\n" + b"A: b\r\n" * 40_000],
    ids=["a trailer", "an extension", "chunks of one byte", "trailers"],
)  # fmt: skip
async def test_what_frames_a_body_is_bounded(server_url: str, endless: bytes) -> None:
    said = await exchange(server_url, post(HOST, TYPE, CODING, body=b""), endless)
    status, _, answer = parts(said)
    assert (status, answer["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")


async def test_a_body_that_breaks_off_the_rules_is_400(server_url: str) -> None:
    said = await exchange(server_url, post(HOST, TYPE, CODING, body=b"5\r\n{\r\n"), b"no size\r\n")
    assert parts(said)[0] == 400


async def test_a_bad_request_behind_a_good_one_takes_nothing_from_it(server_url: str) -> None:
    said = await exchange(server_url, post(HOST, TYPE, LENGTH) + get())
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b"HTTP/1.1 ") <= 2
    assert NOBODY in said


BIG = 20_000_000


async def test_an_oversize_photo_is_refused_in_words_that_arrive(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        token = await a_token(server.url)
        text = 'mutation { createUpload(input: {contentType: "image/jpeg", sizeBytes: 1000}) { upload { url } } }'
        answer = await ask(http, text, authorization=f"Bearer {token}")
    place = urlsplit(answer.json()["data"]["createUpload"]["upload"]["url"])
    target = f"{place.path}?{place.query}".encode()
    for coding in (
        b"Content-Length: %d\r\n" % BIG,
        b"Expect: 100-continue\r\nContent-Length: %d\r\n" % BIG,
        CODING,
    ):
        head = b"PUT %s HTTP/1.1\r\nHost: test\r\nContent-Type: image/jpeg\r\n%s\r\n" % (
            target,
            coding,
        )
        chunk = b"x" * 1_000_000
        if coding is CODING:
            chunk = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        status, headers, refused = parts(await upload(server.url, head, chunk))
        assert status == 413, refused
        assert refused["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert b"connection: close" in headers


async def upload(url: str, head: bytes, chunk: bytes) -> bytes:
    """A client that sends all before it reads anything, as browsers do."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(head)
    for _ in range(BIG // 1_000_000):
        writer.write(chunk)
        await writer.drain()
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n%s", 413),
        (b"POST /graphql HTTP/1.1\r\nHost: test\r\n%s", 415),
        (b"POST /graphql HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer a\r\n%s", 401),
        (b"PUT /files/nothing HTTP/1.1\r\nHost: test\r\n%s", 403),
        (b"POST /graphql HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n%s", 415),
        (b"POST /graphql HTTP/1.1\r\nHost: test\r\nHost: test\r\n%s", 400),
    ],
)  # fmt: skip
async def test_a_refusal_reaches_who_is_still_sending(
    server_url: str, head: bytes, status: int
) -> None:
    rest = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % BIG
    said = await upload(server_url, head % rest, b"x" * 1_000_000)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b'"code":' in said
