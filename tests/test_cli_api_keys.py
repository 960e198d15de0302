"""Operators list API keys, end them, limit them, and rotate the keys that sign tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.running import RunningServer, run_command

SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { accessToken } errors { code } } }"""
CREATE = """mutation { createApiKey(input: {name: "night bot", scopes: [READ]}) {
  secret apiKey { id prefix } errors { code } } }"""
Run = Callable[..., CompletedProcess[str]]


def ask(server: RunningServer, text: str, bearer: str = "", **variables: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    body = {"query": text, "variables": variables}
    return httpx.post(f"{server.url}/graphql", json=body, headers=headers, timeout=30)


@pytest.fixture
def run(server: RunningServer) -> Run:
    return lambda *arguments: run_command(server.data_directory, *arguments, COLUMNS="160")


def test_an_api_key_is_listed_limited_and_ended(server: RunningServer, run: Run) -> None:
    email = f"{uuid4()}@example.test"
    session = ask(server, SIGN_UP, email=email).json()["data"]["signUp"]["session"]
    made = ask(server, CREATE, session["accessToken"]).json()["data"]["createApiKey"]
    secret, shown = made["secret"], made["apiKey"]

    listed = run("api-keys", "list", email.upper())
    assert (listed.returncode, listed.stderr) == (0, "")
    missing = [w for w in (shown["prefix"], email, "night bot", "READ") if w not in listed.stdout]
    assert not missing, listed.stdout
    assert secret not in listed.stdout
    limited = run("api-keys", "limit", shown["id"], "1")
    assert (limited.returncode, "1 requests a minute" in limited.stderr) == (0, True)
    who = "{ viewer { email } }"
    assert [ask(server, who, secret).status_code for _ in range(2)] == [200, 429]
    # The whole secret, as somebody may have found it, is as good, and is not printed.
    ended = run("api-keys", "revoke", secret)
    assert (ended.returncode, secret in ended.stderr) == (0, False)
    assert shown["prefix"] in ended.stderr
    refused = run("api-keys", "revoke", shown["prefix"])
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)


def published(server: RunningServer) -> set[str]:
    """The ids of the keys that clients verify tokens with."""
    keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()["keys"]
    return {key["kid"] for key in keys}


def test_a_running_server_signs_with_a_rotated_key_and_takes_older_tokens(
    server: RunningServer, run: Run
) -> None:
    def session() -> str:
        given = ask(server, SIGN_UP, email=f"{uuid4()}@example.test").json()
        return str(given["data"]["signUp"]["session"]["accessToken"])

    before = session()
    first = run("keys", "rotate")
    assert (first.returncode, first.stdout) == (0, "")
    assert ("signs from now on" in first.stderr, "verifies until" in first.stderr) == (True, True)
    kid = first.stderr.split()[0]
    deadline = time.monotonic() + 10
    while kid not in published(server):
        assert time.monotonic() < deadline, "the server did not find its new key"
        time.sleep(0.1)
    for token in (before, session()):
        assert ask(server, "{ viewer { id } }", token).json()["data"]["viewer"]
