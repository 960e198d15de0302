"""A process that is told to stop says so first, ends what it has begun, and leaves with status 0."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ended, eventually, ready_upload, wallet
from ..running import ROOT, environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(
    cluster: EmbeddedDatabase, data_directory: Path, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A command on the tests' database; killed at the end, if it still runs."""
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment(data_directory, DATABASE_URL=cluster.owner_url, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def answers(url: str) -> tuple[int, str] | None:
    """Status and word of a probe; nothing while nobody listens."""
    async with httpx.AsyncClient(timeout=5) as http:
        try:
            response = await http.get(url)
        except httpx.TransportError:
            return None
    return response.status_code, response.json()["status"]


async def until(url: str, expected: tuple[int, str], seconds: float = 40) -> None:
    async def met() -> bool:
        return await answers(url) == expected

    await eventually(met, seconds)


async def test_a_worker_drains_and_its_probe_says_so(
    settings: Settings,
    cluster: EmbeddedDatabase,
    database: Database,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    await owner.execute("delete from queue.pgqueuer")
    actor, port = await make_user(), free_port()
    upload_id = await ready_upload(database, open_storage(settings), actor)
    slow = ("tests.jobs.probed_worker", "2")
    probe = f"http://127.0.0.1:{port}"
    variables = {"WORKER_HEALTH_PORT": str(port), "HOST": "127.0.0.1"}
    with process(cluster, settings.data_directory, *slow, **variables) as worker:
        await until(f"{probe}/readyz", (200, "ready"))
        assert await answers(f"{probe}/healthz") == (200, "ok")
        running = await create_generation(database, actor, upload_id)

        async def begun() -> bool:
            return bool(
                await owner.fetchval("select attempts from generations where id = $1", running)
            )

        await eventually(begun, 30)
        worker.send_signal(signal.SIGTERM)
        await until(f"{probe}/readyz", (503, "draining"), 5)
        later = await create_generation(database, actor, upload_id, parameters={"color": "#000001"})
        assert (await ended(owner, running, 20))["status"] == "SUCCEEDED"
        assert await asyncio.to_thread(worker.wait, 20) == 0
    assert await answers(f"{probe}/readyz") is None
    row = await owner.fetchrow("select status, attempts from generations where id = $1", later)
    assert tuple(row) == ("QUEUED", 0), "a draining worker takes no new job"
    assert await wallet(owner, actor) == (9, 1)


async def test_a_server_gives_notice_before_it_stops_listening(
    settings: Settings, cluster: EmbeddedDatabase, database: Database
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = ("cli", "serve")
    notice = {"PORT": str(port), "DRAIN_NOTICE_SECONDS": "3"}
    with process(cluster, settings.data_directory, *command, **notice) as server:
        await until(f"{base}/readyz", (200, "ready"))
        server.send_signal(signal.SIGTERM)
        await until(f"{base}/readyz", (503, "draining"), 3)
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{base}/graphql", json={"query": "{ __typename }"})
        assert answer.json() == {"data": {"__typename": "Query"}}
        assert await asyncio.to_thread(server.wait, 20) == 0
