"""Clients that others wrote watch, and come back where they were when a node is gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest

from tests.graph.live.deployment import Deployment
from tests.graph.live.fleet import GRANT, Fleet, running_fleet
from tests.graph.live.watchers import WATCH
from tests.graph.test_conformance import NODE, SCRIPTS

# Starting processes takes long on a busy machine.
pytestmark = pytest.mark.timeout(300)
PLAIN = WATCH.replace("($after: Cursor)", "").replace("(after: $after)", "")
CHANGES = 20
SCRIPTS_OF = (
    ("live-ws.mjs", "graphql-ws"),
    ("live-ws.mjs", "apollo"),
    ("live-ws.mjs", "urql"),
    ("live-sse.mjs",),
)


async def start_client(script: str, *arguments: str) -> asyncio.subprocess.Process:
    """A client for Node that prints what it is shown, item by item."""
    if NODE is None or not (SCRIPTS / "node_modules").is_dir():
        pytest.skip("Node and its packages are needed: npm ci --prefix tests/node")
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        NODE, str(SCRIPTS / script), *arguments, stdout=pipe, stderr=pipe
    )


async def shown(client: asyncio.subprocess.Process) -> list[int]:
    """Every balance a client printed until it ended."""
    output, errors = await asyncio.wait_for(client.communicate(), 120)
    assert client.returncode == 0, errors.decode()
    items = [json.loads(line)["data"]["creditsChanged"] for line in output.splitlines()]
    return [item["credits"]["balance"] for item in items]


async def give_and_break(fleet: Fleet, users: list[UUID]) -> None:
    """Gives credits one by one; the node dies in the middle of it and comes back."""
    connection = await fleet.deployment.connect()
    for number in range(CHANGES):
        if number == CHANGES // 2:
            await fleet.kill_node(0)
        for user in users:
            await connection.execute(GRANT, user)
        await asyncio.sleep(0.02)
    await connection.close()


async def test_every_client_resumes_where_it_was(deployment: Deployment, tmp_path: Path) -> None:
    async with running_fleet(deployment, tmp_path, []) as fleet:
        users = await fleet.add_users(len(SCRIPTS_OF))
        place, wanted = f"127.0.0.1:{fleet.nodes[0].port}/graphql", str(CHANGES + 1)
        clients = []
        for (script, *library), user in zip(SCRIPTS_OF, users, strict=True):
            url, query = (f"ws://{place}", WATCH) if library else (f"http://{place}", PLAIN)
            client = await start_client(script, *library, url, fleet.token(user), query, wanted)
            clients.append(client)
        for client in clients:
            assert client.stdout
            first = await asyncio.wait_for(client.stdout.readline(), 60)
            assert first, (await client.communicate())[1].decode()
            assert json.loads(first)["data"]["creditsChanged"]["credits"]["balance"] == 1
        await give_and_break(fleet, users)
        for client in clients:
            assert await shown(client) == list(range(2, CHANGES + 2))
