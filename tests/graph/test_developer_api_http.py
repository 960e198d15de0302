"""The API of developers as HTTP has it: methods, what no text holds, and when to come again (5.4, 5.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from db.core.pool import Database
from settings import Settings
from tests.conftest import MakeUser

from .developing import LATER, DeveloperNode, developer_node

NOBODYS = "developerProduct_00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


async def test_5_6_what_is_answered_to_get_is_answered_to_head_and_options(
    node: DeveloperNode,
) -> None:
    developer = await node.developer(tier="enterprise")
    verify = "/v1/verify?roblox_user_id=1&roblox_group_id=2"
    for path in ("/v1/usage", "/v1/products", verify, "/v1/openapi.json", "/v1/whitelist"):
        got, head = [await developer.rest(method, path) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        options = await developer.rest("OPTIONS", path)
        assert (options.status_code, options.content) == (204, b"")
        assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", "))
    # What only writes has no HEAD, and nobody needs a key to hear what an address takes.
    assert (await developer.rest("HEAD", "/v1/obfuscations")).status_code == 405
    asked = await node.http.options("/v1/obfuscations")
    assert (asked.status_code, asked.headers["allow"]) == (204, "POST, OPTIONS")


SENT: list[tuple[str, str, Any, int, str | None]] = [
    ("POST", "/v1/products", {"product_name": "a\0b", "roblox_group_id": 5}, 400, "product_name"),
    (
        "POST",
        "/v1/products",
        {"product_name": "a" * 4_001, "roblox_group_id": 5},
        400,
        "product_name",
    ),
    ("POST", "/v1/whitelist/bulk-remove", {"whitelist_ids": ["\0"]}, 400, "whitelist_ids"),
    (
        "POST",
        "/v1/whitelist",
        {"product_id": NOBODYS, "roblox_user_id": 5, "expiry_date": LATER, "discord_id": "\0"},
        400,
        "discord_id",
    ),
    ("GET", "/v1/whitelist?product_id=%00", None, 400, "product_id"),
    ("GET", "/v1/products/%00", None, 404, None),
    ("DELETE", "/v1/products/x%00", None, 404, None),
    ("POST", "/v1/products/%00/prove", None, 404, None),
    ("DELETE", "/v1/whitelist/%00", None, 404, None),
]


async def test_5_6_what_no_text_holds_is_refused_by_its_field(node: DeveloperNode) -> None:
    developer = await node.developer(tier="enterprise")
    for method, path, body, status, at in SENT:
        response = await developer.rest(method, path, **({"json": body} if body else {}))
        error = response.json()["error"]
        assert response.status_code == status, (path, error)
        assert at is None or error["details"]["field"] == at, (path, error)
        assert "A field" not in error["message"]
        assert "must be text" not in error["message"]


async def test_5_4_a_used_allowance_says_when_there_is_another(node: DeveloperNode) -> None:
    developer = await node.developer(tier="free")
    assert (await developer.rest("POST", "/v1/obfuscations")).status_code == 201
    before = datetime.now(UTC)
    refused = await developer.rest("POST", "/v1/obfuscations")
    assert refused.status_code == 429
    resets = (await developer.data("GET", "/v1/usage"))["obfuscation"]["period_resets"]
    left = (datetime.fromisoformat(resets) - before).total_seconds()
    assert abs(int(refused.headers["retry-after"]) - max(1, left)) <= 60
