"""Floods of small frames: parsed a little in each turn of the loop, and no more while answers wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from server.request_starts import PIECES_PER_TURN
from server.uvicorn_websocket import FRAMES_PER_MESSAGE, PIECE_BYTES, FlushOrAbortProtocol

from .websocket_server import SUBPROTOCOL, Server, closing, hear, initialise, serving

HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
).encode()
MANY = 5_000
FLOODS = {
    "pings": Frame(Opcode.PING, b"").serialize(mask=True) * MANY,
    "pongs": Frame(Opcode.PONG, b"").serialize(mask=True) * MANY,
    "messages": Frame(Opcode.TEXT, b'{"type":"pong"}').serialize(mask=True) * MANY,
}


@asynccontextmanager
async def raw(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket behind its handshake, for bytes that no client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_turn_parses_a_little_of_a_flood(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, pieces, sizes = 0, Counter[int](), list[int]()
    parse = WebSocketsSansIOProtocol.data_received

    def noted(protocol: WebSocketsSansIOProtocol, data: bytes) -> None:
        pieces[turn] += 1
        sizes.append(len(data))
        parse(protocol, data)

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", noted)
    async with serving() as server, raw(server) as (_, writer):
        writer.write(FLOODS[kind])
        async with asyncio.timeout(20):
            while sum(sizes) < len(FLOODS[kind]):
                await asyncio.sleep(0)
                turn += 1
    assert max(sizes) <= PIECE_BYTES
    assert max(pieces.values()) <= PIECES_PER_TURN
    assert sum(sizes) == len(FLOODS[kind])


async def test_pongs_do_not_pile_up_for_who_does_not_read() -> None:
    ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True)
    async with serving() as server, raw(server) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        [protocol] = server.connections
        assert isinstance(protocol, FlushOrAbortProtocol)
        writer.write(ping * 100_000)
        async with asyncio.timeout(20):
            while protocol._is_writable:  # noqa: ASYNC110 -- turns are what is waited for
                await asyncio.sleep(0)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert protocol.transport.get_write_buffer_size() < 100_000
        # It goes on where it stopped.
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            assert len(await reader.readexactly(127 * 100_000)) == 127 * 100_000


async def test_a_message_in_too_many_frames_closes_1008() -> None:
    async with serving() as server, server.connect() as client:
        await initialise(client)
        with suppress(ConnectionClosed):
            await client.send("" for _ in range(3 * FRAMES_PER_MESSAGE))
        assert (await closing(client))[0] == 1008


async def test_a_large_message_in_frames_is_one_message() -> None:
    text = orjson.dumps(
        {
            "id": "1",
            "type": "subscribe",
            "payload": {"query": "whoami", "extensions": {"a": "x" * 60_000}},
        }
    ).decode()
    async with serving() as server, server.connect() as client:
        await initialise(client)
        await client.send(text[at : at + 100] for at in range(0, len(text), 100))
        assert (await hear(client))["type"] == "next"
