"""Each supabase-js call of Vectabase's pages that docs/migrating names, as it is asked here (10.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser

from .developing import LATER, Developer, DeveloperNode, developer_node

PAGE = Path(__file__).parents[2] / "docs" / "migrating" / "vectabase.md"
PASSWORD = "correct horse"
# What each row of the page's table sends here; `{…}` is filled in from what came before.
MUTATIONS = (
    ("createDeveloperKey", {"name": "Site"}, "secret developerKey { preview }"),
    (
        "createDeveloperProduct",
        {"name": "Tank", "robloxGroupId": "{group}"},
        "developerProduct { id }",
    ),
    (
        "setWhitelistEntry",
        {"productId": "{developerProduct}", "robloxId": "5", "expiresAt": LATER},
        "entry { id }",
    ),
    ("removeWhitelistEntries", {"ids": ["{entry}"]}, "removedIds"),
    ("createWhitelistSystem", {"name": "Site"}, "whitelistSystem { id }"),
    (
        "syncWhitelist",
        {
            "systemId": "{whitelistSystem}",
            "changes": [
                {
                    "externalId": "1",
                    "changedAt": "2026-01-01T00:00:00Z",
                    "status": "BANNED",
                    "banReason": "x",
                    "username": "Ana",
                    "discordId": "123456789012345678",
                    "robloxId": "5",
                }
            ],
        },
        "accepted { outcome }",
    ),
    (
        "createLicences",
        {"productId": "{developerProduct}", "count": 1, "idempotencyKey": "{key}"},
        "licences { id key }",
    ),
    ("banLicence", {"id": "{licences}", "reason": "x"}, "licence { status }"),
)
READS = (
    "{ viewer { id email } }",
    "{ developer { keys { nodes { id name preview } } } }",
    "{ developer { tier limits { requestsPerMinute } } }",
    "{ developer { obfuscation { allowance credits } } }",
    "{ developer { products { nodes { id name } } } }",
    "{ viewer { licences { nodes { key status } } } }",
)


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


def filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    return known[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value


async def sign_in(node: DeveloperNode, email: str, name: str) -> str:
    given = {"email": email, "password": PASSWORD}
    selection = "session { accessToken } errors { code }"
    kind = f"{name[0].upper()}{name[1:]}Input"
    text = f"mutation($input: {kind}!) {{ answer: {name}(input: $input) {{ {selection} }} }}"
    response = await node.http.post("/graphql", json={"query": text, "variables": {"input": given}})
    answer = response.json()["data"]["answer"]
    assert answer["errors"] == []
    return str(answer["session"]["accessToken"])


async def test_10_1_every_call_of_the_pages_is_answered(node: DeveloperNode) -> None:
    email = f"{uuid4().hex}@example.test"
    await sign_in(node, email, "signUp")
    token = await sign_in(node, email, "signIn")
    page = PAGE.read_text()
    actor = await node.make_user(0)
    somebody = Developer(actor, token, node)
    known = {"group": str(uuid4().int % 10**9 + 1), "key": uuid4().hex}
    for name, given, selection in MUTATIONS:
        assert f"`{name}" in page, name
        kind = f"{name[0].upper()}{name[1:]}Input"
        text = (
            f"mutation($input: {kind}!) {{ answer: {name}(input: $input) {{"
            f" {selection} errors {{ code message }} }} }}"
        )
        answer = await somebody.ask(text, input=filled(given, known))
        assert answer["errors"] == [], name
        for field, value in answer.items():
            one = value[0] if isinstance(value, list) and value else value
            if isinstance(one, dict) and "id" in one:
                known[field] = one["id"]
    for text in READS:
        shown = await somebody.ask(text)
        assert next(iter(shown.values())) is not None, text
