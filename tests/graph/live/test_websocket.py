"""The socket follows graphql-transport-ws to the letter, and every end has its own code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from graph.live.clients import ClientLimits
from server import uvicorn_websocket as uvicorn_protocol
from tests.graph.live.websocket_server import (
    ALICE,
    BOB,
    Server,
    closing,
    hear,
    initialise,
    say,
    serving,
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.mark.parametrize("offered", ["graphql-ws", "mqtt"])
async def test_another_subprotocol_is_refused_with_a_reason(server: Server, offered: str) -> None:
    async with server.connect(offered) as client:
        code, reason = await closing(client)
    assert code == 4406
    assert "graphql-transport-ws" in reason
    assert ("legacy" in reason) == (offered == "graphql-ws")


async def test_no_subprotocol_is_refused(server: Server) -> None:
    async with connect(server.url, proxy=None) as client:
        assert (await closing(client))[0] == 4406


HANDSHAKE = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "mqtt, graphql-transport-ws",
}


async def shake_hands(server: Server, method: str = "GET", **changed: str | None) -> str:
    """The head of the answer to a handshake with some headers changed or left out."""
    headers = HANDSHAKE | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("\r\n".join([f"{method} /graphql HTTP/1.1", *lines, "", ""]).encode())
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head.decode().lower()


async def test_a_handshake_is_answered_as_the_rfc_says(server: Server) -> None:
    head = await shake_hands(server)
    assert head.startswith("http/1.1 101 ")
    lines = head.split("\r\n")
    for line in (
        "upgrade: websocket",
        "connection: upgrade",
        # RFC 6455, section 1.3, for that key.
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "sec-websocket-protocol: graphql-transport-ws",
    ):
        assert lines.count(line) == 1
    assert sum(line.startswith("date: ") for line in lines) == 1


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=!"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"method": "POST"}, 405),
    ],
)
async def test_a_wrong_handshake_is_refused(
    server: Server, changed: dict[str, Any], status: int
) -> None:
    assert (await shake_hands(server, **changed)).startswith(f"http/1.1 {status} ")


async def test_a_query_gives_one_result_then_completes(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client, "Bearer alice")
        for _ in range(2):  # the id is free again once complete has arrived
            await say(client, id="1", type="subscribe", payload={"query": "whoami"})
            assert await hear(client) == {
                "id": "1",
                "type": "next",
                "payload": {"data": {"user": str(ALICE.user_id)}},
            }
            assert await hear(client) == {"id": "1", "type": "complete"}


async def test_results_travel_as_the_bytes_they_are(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, id='a"\\é', type="subscribe", payload={"query": "three"})
        first = await client.recv()
    assert first == '{"id":"a\\"\\\\é","type":"next","payload":{"data": {"n":  0}}}'


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_a_token_counts_however_its_name_is_capitalised(server: Server, name: str) -> None:
    async with server.connect() as client:
        payload = {name: "Bearer alice", "client": "web", "headers": {"x-trace": "1"}}
        await say(client, type="connection_init", payload=payload)
        assert await hear(client) == {"type": "connection_ack"}
        await say(client, id="1", type="subscribe", payload={"query": "whoami"})
        assert (await hear(client))["payload"]["data"]["user"] == str(ALICE.user_id)


@pytest.mark.parametrize(
    "payload",
    [
        {"headers": {"Authorization": "Bearer alice"}},
        {"headers": {"authorization": "alice"}},
        {"AUTHORIZATION": "Bearer alice"},
        {"authToken": "alice"},
        {"access_token": "alice"},
        {"token": "alice"},
        {"X-API-Key": "alice"},
        {"context": {"session": "Bearer alice"}},
        {"whatever": "tgk_alice"},
        {"whatever": "eyJhbGciOiJFZERTQSJ9"},
        {"Authorization": "Bearer alice", "token": "Bearer bob"},
    ],
    ids=str,
)
async def test_a_token_at_another_place_is_refused_and_not_served_as_nobody(
    server: Server, payload: dict[str, Any]
) -> None:
    for kind in ("connection_init", "ping"):
        async with server.connect() as client:
            if kind == "ping":
                await initialise(client, "Bearer alice")
            await say(client, type=kind, payload=payload)
            code, reason = await closing(client)
        assert code == 4400
        assert "`Authorization`" in reason
        assert "alice" not in reason


async def test_a_token_in_the_url_is_refused_before_the_handshake(server: Server) -> None:
    for query in ("access_token=alice", "x=1&apiKey=alice", "x=tgk_0123456789"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{server.url}?{query}", proxy=None):
                pass
        assert refused.value.response.status_code == 400
        assert b"alice" not in refused.value.response.body


async def test_a_token_in_the_handshake_header_counts_too(server: Server) -> None:
    headers = {"Authorization": "Bearer bob"}
    async with server.connect(additional_headers=headers) as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "whoami"})
        assert (await hear(client))["payload"]["data"]["user"] == str(BOB.user_id)


@pytest.mark.parametrize(
    ("query", "code"), [("domain", "BAD_USER_INPUT"), ("crash", "INTERNAL"), ("refused", None)]
)
async def test_a_failed_operation_is_an_error_message(
    server: Server, query: str, code: str | None
) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": query})
        message = await hear(client)
        assert (message["id"], message["type"]) == ("1", "error")
        [error] = message["payload"]
        assert "secret" not in error["message"]
        assert error.get("extensions", {}).get("code") == code
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}


async def test_complete_cancels_the_work_and_frees_the_id(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        while not server.source.ended.empty():
            server.source.ended.get_nowait()
        for _ in range(2):
            await say(client, id="1", type="subscribe", payload={"query": "for ever"})
            assert (await hear(client))["payload"] == {"data": "first"}
            await say(client, id="1", type="complete")
            async with asyncio.timeout(5):
                assert await server.source.ended.get() == "for ever"


async def test_leaving_cancels_the_work(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "abandoned"})
        await hear(client)
    async with asyncio.timeout(5):
        while await server.source.ended.get() != "abandoned":
            pass


async def test_a_duplicate_id_closes_4409(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        for _ in range(2):
            await say(client, id="x", type="subscribe", payload={"query": "for ever"})
        assert await closing(client) == (4409, "Subscriber for x already exists")


async def test_subscribing_before_the_acknowledgement_closes_4401(server: Server) -> None:
    async with server.connect() as client:
        await say(client, id="1", type="subscribe", payload={"query": "whoami"})
        assert await closing(client) == (4401, "Unauthorized")


async def test_a_second_initialisation_closes_4429(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, type="connection_init")
        assert await closing(client) == (4429, "Too many initialisation requests")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 5000,
        '{"type":1}',
        '{"type":"start"}',
        '{"type":"complete"}',
        '{"type":"subscribe","payload":{"query":"whoami"}}',
        '{"type":"subscribe","id":"","payload":{"query":"whoami"}}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":{"query":1}}',
        '{"type":"subscribe","id":"1","payload":{"query":"","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"","operationName":1}}',
        '{"type":"ping","payload":"x"}',
        '{"type":"ping","payload":{"Authorization":1}}',
        '{"type":"ping","payload":{"x":"' + "x" * 65_536 + '"}}',
        b"binary",
    ],
)
async def test_an_invalid_message_closes_4400(server: Server, content: Any) -> None:
    async with server.connect() as client:
        await initialise(client)
        await client.send(content)
        code, reason = await closing(client)
    assert code == 4400
    assert reason


async def test_a_bad_token_closes_4403(server: Server) -> None:
    async with server.connect() as client:
        await say(client, type="connection_init", payload={"Authorization": "Bearer eve"})
        code, reason = await closing(client)
    assert code == 4403
    assert reason.startswith("Forbidden")


async def test_an_unavailable_server_asks_to_try_again(server: Server) -> None:
    server.source.database_is_away = True
    try:
        async with server.connect() as client:
            await say(client, type="connection_init", payload={"Authorization": "Bearer alice"})
            assert (await closing(client))[0] == 1013
    finally:
        server.source.database_is_away = False


async def test_a_ping_refreshes_the_token_of_the_same_user(server: Server) -> None:
    soon = int(time.time()) + 2
    server.source.tokens["Bearer short"] = replace(ALICE, expires_at=soon)
    async with server.connect() as client:
        await initialise(client, "Bearer short")
        await say(client, type="ping", payload={"Authorization": "Bearer alice"})
        assert await hear(client) == {"type": "pong"}
        await asyncio.sleep(soon - time.time() + 0.3)
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}


async def test_another_users_token_closes_4403(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client, "Bearer alice")
        await say(client, type="ping", payload={"Authorization": "Bearer bob"})
        assert (await closing(client))[0] == 4403


async def test_a_ping_may_not_sign_a_stranger_in(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, type="ping", payload={"Authorization": "Bearer bob"})
        assert (await closing(client))[0] == 4403


async def test_an_expired_token_closes_within_five_seconds(server: Server) -> None:
    expires_at = int(time.time()) + 1
    server.source.tokens["Bearer short"] = replace(ALICE, expires_at=expires_at)
    async with server.connect() as client:
        await initialise(client, "Bearer short")
        await say(client, id="1", type="subscribe", payload={"query": "for ever"})
        code, reason = await closing(client)
    assert code == 4403
    assert "expired" in reason
    assert time.time() < expires_at + 5


async def test_a_revoked_session_closes_within_five_seconds(server: Server) -> None:
    assert BOB.session_id
    async with server.connect() as client:
        await initialise(client, "Bearer bob")
        server.source.revoked.add(BOB.session_id)
        try:
            async with asyncio.timeout(5):
                code, reason = await closing(client)
        finally:
            server.source.revoked.clear()
    assert code == 4403
    assert "expired" in reason


async def test_operations_per_socket_are_capped(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        for number in range(101):
            await say(client, id=str(number), type="subscribe", payload={"query": "for ever"})
        answers = [await hear(client) for _ in range(101)]
    [refused] = [answer for answer in answers if answer["type"] == "error"]
    assert refused["id"] == "100"
    assert refused["payload"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_slow_subscription_closes_the_socket_resumably(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "slow"})
        assert (await hear(client))["type"] == "next"
        code, reason = await closing(client)
    assert code == 4503
    assert "cursor" in reason


async def test_no_initialisation_closes_4408() -> None:
    async with (
        serving(ClientLimits(initialisation_seconds=0.3)) as server,
        server.connect() as client,
    ):
        assert await closing(client) == (4408, "Connection initialisation timeout")


async def test_a_quiet_client_is_pinged_and_a_silent_one_closed() -> None:
    async with serving(ClientLimits(keep_alive_seconds=0.3)) as server, server.connect() as client:
        await initialise(client)
        for _ in range(4):
            assert await hear(client) == {"type": "ping"}
            await say(client, type="pong")
        started = time.monotonic()
        assert (await closing(client))[0] == 4503
        assert time.monotonic() - started < 2


async def test_a_client_that_stops_reading_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocol.FlushOrAbortProtocol, "reader_seconds", 0.5)
    async with (
        serving() as server,
        server.connect(max_queue=1, max_size=None, close_timeout=0.1) as client,
    ):
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "flood"})
        async with asyncio.timeout(10):
            while await server.source.ended.get() != "flood":
                pass
        async with asyncio.timeout(5):
            while server.connections:  # noqa: ASYNC110 -- uvicorn has no event for it
                await asyncio.sleep(0.02)
        client.transport.abort()


async def test_who_does_not_read_is_not_written_to_past_the_limit() -> None:
    async with serving() as server, server.connect(max_queue=1, max_size=None) as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "past"})
        async with asyncio.timeout(10):
            await server.source.was_held_back.wait()
        heard = [
            (await hear(client))["payload"]["data"] for _ in range(server.source.sent_past + 1)
        ]
        assert heard == [*range(server.source.sent_past), "rest"]


async def test_what_is_written_past_the_task_keeps_its_place(server: Server) -> None:
    async with server.connect() as client:
        await initialise(client)
        await say(client, id="1", type="subscribe", payload={"query": "mixed"})
        assert [(await hear(client))["payload"]["data"] for _ in range(4)] == [0, 1, 2, 3]
        assert (await closing(client))[0] == 4503


async def test_a_restart_closes_1012() -> None:
    async with serving() as server:
        async with server.connect() as client:
            await initialise(client, "Bearer alice")
            await say(client, id="1", type="subscribe", payload={"query": "for ever"})
            await hear(client)
            await server.clients.shutdown()
            assert (await closing(client))[0] == 1012
        async with server.connect() as late:
            assert (await closing(late))[0] == 1012


async def test_a_foreign_origin_is_refused_at_the_handshake() -> None:
    async with serving(is_origin_allowed=lambda origin: origin in (None, "https://app")) as server:
        with pytest.raises(InvalidStatus):
            async with server.connect(origin="https://evil"):
                pass
        async with server.connect(origin="https://app") as client:
            await initialise(client)


async def test_connections_of_one_address_are_capped_before_the_handshake() -> None:
    async with serving(ClientLimits(connections_per_address=2)) as server:
        forged = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
        async with server.connect(), server.connect():
            with pytest.raises(InvalidStatus) as refused:
                async with server.connect(additional_headers=forged):
                    pass
        assert refused.value.response.status_code == 429
        assert b"RATE_LIMITED" in refused.value.response.body
        async with asyncio.timeout(5):
            while len(server.clients):  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.01)
        async with server.connect() as again:
            await initialise(again)


async def test_connections_of_one_user_are_capped_wherever_they_come_from() -> None:
    async with (
        serving(ClientLimits(connections_per_user=1)) as server,
        server.connect() as first,
        server.connect() as second,
        server.connect() as other,
    ):
        await initialise(first, "Bearer alice")
        await say(second, type="connection_init", payload={"Authorization": "Bearer alice"})
        code, reason = await closing(second)
        assert (code, reason.split(":")[0]) == (1013, "RATE_LIMITED")
        await initialise(other, "Bearer bob")


async def test_subscriptions_of_one_user_are_capped_over_all_their_sockets() -> None:
    async with (
        serving(ClientLimits(subscriptions_per_user=2)) as server,
        server.connect() as first,
        server.connect() as second,
    ):
        for client in (first, second):
            await initialise(client, "Bearer alice")
        for client, identifier in ((first, "1"), (second, "2")):
            await say(client, id=identifier, type="subscribe", payload={"query": "for ever"})
            assert (await hear(client))["type"] == "next"
        await say(second, id="3", type="subscribe", payload={"query": "for ever"})
        refused = await hear(second)
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await say(first, id="1", type="complete")
        async with asyncio.timeout(5):
            while refused["type"] == "error":
                await say(second, id="3", type="subscribe", payload={"query": "for ever"})
                refused = await hear(second)
