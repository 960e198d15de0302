"""`python -m bench.generations`: what a generation takes beyond its provider's own time.

Clients at once each send `createGeneration`, watch `generationUpdated` on their WebSocket until it
has succeeded, and begin again. API and worker are processes of their own; the provider sleeps. Its
time, as the log of generations has it, is taken off; photos were decoded when they were uploaded.
A result from the cache is measured too, beside a plain read.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from bench.deployment import ROOT, UNLIMITED, open_environment, start_tallygraph
from settings import Settings

PHOTO = ROOT / "examples" / "portrait.jpg"
SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { accessToken user { id } } } }"""
UPLOAD = """mutation($size: Int!) { createUpload(input: {contentType: "image/jpeg",
  sizeBytes: $size}) { upload { id url } } }"""
CREATE = """mutation($upload: ID!, $color: String!, $key: String!) { createGeneration(input: {
  toolId: "hair-color", uploadId: $upload, parameters: {color: $color}, idempotencyKey: $key}) {
  generation { id status imageUrl } errors { code message } } }"""
WATCH = (
    """subscription($id: ID!) { generationUpdated(id: $id) { generation { status imageUrl } } }"""
)
READ = "{ viewer { id credits { balance held } } }"


@dataclass(frozen=True)
class Figures:
    """Milliseconds of every generation beyond its provider's, of cache hits, and of reads."""

    overhead: list[float]
    hits: list[float]
    reads: list[float]


class Client:
    """One user with a photo, an HTTP connection and a socket."""

    def __init__(self, http: httpx.AsyncClient, socket: ClientConnection, upload: str) -> None:
        self._http = http
        self._socket = socket
        self._upload = upload
        self._colors = itertools.count()
        self._subscriptions = itertools.count()

    async def generate(self) -> tuple[UUID, float]:
        """One generation to its success, and the seconds it took."""
        started = perf_counter()
        made = await self._create(f"#{next(self._colors):06x}")
        number = str(next(self._subscriptions))
        watch = {"query": WATCH, "variables": {"id": made["id"]}}
        await self._socket.send(
            orjson.dumps({"id": number, "type": "subscribe", "payload": watch}).decode()
        )
        while True:
            message = orjson.loads(await self._socket.recv())
            if message["type"] == "next" and message["id"] == number:
                status = message["payload"]["data"]["generationUpdated"]["generation"]["status"]
                if status == "SUCCEEDED":
                    break
        seconds = perf_counter() - started
        await self._socket.send(orjson.dumps({"id": number, "type": "complete"}).decode())
        return UUID(made["id"].removeprefix("generation_")), seconds

    async def _create(self, color: str) -> dict[str, Any]:
        variables = {"upload": self._upload, "color": color, "key": str(uuid4())}
        payload = (await ask(self._http, CREATE, variables))["createGeneration"]
        assert not payload["errors"], payload
        generation: dict[str, Any] = payload["generation"]
        return generation

    async def hit(self) -> float:
        """A result from the cache: its seconds."""
        started = perf_counter()
        assert (await self._create("#000000"))["status"] == "SUCCEEDED"
        return perf_counter() - started

    async def read(self) -> float:
        """A plain read: its seconds."""
        started = perf_counter()
        await ask(self._http, READ)
        return perf_counter() - started


async def ask(http: httpx.AsyncClient, text: str, variables: Any = None) -> dict[str, Any]:
    """The data of an operation."""
    answer = await http.post("/graphql", json={"query": text, "variables": variables or {}})
    data: dict[str, Any] = answer.json()["data"]
    return data


@asynccontextmanager
async def new_client(port: int, owner: asyncpg.Connection) -> AsyncIterator[Client]:
    """A new user with a photo and many credits."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        session = (await ask(http, SIGN_UP, {"email": f"{uuid4()}@example.test"}))["signUp"]
        session = session["session"]
        user = UUID(session["user"]["id"].removeprefix("user_"))
        await owner.execute("select app.grant_credits($1, 'ADMIN', 1000000)", user)
        token = f"Bearer {session['accessToken']}"
        http.headers["Authorization"] = token
        photo = PHOTO.read_bytes()
        upload = (await ask(http, UPLOAD, {"size": len(photo)}))["createUpload"]["upload"]
        put = await http.put(upload["url"], content=photo, headers={"Content-Type": "image/jpeg"})
        put.raise_for_status()
        place = f"ws://127.0.0.1:{port}/graphql"
        async with connect(place, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            hello = {"type": "connection_init", "payload": {"Authorization": token}}
            await socket.send(orjson.dumps(hello).decode())
            assert orjson.loads(await socket.recv())["type"] == "connection_ack"
            yield Client(http, socket, upload["id"])


@contextmanager
def sleeping_worker(settings: Settings, url: str, milliseconds: float, log: Path) -> Iterator[None]:
    """A worker process whose provider sleeps."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.sleeping_worker", url, str(milliseconds)],
            cwd=ROOT,
            env={
                **os.environ,
                "DATA_DIRECTORY": str(settings.data_directory),
                "LOG_LEVEL": "warning",
                # All users call from one address.
                "SIGN_UP_BONUSES_PER_HOUR": "1000000",
                "ACCOUNTS_PER_HOUR": "1000000",
                **UNLIMITED,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def overheads(owner: asyncpg.Connection, done: list[tuple[UUID, float]]) -> list[float]:
    """What each generation took beyond its provider's time, in milliseconds, in order."""
    rows = await owner.fetch(
        "select generation_id, latency_milliseconds from ai_generation_logs"
        " where generation_id = any($1)",
        [generation_id for generation_id, _ in done],
    )
    provider = {row["generation_id"]: row["latency_milliseconds"] for row in rows}
    return sorted(seconds * 1000 - provider[one] for one, seconds in done)


async def measure_clients(port: int, url: str, clients: int, seconds: float) -> Figures:
    """Lets the clients work for a while."""
    owner = await asyncpg.connect(url)
    done: list[tuple[UUID, float]] = []
    hits: list[float] = []
    reads: list[float] = []

    async def live() -> None:
        async with new_client(port, owner) as client:
            ready.release()
            await go.wait()
            await client.generate()  # to warm up, and for the cache
            deadline = perf_counter() + seconds
            while perf_counter() < deadline:
                done.append(await client.generate())

    async def look() -> None:
        async with new_client(port, owner) as client:
            await client.generate()
            for _ in range(200):
                reads.append(await client.read() * 1000)
                hits.append(await client.hit() * 1000)

    ready, go = asyncio.Semaphore(0), asyncio.Event()
    working = []
    for _ in range(clients):  # one after the other: the owner's connection is shared
        working.append(asyncio.create_task(live()))
        await ready.acquire()
    go.set()
    await asyncio.gather(*working)
    await look()
    figures = Figures(await overheads(owner, done), sorted(hits), sorted(reads))
    await owner.close()
    return figures


async def measure(clients: int, seconds: float, provider_milliseconds: float) -> Figures:
    """Starts everything in a folder of its own, measures, and takes it all away."""
    async with open_environment(users=0, busy_users=0) as environment:
        log = environment.folder / "worker.log"
        with (
            start_tallygraph(environment) as server,
            sleeping_worker(
                environment.settings, environment.owner_url, provider_milliseconds, log
            ),
        ):
            return await measure_clients(server.port, environment.owner_url, clients, seconds)


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of sorted values lies."""
    return values[min(int(len(values) * share), len(values) - 1)]


def show(figures: Figures, console: Console) -> None:
    """Prints the figures as a table."""
    table = Table("Milliseconds", "n", "p50", "p90", "p99", title="Generations")
    for name, values in (
        ("A generation without its provider's time", figures.overhead),
        ("A result from the cache", figures.hits),
        ("A read", figures.reads),
    ):
        shares = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)]
        table.add_row(name, str(len(values)), *shares)
    console.print(table)


def main(
    clients: Annotated[int, typer.Option(help="Generations under way at once.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long they go on.")] = 10.0,
    provider_milliseconds: Annotated[
        float, typer.Option(help="How long the provider takes.")
    ] = 200,
) -> None:
    """Measures what a generation takes beyond its provider's own time."""
    figures = asyncio.run(
        measure(clients, seconds, provider_milliseconds), loop_factory=uvloop.new_event_loop
    )
    show(figures, Console(highlight=False))


if __name__ == "__main__":
    typer.run(main)
