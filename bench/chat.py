"""`python -m bench.chat`: replies that are written at once, and how soon their words are told.

A chat is followed over an event stream each. Words are written as a worker writes them, a piece of
every reply at the same moment: a delta's time is from then until its client has it. The server's
processor time is shared out among the deltas that it delivered. The first word is timed on its own,
from a worker that asks a provider on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import psutil
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.deployment import (
    Environment,
    Server,
    open_environment,
    our_variables,
    python,
    running,
    start_tallygraph,
)
from bench.generations import percentile
from bench.load import request_bytes
from bench.webhooks import Connections
from db.core.pool import Database
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from jobs.assistants.writer import ReplyWriter
from jobs.core.declare import WorkerServices
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from server.serving import service_url

FIRST_WORD_GOAL = 15.0
# The first one waits for a worker that starts and imports the library.
FIRST_WORD_SECONDS = 120.0
KEY = "bench"
FIRST_PIECE = "First words. "
PIECE = re.compile(r"and some more words \d+ |" + FIRST_PIECE)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ONE_USER = "insert into users (email) values ('one@example.test') returning id"
CHATS = """
with made as (
    insert into users (email)
    select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id
), kept as (
    insert into profiles (user_id, name, analysis) select id, 'Kim', '{}' from made
    returning id, user_id
), asked as (
    insert into chat_messages (user_id, profile_id, role, text)
    select user_id, id, 'USER', 'Who is this?' from kept returning id, user_id, profile_id
), replies as (
    insert into chat_messages (user_id, profile_id, question_id, role, status)
    select user_id, profile_id, id, 'ASSISTANT', 'QUEUED' from asked returning id, user_id
), runs as (
    insert into ai_runs (id, user_id, feature, max_output_tokens, context_tokens)
    select id, user_id, 'CHAT', 1000, 1000 from replies
) select id, user_id from replies
"""
BEGIN = "update ai_runs set status = 'RUNNING', attempts = 1 where id = any ($1)"
WATCH = """subscription($id: ID!) { chatReply(messageId: $id) {
  cursor delta message { id status creditsCharged } } }"""
PROFILE = 'mutation { createProfile(input: {name: "Kim", analysis: {}}) { profile { id } } }'
SEND = """mutation($id: ID!, $key: String!) { sendChatMessage(input: {
  profileId: $id, text: "Who is this?", idempotencyKey: $key}) {
  message { id } errors { code } } }"""


@dataclass
class Figures:
    """Milliseconds, sorted; microseconds of processor time for each delta."""

    told: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    cpu_microseconds: float = 0.0
    missing: int = 0


class Follower:
    """A client that follows one reply."""

    def __init__(self, port: int, token: str, reply: str) -> None:
        self._port, self._token, self._reply = port, token, reply
        self.came: dict[str, float] = {}

    async def follow(self, stack: AsyncExitStack) -> asyncio.Task[None]:
        """Opens the stream and waits for the reply as it is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        stack.callback(writer.close)
        body = orjson.dumps({"query": WATCH, "variables": {"id": self._reply}})
        request = request_bytes(self._port, self._token, body)
        writer.write(request.replace(b"Accept: application/json", b"Accept: text/event-stream", 1))
        await self._next(reader)
        return asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        # With its end, a reply's stream completes.
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                delta = await self._next(reader)
                # Pieces that came fast are told together.
                for piece in PIECE.findall(delta):
                    self.came.setdefault(piece, time.perf_counter())

    async def _next(self, reader: asyncio.StreamReader) -> str:
        while True:
            line = await reader.readuntil(b"\n")
            if line.startswith(b"data: {"):
                delta: str = orjson.loads(line[6:])["data"]["chatReply"]["delta"]
                return delta


async def write(
    environment: Environment, replies: list[UUID], pieces: int, every: float
) -> dict[str, float]:
    """Writes so many pieces of each reply, as a worker does; when each of them came."""
    database = await Database.connect(environment.owner_url, environment.settings)
    bus = WakeBus.postgres(service_url(environment.owner_url, environment.settings))
    await bus.start(lambda: None)
    storage, providers = open_storage(environment.settings), Providers(OfflineProvider())
    services = WorkerServices(database, storage, providers, bus.publish, environment.settings)
    writer = ReplyWriter(services)
    open_replies = [writer.open(reply, 1) for reply in replies]
    sent, due = {}, time.perf_counter() + 0.5
    for number in range(1, pieces + 1):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        word = f"and some more words {number} "
        sent[word] = time.perf_counter()
        for reply in open_replies:
            reply.add(word)
        due += every
    for reply in open_replies:
        await reply.settled()
    await asyncio.sleep(1)
    await bus.stop()
    await database.close()
    return sent


def _seconds_of(server: Server) -> float:
    """Processor time of a server's processes so far."""
    process = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def _at_once(
    environment: Environment, owner: asyncpg.Connection, chats: int, pieces: int, every: float
) -> Figures:
    rows = await owner.fetch(CHATS, chats)
    await owner.execute(BEGIN, [row["id"] for row in rows])
    figures = Figures()
    issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
    with start_tallygraph(environment) as server:
        async with AsyncExitStack() as stack:
            followers = [
                Follower(server.port, _token(issuer, row["user_id"]), f"chatMessage_{row['id']}")
                for row in rows
            ]
            reading = [await one.follow(stack) for one in followers]
            before = _seconds_of(server)
            sent = await write(environment, [row["id"] for row in rows], pieces, every)
            spent = _seconds_of(server) - before
            for one in reading:
                one.cancel()
    figures.told = sorted(
        (came - sent[word]) * 1000
        for follower in followers
        for word, came in follower.came.items()
        if word in sent
    )
    figures.missing = chats * pieces - len(figures.told)
    figures.cpu_microseconds = spent / max(1, len(figures.told)) * 1e6
    return figures


def _token(issuer: AccessTokens, user: UUID) -> str:
    return issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token


class Provider:
    """A provider on this machine, which notes when it has sent the first word of each answer."""

    def __init__(self) -> None:
        self.sent: list[float] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Provider]:
        """The provider for a block."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        usage = {"input_tokens": 10, "output_tokens": 1}
        message: dict[str, Any] = {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        writer.write(HEAD)
        writer.write(_event("message_start", message=message))
        writer.write(
            _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        )
        # The worker reads these before the first word is timed.
        await asyncio.sleep(0.1)
        self.sent.append(time.perf_counter())
        text = {"type": "text_delta", "text": FIRST_PIECE}
        writer.write(_event("content_block_delta", index=0, delta=text))
        await asyncio.sleep(0.1)
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        writer.write(_event("message_delta", delta=ended, usage={"output_tokens": 4}))
        writer.write(_event("message_stop"))
        writer.close()


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


async def _first_words(environment: Environment, count: int) -> list[float]:
    """From the provider's first word to the client, for one chat after the other."""
    issuer = AccessTokens(SigningKeys.load(environment.settings), environment.settings)
    owner = await asyncpg.connect(environment.owner_url)
    user = await owner.fetchval(ONE_USER)
    await owner.execute("update ai_budgets set credits = 0")
    await owner.close()
    token, taken = _token(issuer, user), []
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider().open())
        server = stack.enter_context(start_tallygraph(environment))
        variables = our_variables(environment, 0) | {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_API_URL": f"http://127.0.0.1:{provider.port}",
        }
        command = python("cli", "worker")
        stack.enter_context(running("worker", 0, command, environment.folder, **variables))

        async def ask(text: str, **given: Any) -> Any:
            body = orjson.dumps({"query": text, "variables": given})
            # Not kept: the server gives idle ones up while the worker starts.
            async with Connections(server.port).open() as connections:
                answer = await connections.send(request_bytes(server.port, token, body))
            ((_, payload),) = orjson.loads(answer)["data"].items()
            return payload

        profile = (await ask(PROFILE))["profile"]["id"]
        for number in range(count + 1):
            sent = await ask(SEND, id=profile, key=str(number))
            follower = Follower(server.port, token, sent["message"]["id"])
            reading = await follower.follow(stack)
            async with asyncio.timeout(FIRST_WORD_SECONDS):
                while FIRST_PIECE not in follower.came:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            taken.append((follower.came[FIRST_PIECE] - provider.sent[-1]) * 1000)
            await asyncio.sleep(0.5)
            reading.cancel()
    # The first one waits for the library to be imported.
    return sorted(taken[1:])


async def measure(*, chats: int, pieces: int, every: float, first_words: int) -> Figures:
    """Starts everything in a folder of its own, measures, and takes it all away."""
    async with open_environment(users=0, busy_users=0) as environment:
        owner = await asyncpg.connect(environment.owner_url)
        try:
            figures = await _at_once(environment, owner, chats, pieces, every)
        finally:
            await owner.close()
        figures.first = await _first_words(environment, first_words)
        return figures


def show(figures: Figures, console: Console) -> None:
    """Prints the figures as a table."""
    table = Table("Milliseconds", "n", "p50", "p90", "p99", "Goal", title="Chats")
    for name, values, goal in (
        ("From the worker to the client", figures.told, ""),
        ("The first word after the provider's", figures.first, f"p50 ≤ {FIRST_WORD_GOAL:.0f}"),
    ):
        shares = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)]
        table.add_row(name, str(len(values)), *shares, goal)
    console.print(table)
    console.print(f"{figures.cpu_microseconds:.0f} µs of the server's processor for each delta.")
    if figures.missing:
        console.print(f"{figures.missing} deltas never came.", style="red")


def main(
    chats: Annotated[int, typer.Option(help="Chats that are followed at once.")] = 500,
    pieces: Annotated[int, typer.Option(help="Pieces of each reply.")] = 50,
    every: Annotated[float, typer.Option(help="Seconds between two pieces.")] = 0.3,
    first_words: Annotated[int, typer.Option(help="How often the first word is timed.")] = 20,
) -> None:
    """Measures how soon words are told, and what a delta costs."""
    found = measure(chats=chats, pieces=pieces, every=every, first_words=first_words)
    show(asyncio.run(found, loop_factory=uvloop.new_event_loop), Console(highlight=False))


if __name__ == "__main__":
    typer.run(main)
