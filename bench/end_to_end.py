"""createGeneration end to end: from the request until the worker's result is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx

from bench import documents
from bench.data import Person
from bench.deployment import ROOT, Deployment, Server, start_worker
from bench.figures import Options, Result
from bench.processes import Postgres
from bench.rounds import measure_round
from bench.workloads import GENERATION, TALLYGRAPH

# The provider works on the picture with one process: more would only wait for each other.
CLIENTS = 4
POLL_SECONDS = 0.01
PHOTO = ROOT / "examples" / "portrait.jpg"


class GenerationFailed(Exception):
    """A generation ended otherwise than by succeeding."""


class Client:
    """One user who runs a tool again and again."""

    def __init__(self, server: Server, person: Person, colors: Iterator[int]) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"authorization": f"Bearer {person.token}"},
        )
        self._colors = colors
        self._upload_id = ""

    async def _ask(self, document: str, **variables: Any) -> Any:
        answer = await self._http.post("/graphql", json={"query": document, "variables": variables})
        return answer.json()["data"]

    async def upload(self, photo: bytes) -> None:
        """Puts the photo that the generations are made from."""
        given = {"contentType": "image/jpeg", "sizeBytes": len(photo)}
        made = await self._ask(documents.CREATE_UPLOAD, input=given)
        upload = made["createUpload"]["upload"]
        async with httpx.AsyncClient() as storage:  # the link is the permission: no token
            put = await storage.put(
                upload["url"], content=photo, headers={"content-type": "image/jpeg"}
            )
        put.raise_for_status()
        self._upload_id = upload["id"]

    async def generate(self) -> float:
        """One generation in a colour that no cache has; returns how many seconds it took."""
        started = perf_counter()
        given = {
            "toolId": "hair-color",
            "uploadId": self._upload_id,
            "parameters": {"color": f"#{next(self._colors):06x}"},
            "idempotencyKey": uuid4().hex,
        }
        made = await self._ask(documents.CREATE_GENERATION, input=given)
        generation = made["createGeneration"]["generation"]
        while generation["status"] in {"QUEUED", "RUNNING"}:
            await asyncio.sleep(POLL_SECONDS)
            generation = (await self._ask(documents.GENERATION, id=generation["id"]))["node"]
        if generation["status"] != "SUCCEEDED":
            raise GenerationFailed(generation)
        return perf_counter() - started

    async def close(self) -> None:
        """Closes the connection."""
        await self._http.aclose()


async def _load(clients: list[Client], seconds: float) -> list[float]:
    ends_at = perf_counter() + seconds
    latencies: list[float] = []

    async def keep_busy(client: Client) -> None:
        while True:
            latencies.append(await client.generate())
            if perf_counter() >= ends_at:
                return

    await asyncio.gather(*map(keep_busy, clients))
    return latencies


async def measure_generations(
    deployment: Deployment, postgres: Postgres, options: Options, say: Callable[[str], None]
) -> Result:
    """Rounds of our server together with a worker."""
    server, photo, colors = deployment.servers[TALLYGRAPH], PHOTO.read_bytes(), count(0x101010)
    result = Result(GENERATION, {TALLYGRAPH: []})
    with start_worker(deployment.environment) as worker:
        clients = [Client(server, person, colors) for person in deployment.people[:CLIENTS]]
        say(f"{GENERATION.name}: warming up")
        for client in clients:
            await client.upload(photo)
        await _load(clients, options.seconds / 2)
        for number in range(options.rounds):
            say(f"{GENERATION.name}: round {number + 1} of {options.rounds}")
            load = _load(clients, options.seconds)
            result.rounds[TALLYGRAPH].append(await measure_round([server, worker], load, postgres))
        for client in clients:
            await client.close()
    return result
