"""What others' packages for Node say of the server: audits, clients at work, Relay's compiler."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..running import ROOT

SCRIPTS = ROOT / "tests" / "node"
NODE = shutil.which("node")
TIMEOUT_SECONDS = 60
SIGN_IN = "mutation { signInAnonymously { session { accessToken } errors { code } } }"
NAMES = ["five", "four", "three", "two", "one"]
REFUSED = {"code": "BAD_USER_INPUT", "path": ["input", "analysis"]}


async def run_node(script: str, *arguments: str, folder: Path = SCRIPTS) -> tuple[int, bytes, str]:
    """Runs a file of tests/node to its end: its exit status, what it printed, what it told."""
    if NODE is None:
        pytest.skip("Node is not installed: apt-get install nodejs npm")
    if not (SCRIPTS / "node_modules").is_dir():
        pytest.skip("The packages for Node are not installed: npm ci --prefix tests/node")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, str(SCRIPTS / script), *arguments, stdout=pipe, stderr=pipe, cwd=folder
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output, errors.decode()


async def run_script(name: str, *arguments: str) -> list[dict[str, Any]]:
    """Runs a script that must succeed: what it printed, line by line."""
    status, output, errors = await run_node(name, *arguments)
    assert status == 0, errors
    return [json.loads(line) for line in output.splitlines()]


async def guest_token(server_url: str) -> str:
    """The access token of somebody who has just come."""
    async with httpx.AsyncClient(base_url=server_url) as http:
        guest = await http.post("/graphql", json={"query": SIGN_IN})
    token: str = guest.json()["data"]["signInAnonymously"]["session"]["accessToken"]
    return token


async def run_client(name: str, server_url: str) -> dict[str, list[dict[str, Any]]]:
    """Runs a client as a new guest: the facts of each of its steps."""
    steps: dict[str, list[dict[str, Any]]] = {}
    for facts in await run_script(name, f"{server_url}/graphql", await guest_token(server_url)):
        steps.setdefault(facts.pop("step"), []).append(facts)
    return steps


def assert_answered_and_paged(steps: dict[str, list[dict[str, Any]]]) -> None:
    """What both caching clients must have seen of a query, a refusal, pages and a wallet."""
    (asked,), (refused,), (pages,) = steps["query"], steps["refused"], steps["pages"]
    assert asked["viewer"]["isAnonymous"] is True
    assert refused["payload"]["profile"] is None
    (error,) = refused["payload"]["errors"]
    assert error.items() >= REFUSED.items()
    assert pages == {"sizes": [2, 4, 5], "names": NAMES}
    balance = asked["viewer"]["credits"]["balance"]
    assert steps["subscription"] == [{"items": [balance, balance - 2]}]
    # The cache shows what a spend left, by the viewer in its payload.
    assert steps["spent"] == [{"shown": [balance, balance - 2]}]


async def test_every_audit_of_graphql_over_http_passes(server_url: str) -> None:
    audits = await run_script("audit.mjs", f"{server_url}/graphql")
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len({audit["id"] for audit in audits}) == len(audits) == 61
    demands = Counter(audit["name"].split()[0] for audit in audits)
    assert demands == {"MUST": 13, "SHOULD": 23, "MAY": 25}


async def test_the_graphql_ws_client_hears_the_wallet_as_it_is(server_url: str) -> None:
    token = await guest_token(server_url)
    async with httpx.AsyncClient(base_url=server_url) as http:
        viewer = await http.post(
            "/graphql",
            json={"query": "{ viewer { credits { balance held available } } }"},
            headers={"authorization": f"Bearer {token}"},
        )
    socket_url = f"ws{server_url.removeprefix('http')}/graphql"
    [item] = await run_script("graphql-ws.mjs", socket_url, token)
    changed = item["data"]["creditsChanged"]
    assert changed["cursor"]
    assert changed["credits"] == viewer.json()["data"]["viewer"]["credits"]


async def test_apollo_client_works_with_its_cache_and_persisted_documents(server_url: str) -> None:
    steps = await run_client("apollo.mjs", server_url)
    assert_answered_and_paged(steps)
    assert steps["created"] == [{"names": ["six", *NAMES]}]
    assert steps["renamed"] == [{"names": ["sixth", *NAMES]}]
    assert steps["deleted"] == [{"names": NAMES}]
    viewer_id = steps["query"][0]["viewer"]["id"]
    for method, persisted in zip(("GET", "POST"), steps["persisted"], strict=True):
        assert persisted["answers"] == [viewer_id] * 2
        assert persisted["code"] == "NOT_FOUND"
        assert persisted["requests"][:3] == [
            {"method": method, "hasText": False, "status": 400},
            {"method": "POST", "hasText": True, "status": 200},
            {"method": method, "hasText": False, "status": 200},
        ]
        assert all(request["method"] == "POST" for request in persisted["requests"][3:])


async def test_urql_works_with_its_cache_that_knows_the_schema(server_url: str) -> None:
    steps = await run_client("urql.mjs", server_url)
    assert_answered_and_paged(steps)
    assert steps["renamed"] == [{"names": ["fifth", *NAMES[1:]]}]
    assert steps["deleted"] == [{"names": NAMES[1:]}]
    assert steps["created"] == [{"names": ["six", *NAMES[1:]]}]
    assert steps["warnings"] == [{"warnings": []}]


async def compile_relay(folder: Path, source: str) -> tuple[int, str]:
    """Compiles a Relay project of one file against the schema: the exit status and the faults."""
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "profiles.js").write_text(source)
    shutil.copy(ROOT / "schema.graphql", folder)
    config = {"src": "src", "schema": "schema.graphql", "language": "javascript"}
    (folder / "relay.config.json").write_text(json.dumps(config))
    status, _, told = await run_node("node_modules/relay-compiler/cli.js", folder=folder)
    return status, told


async def test_the_relay_compiler_accepts_the_schema(tmp_path: Path) -> None:
    source = (SCRIPTS / "relay" / "profiles.js").read_text()
    status, told = await compile_relay(tmp_path, source)
    assert status == 0, told
    made = {path.name for path in (tmp_path / "src" / "__generated__").iterdir()}
    assert {"profilesPageQuery.graphql.js", "profilesCreateMutation.graphql.js"} <= made
    status, told = await compile_relay(tmp_path, source.replace("createdAt", "madeAt"))
    assert status != 0
    assert "has no field `madeAt`" in told
