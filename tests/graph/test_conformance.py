"""What others' packages for Node say of the server: graphql-http's audits, and a client at work."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "node"
NODE = shutil.which("node")
TIMEOUT_SECONDS = 60
SIGN_IN = "mutation { signInAnonymously { session { accessToken } errors { code } } }"


async def run_script(name: str, *arguments: str) -> list[dict[str, Any]]:
    """Runs a script of tests/node to its end: what it printed, line by line."""
    if NODE is None:
        pytest.skip("Node is not installed: apt-get install nodejs npm")
    if not (SCRIPTS / "node_modules").is_dir():
        pytest.skip("The packages for Node are not installed: npm ci --prefix tests/node")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, str(SCRIPTS / name), *arguments, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


async def test_every_audit_of_graphql_over_http_passes(server_url: str) -> None:
    audits = await run_script("audit.mjs", f"{server_url}/graphql")
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len({audit["id"] for audit in audits}) == len(audits) == 61
    demands = Counter(audit["name"].split()[0] for audit in audits)
    assert demands == {"MUST": 13, "SHOULD": 23, "MAY": 25}


async def test_the_graphql_ws_client_hears_the_wallet_as_it_is(server_url: str) -> None:
    async with httpx.AsyncClient(base_url=server_url) as http:
        guest = await http.post("/graphql", json={"query": SIGN_IN})
        token = guest.json()["data"]["signInAnonymously"]["session"]["accessToken"]
        viewer = await http.post(
            "/graphql",
            json={"query": "{ viewer { credits { balance held available } } }"},
            headers={"authorization": f"Bearer {token}"},
        )
    socket_url = f"ws{server_url.removeprefix('http')}/graphql"
    [item] = await run_script("clients.mjs", socket_url, token)
    changed = item["data"]["creditsChanged"]
    assert changed["cursor"]
    assert changed["credits"] == viewer.json()["data"]["viewer"]["credits"]
